#include "profile/choice.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "core/check.h"

namespace claa {
namespace {

// Parameters that a profile sets, and those that a profile with heads makes unused.
constexpr std::array<std::string_view, 7> kDecided = {"heads",   "early_heads",     "window",     "kernel",
                                                      "pooling", "selection_layer", "first_layer"};
constexpr std::array<std::string_view, 2> kUnused = {"last_layers", "aggregator"};

template <class Names>
const std::string* first_given(const ParamValues& given, const Names& names) {
  for (const auto& [name, value] : given) {
    if (std::find(names.begin(), names.end(), name) != names.end()) return &name;
  }
  return nullptr;
}

void check_quality(const std::string& quality, const ProfileChoice& choice, const std::string& early_drops) {
  if (choice.profile.empty()) {
    fail(
        ErrorCode::kInvalidArgument,
        "quality {} needs a profile of the model, and there is none; make one with 'claa calibrate', or give "
        "a method and its rate instead",
        quality);
  }
  if (quality == "balanced" && choice.params.count("heads") == 0) {
    fail(ErrorCode::kInvalidArgument,
         "quality balanced needs a profile with chosen heads, and '{}' has none; use quality faithful, or "
         "make one with 'claa calibrate' without --rule",
         choice.profile);
  }
  if (quality == "fast" && early_drops.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "quality fast needs a profile with an early drop, and '{}' has none; make it with 'claa calibrate "
         "--early', or use quality balanced",
         choice.profile);
  }
}

}  // namespace

ParamValues quality_params(const std::string& quality) {
  if (quality.empty()) return {};
  if (quality == "faithful") return {{"keep", "0.4"}};
  if (quality == "balanced") return {{"keep", "0.5"}, {"mass", "0.7"}};
  if (quality == "fast") return {{"keep", "0.2"}};
  fail(ErrorCode::kInvalidArgument, "unknown quality '{}'; choose fast, balanced or faithful", quality);
}

bool takes_profile(const MethodInfo& method) {
  return std::any_of(method.params.begin(), method.params.end(),
                     [](const ParamSpec& p) { return p.name == "heads"; });
}

ProfileFinder::ProfileFinder(std::string wanted, std::string model_path,
                             std::function<uint64_t()> fingerprint)
    : wanted_(std::move(wanted)), model_path_(std::move(model_path)), fingerprint_(std::move(fingerprint)) {
  if (named()) found();
}

const ProfileFinder::Found& ProfileFinder::found() const {
  const std::scoped_lock lock(mutex_);
  if (!found_) found_ = find();
  return *found_;
}

ProfileFinder::Found ProfileFinder::find() const {
  if (named()) {
    Profile profile = read_profile(wanted_);
    if (model_path_.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "the profile '{}' needs the file of the model that it was made for, and there is none; give a "
           "model file, or use --profile none",
           wanted_);
    }
    check_profile(profile, fingerprint_(), wanted_);
    return {std::move(profile), wanted_};
  }
  if (wanted_ == "none" || model_path_.empty()) return {};
  const std::string beside = profile_path(model_path_);
  std::error_code error;
  if (std::filesystem::exists(beside, error)) {
    Profile profile = read_profile(beside);
    check_profile(profile, fingerprint_(), beside);
    return {std::move(profile), beside};
  }
  std::optional<Profile> bundled = find_bundled_profile(fingerprint_());
  if (!bundled) return {};
  return {std::move(bundled), "bundled"};
}

ProfileChoice ProfileFinder::apply(const ParamValues& given) const {
  if (wanted_ == "none") return {given, "", "no profile"};
  const std::string* unused = first_given(given, kUnused);
  if (!named() && (unused != nullptr || first_given(given, kDecided) != nullptr)) {
    return {given, "", "no profile: settings of your own"};
  }
  const auto& [profile, where] = found();
  if (!profile) return {given, "", "no profile: the paper's settings"};
  if (named() && unused != nullptr && !profile->chosen.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{} has no effect with a profile of chosen heads, '{}'; leave out one of them", *unused, where);
  }
  ProfileChoice choice{given, where, "profile " + where};
  const ParamValues decided = profile_params(*profile);
  choice.params.insert(decided.begin(), decided.end());
  return choice;
}

ProfileChoice ProfileFinder::choose(const std::string& quality, const MethodInfo& method,
                                    const ParamValues& given) const {
  ParamValues params = given;
  const ParamValues preset = quality_params(quality);
  params.insert(preset.begin(), preset.end());
  if (!takes_profile(method)) {
    if (quality.empty()) return {params, "", ""};
    fail(ErrorCode::kInvalidArgument, "quality {} is for method claa, not {}; leave out one of them", quality,
         method.name);
  }
  ProfileChoice choice = apply(params);
  if (quality.empty()) return choice;
  const std::string early = choice.profile.empty() ? "" : early_drops_param(*found().profile);
  check_quality(quality, choice, early);
  if (quality == "fast") choice.params.emplace("early_drops", early);
  return choice;
}

}  // namespace claa
