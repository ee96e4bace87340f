// Which profile a request uses, and what profile and quality make of a method's parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "claa/params.h"
#include "claa/registry.h"
#include "profile/profile.h"

namespace claa {

struct ProfileChoice {
  ParamValues params;   // those given, of the quality and of the profile; of one name the first of these wins
  std::string profile;  // "bundled" or a path; empty: none
  std::string note;     // for people: which profile, or why none; empty for methods that take none
};

// The parameters that a quality stands for: "faithful", "balanced", "fast", or "" for none. Throws
// Error{kInvalidArgument} for another word.
ParamValues quality_params(const std::string& quality);
// True for a method that can choose by heads.
bool takes_profile(const MethodInfo& method);

// The profile of one model, read when it is first needed.
class ProfileFinder {
 public:
  // `wanted`: a file; "auto": the file beside the model, else a bundled profile of its weights; or "none". A
  // named file is read at once. Throws as read_profile() and check_profile().
  ProfileFinder(std::string wanted, std::string model_path, std::function<uint64_t()> fingerprint);
  // "auto" applies no profile where a given parameter is one that profiles set or make unused. A quality
  // other than "" needs a profile, and some need parts of it. Throws Error{kInvalidArgument} where these are
  // missing, and as the constructor does. May be called from several threads.
  ProfileChoice choose(const std::string& quality, const MethodInfo& method, const ParamValues& given) const;

 private:
  struct Found {
    std::optional<Profile> profile;
    std::string where;
  };
  const Found& found() const;
  Found find() const;
  ProfileChoice apply(const ParamValues& given) const;
  bool named() const { return wanted_ != "auto" && wanted_ != "none"; }

  std::string wanted_, model_path_;
  std::function<uint64_t()> fingerprint_;
  mutable std::mutex mutex_;
  mutable std::optional<Found> found_;
};

}  // namespace claa
