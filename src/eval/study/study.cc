#include "eval/study/study.h"

#include <algorithm>
#include <map>
#include <set>

#include "claa/version.h"
#include "core/check.h"
#include "core/counts.h"
#include "eval/study/json_file.h"
#include "eval/study/study_log.h"
#include "output/json.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

std::string shard_text(const Shard& shard) {
  return fmt::format("{}/{}", shard.part, shard.parts);
}

template <typename Values>
json::array array_of(const Values& values) {
  return json::array(values.begin(), values.end());
}

std::vector<Configuration> configurations_from(const JsonObject& study) {
  std::vector<Configuration> configurations;
  for (const JsonObject& entry : study.objects("configurations")) {
    Configuration configuration;
    configuration.label = entry.text("label");
    configuration.line = entry.text("line");
    configuration.method = entry.text("method");
    configuration.keep = entry.text("keep");
    configurations.push_back(std::move(configuration));
  }
  return configurations;
}

json::object without_shard(json::object configuration) {
  configuration.erase("shard");
  return configuration;
}

// Names the field in which two studies differ.
std::string different_field(const json::object& a, const json::object& b) {
  for (const auto& [name, value] : a) {
    const json::value* other = b.if_contains(name);
    if (other == nullptr || *other != value) return std::string(name);
  }
  return "the fields";
}

using Key = std::pair<int64_t, std::string>;

Key key_of(const json::object& result) {
  const Outcome outcome = outcome_from_json(result);
  return {outcome.index, outcome.configuration};
}

// Fields in which two evaluations of the same examples may differ.
json::object without_configurations(json::object study) {
  study.erase("configurations");
  return study;
}

// Checks that the studies have one configuration, and that every shard is given once and complete.
void check_shards(const std::vector<const Study*>& studies, const std::vector<std::string>& folders) {
  std::map<int64_t, std::string> parts;
  for (size_t i = 0; i < studies.size(); ++i) {
    const Study& study = *studies[i];
    if (study.shard.parts != studies[0]->shard.parts) {
      fail(ErrorCode::kInvalidArgument,
           "'{}' and '{}' are no shards of one evaluation: the number of shards differs", folders[0],
           folders[i]);
    }
    if (!parts.emplace(study.shard.part, folders[i]).second) {
      fail(ErrorCode::kInvalidArgument, "'{}' and '{}' both hold shard {}; give each shard once",
           parts[study.shard.part], folders[i], shard_text(study.shard));
    }
    if (static_cast<int64_t>(study.results.size()) != study.expected) {
      fail(ErrorCode::kInvalidArgument,
           "'{}' (shard {}) has {} of {} results; run it again to finish it, then merge", folders[i],
           shard_text(study.shard), group_digits(study.results.size()), group_digits(study.expected));
    }
  }
  std::string missing;
  for (int64_t part = 1; part <= studies[0]->shard.parts; ++part) {
    if (parts.count(part) == 0)
      missing += fmt::format("{}{}/{}", missing.empty() ? "" : ", ", part, studies[0]->shard.parts);
  }
  if (!missing.empty())
    fail(ErrorCode::kInvalidArgument, "missing shards: {}; give the folder of every shard", missing);
}

// Adds the configurations of `other`, which asked the same examples.
void add_configurations(Study& merged, const std::string& first_folder, const Study& other,
                        const std::string& folder) {
  const json::object first = without_configurations(without_shard(merged.configuration));
  const json::object second = without_configurations(without_shard(other.configuration));
  if (first != second) {
    fail(ErrorCode::kInvalidArgument, "'{}' and '{}' are no shards of one evaluation: {} differs",
         first_folder, folder, different_field(first, second));
  }
  json::array& all = merged.configuration["configurations"].as_array();
  for (const Configuration& configuration : other.configurations) {
    for (const Configuration& known : merged.configurations) {
      if (known.label != configuration.label) continue;
      fail(ErrorCode::kInvalidArgument, "'{}' and '{}' both have a configuration '{}', and not the same one",
           first_folder, folder, known.label);
    }
  }
  for (const json::value& entry : other.configuration.at("configurations").as_array()) all.push_back(entry);
  merged.configurations.insert(merged.configurations.end(), other.configurations.begin(),
                               other.configurations.end());
}

}  // namespace

