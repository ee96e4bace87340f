// --profile: the profile that claa chooses by, from a file, from beside the model, or from the program.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "claa/registry.h"
#include "cli/common.h"
#include "core/check.h"
#include "eval/calibration/profile.h"
#include "gguf/file.h"

namespace claa::cli {
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

uint64_t fingerprint_of(const std::string& model_path) {
  return gguf::weights_fingerprint(gguf::File::open(model_path));
}

ProfileChoice with(const eval::Profile& profile, const std::string& source, const ParamValues& given) {
  ProfileChoice choice;
  choice.params = given;
  const ParamValues decided = eval::profile_params(profile);
  choice.params.insert(decided.begin(), decided.end());
  choice.profile = source;
  choice.note = fmt::format("profile {}", source);
  choice.early_drops = eval::early_drops_param(profile);
  return choice;
}

ProfileChoice automatic(const ParamValues& given, const std::string& model_path) {
  if (first_given(given, kDecided) != nullptr || first_given(given, kUnused) != nullptr) {
    return {given, "", "no profile: settings of your own"};
  }
  const ProfileChoice none{given, "", "no profile: the paper's settings"};
  if (model_path.empty()) return none;
  const std::string beside = eval::profile_path(model_path);
  std::error_code error;
  if (std::filesystem::exists(beside, error)) {
    const eval::Profile profile = eval::read_profile(beside);
    eval::check_profile(profile, fingerprint_of(model_path), beside);
    return with(profile, beside, given);
  }
  if (eval::bundled_profiles().empty()) return none;
  const std::optional<eval::Profile> bundled = eval::find_bundled_profile(fingerprint_of(model_path));
  return bundled ? with(*bundled, "bundled", given) : none;
}

}  // namespace

bool takes_profile(const std::string& method) {
  const MethodRegistry registry = builtin_methods();
  const std::vector<ParamSpec>& params = registry.find(method).params;
  return std::any_of(params.begin(), params.end(), [](const ParamSpec& p) { return p.name == "heads"; });
}

ProfileChoice choose_profile(const std::string& wanted, const std::string& method, const ParamValues& given,
                             const std::string& model_path) {
  builtin_methods().create(method, given);
  const bool is_file = wanted != "auto" && wanted != "none";
  if (!takes_profile(method)) {
    if (!is_file) return {given, "", ""};
    fail(ErrorCode::kInvalidArgument, "method {} takes no profile; leave out --profile or use --method claa",
         method);
  }
  if (wanted == "none") return {given, "", "no profile"};
  if (wanted == "auto") return automatic(given, model_path);
  const eval::Profile profile = eval::read_profile(wanted);
  if (const std::string* name = first_given(given, kUnused); name != nullptr && !profile.chosen.empty()) {
    fail(ErrorCode::kInvalidArgument, "{} has no effect with a profile; leave out one of them", *name);
  }
  if (model_path.empty()) {
    fail(ErrorCode::kInvalidArgument, "the profile '{}' needs the model that it was made for; give -m",
         wanted);
  }
  eval::check_profile(profile, fingerprint_of(model_path), wanted);
  return with(profile, wanted, given);
}

void add_profile_option(CLI::App& app, std::string& profile) {
  app.add_option("--profile", profile,
                 "what claa chooses by: a file of 'claa calibrate'; auto: MODEL.profile.json next to the "
                 "model, or a bundled one; or none")
      ->capture_default_str();
}

ProfileChoice MethodOptions::fill(Request& request, const std::string& model_path) const {
  ProfileChoice choice = choose_profile(profile, method_name(), values(), model_path);
  if (!quality.empty() && choice.profile.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "--quality {} needs a profile of the model, and there is none; make one with 'claa calibrate', or "
         "use --method and --keep",
         quality);
  }
  if (quality == "balanced" && choice.params.count("heads") == 0) {
    fail(
        ErrorCode::kInvalidArgument,
        "--quality balanced needs a profile with chosen heads, and '{}' has none; use --quality faithful, or "
        "make one with 'claa calibrate' without --rule",
        choice.profile);
  }
  if (quality == "fast") {
    if (choice.early_drops.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "--quality fast needs a profile with an early drop, and '{}' has none; make it with 'claa "
           "calibrate --early', or use --quality balanced",
           choice.profile);
    }
    choice.params.emplace("early_drops", choice.early_drops);
  }
  request.method = method_name();
  request.params = choice.params;
  return choice;
}

}  // namespace claa::cli
