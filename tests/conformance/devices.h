// Which devices of a test list this CPU really has.
#pragma once

#include <string>

#include "backend/backend.h"

namespace claa::test {

// A cap that this CPU does not reach, or that is the best it has, names no device of its own.
inline bool is_a_device_of_its_own(BackendOptions options) {
  if (options.isa.empty()) return true;
  const std::string capped = make_backend(options)->description(), name = " " + options.isa + ",";
  options.isa.clear();
  return capped.find(name) != std::string::npos && capped != make_backend(options)->description();
}

}  // namespace claa::test
