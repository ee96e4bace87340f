#include "eval/calibration/profile.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "core/check.h"
#include "core/file_map.h"
#include "core/output_file.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

// Reads the fields of one object and names the file and the field in every error.
class Reader {
 public:
  Reader(const json::object& object, std::string where) : object_(object), where_(std::move(where)) {}

  const json::value& value(const char* name) const {
    const json::value* value = object_.if_contains(name);
    if (value == nullptr) refuse("the field '{}' is missing", name);
    return *value;
  }
  bool has(const char* name) const { return object_.contains(name); }
  double rate(const char* name) const {
    const json::value& found = value(name);
    const double rate = found.is_number() ? found.to_number<double>() : NAN;
    if (!(rate > 0 && rate < 1))
      refuse("'{}' must lie between 0 and 1, not {}", name, json::serialize(found));
    return rate;
  }
  int64_t integer(const char* name, int64_t least, int64_t most) const {
    const json::value& found = value(name);
    const int64_t* number = found.if_int64();
    if (number == nullptr || *number < least || *number > most) {
      refuse("'{}' must be an integer from {} to {}, not {}", name, least, most, json::serialize(found));
    }
    return *number;
  }
  std::string text(const char* name) const {
    const json::value& found = value(name);
    if (!found.is_string()) refuse("'{}' must be a string, not {}", name, json::serialize(found));
    return std::string(found.as_string());
  }
  const json::array& list(const char* name) const {
    const json::value& found = value(name);
    if (!found.is_array() || found.as_array().empty()) refuse("'{}' must be a list that is not empty", name);
    return found.as_array();
  }
  Reader object(const char* name) const { return of(value(name), name); }
  Reader of(const json::value& value, const char* name) const {
    if (!value.is_object()) refuse("'{}' must hold objects, not {}", name, json::serialize(value));
    return {value.as_object(), where_};
  }
  float weight() const {
    const json::value& found = value("weight");
    const double number = found.is_number() ? found.to_number<double>() : NAN;
    const float weight = static_cast<float>(number);
    if (!std::isfinite(weight) || !(weight > 0)) {
      refuse("a head's weight must be a positive number, not {}", json::serialize(found));
    }
    return weight;
  }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> what, Args&&... args) const {
    fail(ErrorCode::kCorruptFile, "'{}' is not a usable profile: {}; make it again with `claa calibrate`",
         where_, fmt::format(what, std::forward<Args>(args)...));
  }

 private:
  const json::object& object_;
  std::string where_;
};

uint64_t parse_fingerprint(const Reader& model) {
  const std::string text = model.text("fingerprint");
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size()) {
    model.refuse("'fingerprint' must be 16 hexadecimal digits, not '{}'", text);
  }
  return value;
}

// The field "heads": layers up to `last_layer`, heads below `heads`.
std::vector<LayerHead> read_heads(const Reader& reader, int last_layer, int heads) {
  std::vector<LayerHead> chosen;
  for (const json::value& value : reader.list("heads")) {
    const Reader head = reader.of(value, "heads");
    chosen.push_back({static_cast<int>(head.integer("layer", 0, last_layer)),
                      static_cast<int>(head.integer("head", 0, heads - 1)), head.weight()});
  }
  try {
    return parse_heads("heads", show_heads(chosen));  // sorts them and refuses repeated ones
  } catch (const Error& error) {
    reader.refuse("{}", error.what());
  }
}

void read_early(const Reader& reader, Profile& profile) {
  profile.early.layer = static_cast<int>(reader.integer("layer", 0, profile.selection_layer - 1));
  profile.early.rate = reader.rate("rate");
  profile.early_heads = read_heads(reader, profile.early.layer, profile.heads);
}

// Reads what chooses: heads or, from version 2 on, the published rule.
void read_choice(const Reader& reader, Profile& profile, bool heads_only) {
  if (heads_only || !reader.has("last_layers")) {
    profile.chosen = read_heads(reader, profile.selection_layer, profile.heads);
    if (reader.has("early")) read_early(reader.object("early"), profile);
    return;
  }
  for (const char* other : {"heads", "early"}) {
    if (reader.has(other)) reader.refuse("it has both 'last_layers' and '{}'", other);
  }
  profile.last_layers = static_cast<int>(reader.integer("last_layers", 1, profile.selection_layer + 1));
}