json::object study_json(const StudySetup& setup, const ModelSummary& model,
                        const std::vector<PlannedExample>& examples,
                        const std::vector<Configuration>& configurations) {
  const json::object study{{"program", std::string("claa ") + std::string(kVersion)},
                           {"model", model.name},
                           {"model_fingerprint", fmt::format("{:016x}", model.fingerprint)},
                           {"draft", model.draft},
                           {"device", model.device},
                           {"tasks", array_of(setup.tasks)},
                           {"data", setup.data},
                           {"haystack", setup.haystack},
                           {"lengths", array_of(setup.lengths)},
                           {"examples", setup.examples},
                           {"skip", setup.skip},
                           {"seeds", array_of(setup.seeds)},
                           {"shard", shard_text(setup.shard)},
                           {"example_count", examples.size()},
                           {"examples_fingerprint", plan_fingerprint(examples)},
                           {"configurations", to_json(configurations)}};
  // Parsed from its text, so that the kinds of numbers compare equal.
  return json::parse(json_text(study)).as_object();
}

Study read_study(const std::string& folder) {
  const std::string path = folder + "/" + kResultsFile;
  LogContent content = read_log(path);
  const JsonObject object(content.configuration, fmt::format("'{}' line 1", path));
  Study study;
  study.shard = parse_shard(object.text("shard"));
  study.configurations = configurations_from(object);
  const auto examples = static_cast<int64_t>(object.number("example_count"));
  for (int64_t index = 0; index < examples; ++index)
    study.expected += study.shard.has(index) ? static_cast<int64_t>(study.configurations.size()) : 0;
  std::set<Key> keys;
  for (const json::object& result : content.results) {
    if (!keys.insert(of_log(path, [&] { return key_of(result); })).second) {
      fail(ErrorCode::kCorruptFile,
           "'{}' has two results of example {} by '{}'; two runs wrote there at once", path,
           key_of(result).first, key_of(result).second);
    }
  }
  study.configuration = std::move(content.configuration);
  study.results = std::move(content.results);
  return study;
}

Study merge_studies(const std::vector<std::string>& folders) {
  if (folders.empty()) fail(ErrorCode::kInvalidArgument, "nothing to merge: give the folder of every shard");
  std::vector<Study> studies;
  for (const std::string& folder : folders) studies.push_back(read_study(folder));

  Study merged = studies[0];
  std::vector<json::object> kinds;  // one per set of shards
  for (size_t i = 0; i < studies.size(); ++i) {
    json::object kind = without_shard(studies[i].configuration);
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) continue;
    if (i > 0) add_configurations(merged, folders[0], studies[i], folders[i]);
    kinds.push_back(std::move(kind));
  }
  for (const json::object& kind : kinds) {
    std::vector<const Study*> shards;
    std::vector<std::string> names;
    for (size_t i = 0; i < studies.size(); ++i) {
      if (without_shard(studies[i].configuration) != kind) continue;
      shards.push_back(&studies[i]);
      names.push_back(folders[i]);
    }
    check_shards(shards, names);
  }
  merged.shard = {};
  merged.configuration["shard"] = shard_text(merged.shard);
  merged.results.clear();
  merged.expected = 0;
  std::map<std::string, size_t> order;
  for (const Configuration& configuration : merged.configurations)
    order.emplace(configuration.label, order.size());
  std::map<std::pair<int64_t, size_t>, json::object> results;
  for (Study& study : studies) {
    merged.expected += study.expected;
    for (json::object& result : study.results) {
      const Key key = key_of(result);
      results[{key.first, order[key.second]}] = std::move(result);
    }
  }
  for (auto& [key, result] : results) merged.results.push_back(std::move(result));
  return merged;
}

std::string study_text(const Study& study) {
  std::string text = json_text(study.configuration) + "\n";
  for (const json::object& result : study.results) text += json_text(result) + "\n";
  return text;
}

}  // namespace claa::eval
