#include "profile/profile.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "core/check.h"
#include "core/file_map.h"
#include "text/document.h"
#include "text/json.h"

namespace claa {
namespace {

// Values come from a file: only the beginning of a long one is shown.
std::string_view shown(std::string_view value) {
  return value.substr(0, 60);
}

// Reads the fields of one object and names the file and the field in every complaint.
class Reader {
 public:
  Reader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  const Json& value(const char* name) const {
    const Json* value = object_.find(name);
    if (value == nullptr) refuse("the field '{}' is missing", name);
    return *value;
  }
  bool has(const char* name) const { return object_.find(name) != nullptr; }
  double rate(const char* name) const {
    const Json& found = value(name);
    const double rate = found.number().value_or(NAN);
    if (!(rate > 0 && rate < 1)) refuse("'{}' must lie between 0 and 1, not {}", name, shown(found.source));
    return rate;
  }
  int64_t integer(const char* name, int64_t least, int64_t most) const {
    const Json& found = value(name);
    const std::optional<int64_t> number = found.integer();
    if (!number || *number < least || *number > most) {
      refuse("'{}' must be an integer from {} to {}, not {}", name, least, most, shown(found.source));
    }
    return *number;
  }
  std::string text(const char* name) const {
    const Json& found = value(name);
    if (!found.is(Json::Kind::kString)) refuse("'{}' must be a string, not {}", name, shown(found.source));
    return found.text;
  }
  const std::vector<Json>& list(const char* name) const {
    const Json& found = value(name);
    if (!found.is(Json::Kind::kArray) || found.items.empty())
      refuse("'{}' must be a list that is not empty", name);
    return found.items;
  }
  Reader object(const char* name) const { return of(value(name), name); }
  Reader of(const Json& value, const char* name) const {
    if (!value.is(Json::Kind::kObject)) refuse("'{}' must hold objects, not {}", name, shown(value.source));
    return {value, where_};
  }
  float weight() const {
    const Json& found = value("weight");
    const float weight = static_cast<float>(found.number().value_or(NAN));
    if (!std::isfinite(weight) || !(weight > 0))
      refuse("a head's weight must be a positive number, not {}", shown(found.source));
    return weight;
  }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> what, Args&&... args) const {
    fail(ErrorCode::kCorruptFile, "'{}' is not a usable profile: {}; make it again with `claa calibrate`",
         where_, fmt::format(what, std::forward<Args>(args)...));
  }

 private:
  const Json& object_;
  std::string where_;
};

uint64_t parse_fingerprint(const Reader& model) {
  const std::string text = model.text("fingerprint");
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size()) {
    model.refuse("'fingerprint' must be 16 hexadecimal digits, not '{}'", shown(text));
  }
  return value;
}

// The field "heads": layers up to `last_layer`, heads below `heads`.
std::vector<LayerHead> read_heads(const Reader& reader, int last_layer, int heads) {
  std::vector<LayerHead> chosen;
  for (const Json& value : reader.list("heads")) {
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

}  // namespace

Profile parse_profile(std::string_view text, const std::string& where) {
  const std::optional<Json> json = parse_json(text);
  const Json none;
  const Reader reader(json ? *json : none, where);
  if (!json || !json->is(Json::Kind::kObject)) reader.refuse("it is not a whole JSON object");
  const int64_t version = reader.value("claa_profile").integer().value_or(0);
  if (version != 1 && version != kProfileVersion) {
    reader.refuse("its version is {}, this program reads 1 and {}",
                  shown(reader.value("claa_profile").source), kProfileVersion);
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
    reader.refuse("'pooling' must be avg, max or none, not '{}'", shown(profile.pooling));
  }
  profile.selection_layer = static_cast<int>(reader.integer("selection_layer", 0, profile.layers - 2));
  profile.first_layer = static_cast<int>(reader.integer("first_layer", 0, kMost));
  read_choice(reader, profile, version == 1);
  if (!reader.value("calibration").is(Json::Kind::kObject)) reader.refuse("'calibration' must be an object");
  return profile;
}

Profile read_profile(const std::string& path) {
  const std::string text = read_file(path);
  return parse_profile(without_byte_order_mark(text), path);
}

void check_profile(const Profile& profile, uint64_t model_fingerprint, const std::string& where) {
  if (profile.model_fingerprint == model_fingerprint) return;
  fail(ErrorCode::kInvalidArgument,
       "the profile '{}' was made for another model, '{}' (fingerprint {:016x}, this one has {:016x}); make "
       "one with `claa calibrate` or use --profile none",
       where, shown(profile.model), profile.model_fingerprint, model_fingerprint);
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
  if (path.filename() == "config.json" && path.has_parent_path()) path = path.parent_path();  // of a folder
  if (path.filename().empty() && path.has_parent_path()) path = path.parent_path();           // "folder/"
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

}  // namespace claa
