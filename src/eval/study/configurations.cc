#include "eval/study/configurations.h"

#include <algorithm>
#include <set>

#include "core/check.h"
#include "eval/study/json_file.h"
#include "output/json.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

constexpr size_t kMostConfigurations = 10000;

bool has_param(const MethodInfo& method, const std::string& name) {
  return std::any_of(method.params.begin(), method.params.end(),
                     [&](const ParamSpec& spec) { return spec.name == name; });
}

// Collects the configurations; the registry checks every value.
class Builder {
 public:
  explicit Builder(const ConfigurationOptions& options)
      : options_(options), registry_(builtin_methods()), set_unused_(names_of(options.set)) {}

  // Adds one configuration, or one per rate if it has a rate that is left open.
  void add(const std::string& line, const std::string& method, const ParamValues& own,
           const std::string& profile) {
    const MethodInfo& info = registry_.find(method);
    ParamValues params;
    for (const auto& [name, value] : options_.set) {
      if (!has_param(info, name)) continue;
      params[name] = value;
      set_unused_.erase(name);
    }
    for (const auto& [name, value] : own) params[name] = value;
    const bool open =
        has_param(info, "keep") && params.count("keep") == 0 && params.count("keep_tokens") == 0;
    if (!open) {
      const auto keep = params.find("keep");
      return push({line, line, method, keep == params.end() ? "" : keep->second, params, {}, {}}, profile);
    }
    for (const std::string& keep : options_.keeps) {
      params["keep"] = keep;
      push({fmt::format("{} {}", line, keep), line, method, keep, params, {}, {}}, profile);
    }
  }

  std::vector<Configuration> take() {
    if (all_.empty())
      fail(ErrorCode::kInvalidArgument, "nothing to evaluate: give --methods and --keep, or a --sweep");
    if (!set_unused_.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "--set {}: none of the methods has this parameter; see 'claa methods'", *set_unused_.begin());
    }
    return std::move(all_);
  }

 private:
  static std::set<std::string> names_of(const ParamValues& values) {
    std::set<std::string> names;
    for (const auto& [name, value] : values) names.insert(name);
    return names;
  }

  void push(Configuration configuration, const std::string& profile) {
    if (options_.find_profile) {
      const std::string& wanted = profile.empty() ? options_.profile : profile;
      Profiled found = options_.find_profile(wanted, configuration.method, configuration.params);
      configuration.params = std::move(found.params);
      configuration.profile = std::move(found.profile);
    }
    configuration.effective = registry_.create(configuration.method, configuration.params)->params();
    if (!labels_.insert(configuration.label).second) {
      fail(ErrorCode::kInvalidArgument, "two configurations are called '{}'; give each its own label",
           configuration.label);
    }
    if (all_.size() == kMostConfigurations)
      fail(ErrorCode::kInvalidArgument, "more than {} configurations; use a smaller grid",
           kMostConfigurations);
    all_.push_back(std::move(configuration));
  }

  const ConfigurationOptions& options_;
  MethodRegistry registry_;
  std::set<std::string> set_unused_, labels_;
  std::vector<Configuration> all_;
};

// Parameters are text; a sweep may write them as JSON numbers.
std::string param_text(const json::value& value, const std::string& where) {
  if (value.is_string()) return std::string(value.as_string());
  if (value.is_int64() || value.is_uint64()) return json_text(value);
  if (value.is_double()) return fmt::format("{}", value.as_double());
  fail(ErrorCode::kInvalidArgument, "{} must be a string or a number, not {}", where, json_text(value));
}

// Every combination of a grid's lists; the last parameter changes fastest.
void expand(Builder& builder, const std::string& label, const std::string& method, const ParamValues& params,
            const std::string& profile,
            const std::vector<std::pair<std::string, std::vector<std::string>>>& grid, size_t at) {
  if (at == grid.size()) return builder.add(label, method, params, profile);
  for (const std::string& value : grid[at].second) {
    ParamValues chosen = params;
    chosen[grid[at].first] = value;
    expand(builder, fmt::format("{} {}={}", label, grid[at].first, value), method, chosen, profile, grid,
           at + 1);
  }
}

void add_entry(Builder& builder, const JsonObject& entry, const std::string& sweep) {
  entry.allow({"label", "method", "params", "profile", "grid"});
  const std::string method = entry.text("method");
  ParamValues params;
  for (const auto& [name, value] : entry.object("params"))
    params[name] = param_text(value, fmt::format("{}: params.{}", entry.where(), std::string(name)));
  std::vector<std::pair<std::string, std::vector<std::string>>> grid;
  for (const auto& [name, values] : entry.object("grid")) {
    const std::string where = fmt::format("{}: grid.{}", entry.where(), std::string(name));
    if (!values.is_array() || values.as_array().empty())
      fail(ErrorCode::kInvalidArgument, "{} must be a list of values", where);
    grid.emplace_back(name, std::vector<std::string>());
    for (const json::value& value : values.as_array()) grid.back().second.push_back(param_text(value, where));
  }
  std::string profile = entry.text("profile", "");
  if (profile != "auto" && profile != "none") profile = beside(sweep, profile);
  expand(builder, entry.text("label", method), method, params, profile, grid, 0);
}

void add_sweep(Builder& builder, const std::string& path) {
  const JsonObject sweep = JsonObject::read(path);
  sweep.allow({"about", "configurations"});
  const std::vector<JsonObject> entries = sweep.objects("configurations");
  if (entries.empty()) fail(ErrorCode::kInvalidArgument, "'{}': 'configurations' is empty", path);
  for (const JsonObject& entry : entries) add_entry(builder, entry, path);
}

}  // namespace

std::vector<Configuration> make_configurations(const ConfigurationOptions& options) {
  Builder builder(options);
  for (const std::string& method : options.methods) builder.add(method, method, {}, "");
  if (!options.sweep.empty()) add_sweep(builder, options.sweep);
  return builder.take();
}

json::array to_json(const std::vector<Configuration>& configurations) {
  json::array array;
  for (const Configuration& configuration : configurations) {
    json::object params;
    for (const auto& [name, value] : configuration.effective) params[name] = value;
    array.push_back(json::object{{"label", configuration.label},
                                 {"line", configuration.line},
                                 {"method", configuration.method},
                                 {"keep", configuration.keep},
                                 {"profile", configuration.profile},
                                 {"params", std::move(params)}});
  }
  return array;
}

const Configuration* baseline_of(const std::vector<Configuration>& all, const Configuration& configuration,
                                 const std::string& baseline) {
  const Configuration* found = nullptr;
  for (const Configuration& other : all) {
    if (other.label == baseline) {
      found = &other;
      break;
    }
    if (other.method != baseline && other.line != baseline) continue;
    if (other.keep == configuration.keep || other.keep.empty()) found = found == nullptr ? &other : found;
  }
  return found == nullptr || found->label == configuration.label ? nullptr : found;
}

}  // namespace claa::eval
