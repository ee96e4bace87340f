// A profile: how one model's tokens are chosen well, by which query heads or by the published rule, and how
// that was found. JSON, versioned and bound to the weights; docs/calibration.md describes the fields. The
// field "calibration", which tells people how the choice was made, is written by eval and not kept here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "claa/heads.h"
#include "claa/params.h"

namespace claa {

// Version 1, which older programs read too, is for chosen heads; 2 is for the published rule.
inline constexpr int64_t kProfileVersion = 2;

struct Profile {
  std::string model;  // name of the model, for people
  uint64_t model_fingerprint = 0;
  int layers = 0, heads = 0;  // of the model
  int64_t window = 64;
  int64_t kernel = 21;
  std::string pooling = "avg";
  int selection_layer = 0;
  int first_layer = 0;
  std::vector<LayerHead> chosen;  // in the order of layers and heads; empty: the published rule
  int last_layers = 0;            // for the published rule; 0: heads
  // An optional early drop, used by quality "fast": the rate of the prompt that lives on after its layer, and
  // the heads that choose there. No heads: none was calibrated.
  EarlyDrop early;
  std::vector<LayerHead> early_heads;
};

// `where` names the source in messages. Throws Error{kCorruptFile}: no JSON object (or cut off), an unknown
// version, a field that is missing or out of range, a head that the described model lacks, a weight that is
// no positive number.
Profile parse_profile(std::string_view text, const std::string& where);
// Throws as parse_profile() and read_file().
Profile read_profile(const std::string& path);
// Throws Error{kInvalidArgument} when the profile was made for other weights.
void check_profile(const Profile& profile, uint64_t model_fingerprint, const std::string& where);

// The parameters of the method `claa` that the profile sets: `heads` or `last_layers`, and the rest. Early
// heads are among them; the early drop is not, because it is applied only on request.
ParamValues profile_params(const Profile& profile);
// The early drop as the parameter `early_drops`; empty without one.
std::string early_drops_param(const Profile& profile);

// Path of the profile of a model file: MODEL.profile.json for MODEL.gguf or the folder MODEL.
std::string profile_path(const std::string& model_path);

// A file of profiles/, built into the program.
struct BundledProfile {
  std::string_view name, text;
};
std::span<const BundledProfile> bundled_profiles();
// The bundled profile of these weights, if there is one.
std::optional<Profile> find_bundled_profile(uint64_t model_fingerprint);

}  // namespace claa