json::array heads_json(const std::vector<LayerHead>& chosen) {
  json::array heads;
  for (const LayerHead& h : chosen)
    heads.push_back(json::object{{"layer", h.layer}, {"head", h.head}, {"weight", h.weight}});
  return heads;
}

}  // namespace

json::object to_json(const Profile& profile) {
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
  result["calibration"] = profile.calibration;
  return result;
}

Profile parse_profile(std::string_view text, const std::string& where) {
  boost::system::error_code error;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  const json::object none;
  const Reader reader(value.is_object() ? value.as_object() : none, where);
  if (error || !value.is_object()) {
    reader.refuse("it is not a whole JSON object{}", error ? " (" + error.message() + ")" : "");
  }
  const json::value& version = reader.value("claa_profile");
  if (version != json::value(1) && version != json::value(kProfileVersion)) {
    reader.refuse("its version is {}, this program reads 1 and {}", json::serialize(version),
                  kProfileVersion);
  }
  constexpr int64_t kMost = 4096;  // the same limit as for the method's parameters
  Profile profile;
  const Reader model = reader.object("model");
  profile.model = model.text("name");
  profile.model_fingerprint = parse_fingerprint(model);
  profile.layers = static_cast<int>(model.integer("layers", 2, kMost));
  profile.heads = static_cast<int>(model.integer("heads", 1, kMost));
  profile.window = reader.integer("window", 1, kMost);
  profile.kernel = reader.integer("kernel", 1, kMost - 1);
  profile.pooling = reader.text("pooling");
  if (profile.pooling != "avg" && profile.pooling != "max" && profile.pooling != "none") {
    reader.refuse("'pooling' must be avg, max or none, not '{}'", profile.pooling);
  }
  profile.selection_layer = static_cast<int>(reader.integer("selection_layer", 0, profile.layers - 2));
  profile.first_layer = static_cast<int>(reader.integer("first_layer", 0, kMost));
  read_choice(reader, profile, version == json::value(1));
  const json::value& calibration = reader.value("calibration");
  if (!calibration.is_object()) reader.refuse("'calibration' must be an object");
  profile.calibration = calibration.as_object();
  return profile;
}

Profile read_profile(const std::string& path) {
  return parse_profile(read_file(path), path);
}

void write_profile(const std::string& path, const Profile& profile) {
  OutputFile(path).commit(json::serialize(to_json(profile)) + "\n");
}

void check_profile(const Profile& profile, uint64_t model_fingerprint, const std::string& where) {
  if (profile.model_fingerprint == model_fingerprint) return;
  fail(ErrorCode::kInvalidArgument,
       "the profile '{}' was made for another model, '{}' (fingerprint {:016x}, this one has {:016x}); make "
       "one with `claa calibrate` or use --profile none",
       where, profile.model, profile.model_fingerprint, model_fingerprint);
}

ParamValues profile_params(const Profile& profile) {
  ParamValues params{{"window", std::to_string(profile.window)},
                     {"kernel", std::to_string(profile.kernel)},
                     {"pooling", profile.pooling},
                     {"selection_layer", std::to_string(profile.selection_layer)},
                     {"first_layer", std::to_string(profile.first_layer)}};
  if (profile.chosen.empty()) {
    params["last_layers"] = std::to_string(profile.last_layers);
  } else {
    params["heads"] = show_heads(profile.chosen);
    params["early_heads"] = show_heads(profile.early_heads);
  }
  return params;
}

std::string early_drops_param(const Profile& profile) {
  if (profile.early_heads.empty()) return "";
  return fmt::format("{}:{}", profile.early.layer, profile.early.rate);
}

std::string profile_path(const std::string& model_path) {
  std::filesystem::path path(model_path);
  if (path.extension() == ".gguf") path.replace_extension();
  return path.string() + ".profile.json";
}

std::optional<Profile> find_bundled_profile(uint64_t model_fingerprint) {
  for (const BundledProfile& bundled : bundled_profiles()) {
    Profile profile = parse_profile(bundled.text, std::string(bundled.name));
    if (profile.model_fingerprint == model_fingerprint) return profile;
  }
  return std::nullopt;
}

}  // namespace claa::eval
