// Writes what calibration made: a profile, and how it was found.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "profile/profile.h"

namespace claa::eval {

struct MadeProfile {
  Profile profile;
  boost::json::object calibration;  // how the choice was made; only for people
};

boost::json::object to_json(const MadeProfile& made);
// The file appears whole or not at all.
void write_profile(const std::string& path, const MadeProfile& made);

}  // namespace claa::eval
