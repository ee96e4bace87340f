#include "eval/calibration/profile_file.h"

#include <fmt/format.h>

#include "core/output_file.h"
#include "output/json.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

json::array heads_json(const std::vector<LayerHead>& chosen) {
  json::array heads;
  for (const LayerHead& h : chosen)
    heads.push_back(json::object{{"layer", h.layer}, {"head", h.head}, {"weight", h.weight}});
  return heads;
}

}  // namespace

json::object to_json(const MadeProfile& made) {
  const Profile& profile = made.profile;
  json::object model{{"name", profile.model},
                     {"fingerprint", fmt::format("{:016x}", profile.model_fingerprint)},
                     {"layers", profile.layers},
                     {"heads", profile.heads}};
  const bool rule = profile.chosen.empty();
  json::object result{{"claa_profile", rule ? kProfileVersion : 1},
                      {"model", std::move(model)},
                      {"window", profile.window},
                      {"kernel", profile.kernel},
                      {"pooling", profile.pooling},
                      {"selection_layer", profile.selection_layer},
                      {"first_layer", profile.first_layer}};
  if (rule) {
    result["last_layers"] = profile.last_layers;
  } else {
    result["heads"] = heads_json(profile.chosen);
  }
  if (!profile.early_heads.empty()) {
    result["early"] = json::object{{"layer", profile.early.layer},
                                   {"rate", profile.early.rate},
                                   {"heads", heads_json(profile.early_heads)}};
  }
  result["calibration"] = made.calibration;
  return result;
}

void write_profile(const std::string& path, const MadeProfile& made) {
  OutputFile(path).commit(json_text(to_json(made)) + "\n");
}

}  // namespace claa::eval
