#include "eval/calibrate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "claa/version.h"
#include "core/check.h"
#include "core/fingerprint.h"
#include "eval/head_scores.h"
#include "tokenizer/utf8.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

// Scores of one prompt's heads on their way to the file; of the recall only what the oracle tells later.
class HeadCollector {
 public:
  HeadCollector(const CalibrateOptions& options, const ModelSummary& model, int64_t tokens)
      : options_(options), heads_(static_cast<int>(model.heads)), writer_(heads_, tokens - options.window) {}

  void observe(LayerView& view) {
    ScoreSpec spec;
    spec.window = options_.window;
    spec.kernel = options_.kernel;
    spec.group = spec.heads = Reduce::kKeep;
    spec.normalize_heads = true;
    const Scores scores = view.scores(spec);
    const std::vector<float> values = scores.to_host();
    if (view.layer() <= options_.last_layer()) writer_.add_layer(values);
    std::vector<std::vector<int32_t>>& best = best_.emplace_back();
    const auto tokens = static_cast<size_t>(scores.tokens());
    for (size_t h = 0; h < static_cast<size_t>(heads_); ++h) {
      best.push_back(top_indices(std::span(values).subspan(h * tokens, tokens),
                                 share(scores.tokens(), options_.budget)));
    }
  }

  std::vector<std::vector<double>> recalls_of(const std::vector<int32_t>& wanted) const {
    std::vector<std::vector<double>> recalls;
    for (const std::vector<std::vector<int32_t>>& layer : best_) {
      recalls.emplace_back();
      for (const std::vector<int32_t>& best : layer) recalls.back().push_back(recall(wanted, best));
    }
    return recalls;
  }
  const HeadScoresWriter& writer() const { return writer_; }

 private:
  const CalibrateOptions& options_;
  int heads_;
  HeadScoresWriter writer_;
  std::vector<std::vector<std::vector<int32_t>>> best_;  // [layers][heads], indices
};

const json::value& field(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr) fail(ErrorCode::kCorruptFile, "the calibration field '{}' is missing", name);
  return *value;
}

json::object moments_json(const Moments& moments) {
  if (moments.n == 0) return {{"n", 0}};
  return {{"mean", moments.mean}, {"standard_error", moments.standard_error}, {"n", moments.n}};
}

void add_candidates(json::object& to, const SelectionResult& result) {
  json::array candidates;
  for (const Candidate& candidate : result.candidates) {
    candidates.push_back(json::object{{"selection_layer", candidate.layer},
                                      {"picks", candidate.heads},
                                      {"recall_selected_on", candidate.selected_on},
                                      {"recall_prompts_left_out", moments_json(candidate.prompts_left_out)},
                                      {"recall_groups_left_out", moments_json(candidate.groups_left_out)}});
  }
  to["chosen"] = candidates[result.chosen];
  to["candidates"] = std::move(candidates);
}

json::object calibration_json(const CalibrateOptions& options, const std::vector<CollectedPrompt>& collected,
                              const SelectionResult& result, const std::optional<SelectionResult>& early) {
  std::map<std::string, int64_t> groups;
  int64_t fewest = std::numeric_limits<int64_t>::max(), most = 0;
  for (const CollectedPrompt& prompt : collected) {
    ++groups[prompt.group];
    fewest = std::min(fewest, prompt.tokens);
    most = std::max(most, prompt.tokens);
  }
  json::object calibration = options.collection();
  calibration["program"] = std::string("claa ") + std::string(kVersion);
  calibration["prompts"] = collected.size();
  calibration["prompt_tokens"] = json::array{fewest, most};
  json::object by_group;
  for (const auto& [name, count] : groups) by_group[replace_invalid_utf8(name)] = count;
  calibration["groups"] = std::move(by_group);
  add_candidates(calibration, result);
  if (early) {
    json::object at{{"layer", options.early.layer}, {"rate", options.early.rate}};
    add_candidates(at, *early);
    calibration["early"] = std::move(at);
  }
  return calibration;
}

}  // namespace

json::object CalibrateOptions::collection() const {
  return {{"window", window},
          {"kernel", kernel},
          {"oracle_kernel", oracle_kernel},
          {"answer_tokens", answer_tokens},
          {"answer", use_gold ? "gold where there is one" : "own"},
          {"oracle_best", oracle_best},
          {"budget", budget},
          {"last_layer", last_layer()}};
}

json::object to_json(const CollectedPrompt& prompt) {
  json::array recall;
  for (const std::vector<double>& layer : prompt.head_recall)
    recall.push_back(json::array(layer.begin(), layer.end()));
  return {{"id", replace_invalid_utf8(prompt.id)},
          {"group", replace_invalid_utf8(prompt.group)},
          {"tokens", prompt.tokens},
          {"answer_tokens", prompt.answer_tokens},
          {"answer", replace_invalid_utf8(prompt.answer)},
          {"file", prompt.file},
          {"wanted", json::array(prompt.wanted.begin(), prompt.wanted.end())},
          {"head_recall", std::move(recall)}};
}

CollectedPrompt collected_from_json(const json::object& object) {
  CollectedPrompt prompt;
  try {
    prompt.id = json::value_to<std::string>(field(object, "id"));
    prompt.group = json::value_to<std::string>(field(object, "group"));
    prompt.tokens = json::value_to<int64_t>(field(object, "tokens"));
    prompt.answer_tokens = json::value_to<int64_t>(field(object, "answer_tokens"));
    prompt.answer = json::value_to<std::string>(field(object, "answer"));
    prompt.file = json::value_to<std::string>(field(object, "file"));
    prompt.wanted = json::value_to<std::vector<int32_t>>(field(object, "wanted"));
    prompt.head_recall = json::value_to<std::vector<std::vector<double>>>(field(object, "head_recall"));
  } catch (const boost::system::system_error& error) {
    fail(ErrorCode::kCorruptFile, "a line of the calibration has a field of the wrong type: {}",
         error.what());
  }
  return prompt;
}

void set_layers(CalibrateOptions& options, const ModelSummary& model) {
  std::vector<int>& layers = options.layers;
  if (layers.empty()) {
    const int depth = static_cast<int>(model.layers), last = std::max(0, depth - 2);
    layers = {std::clamp(depth / 2 - 1, 0, last), std::min(depth * 3 / 5, last)};
  }
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  for (const int layer : options.layers) {
    if (layer < 0 || layer >= model.layers - 1) {
      fail(ErrorCode::kInvalidArgument,
           "layer {} cannot be a selection layer of a model of {} layers; choose 0..{}", layer, model.layers,
           model.layers - 2);
    }
  }
  if (options.early.rate < 1 && options.early.layer >= layers.front()) {
    fail(ErrorCode::kInvalidArgument,
         "the early drop's layer {} must come before every candidate for the selection "
         "layer, the first of which is {}",
         options.early.layer, layers.front());
  }
}

CollectedPrompt collect_prompt(Engine& engine, const StudyPrompt& prompt, const CalibrateOptions& options,
                               const std::filesystem::path& folder, const std::string& file,
                               const std::atomic<bool>* cancel) {
  OracleRequest request = oracle_request(prompt, options.use_gold, options.answer_tokens, cancel);
  request.kernel = options.oracle_kernel;
  const auto tokens = static_cast<int64_t>(engine.tokenize(request.request).size());
  if (tokens < 2 * options.window) {
    fail(ErrorCode::kInvalidArgument, "prompt '{}' has {} tokens, fewer than two windows of {}", prompt.id,
         tokens, options.window);
  }
  HeadCollector collector(options, engine.model(), tokens);
  request.on_layer = [&](LayerView& view) { collector.observe(view); };
  const OracleResult oracle = engine.oracle(request);
  const int64_t ranked = tokens - options.window;
  CollectedPrompt result;
  result.id = prompt.id;
  result.group = prompt.group;
  result.tokens = tokens;
  result.answer_tokens = static_cast<int64_t>(oracle.answer.tokens.size());
  result.answer = oracle.answer.text;
  result.file = file;
  result.wanted = top_indices(std::span(oracle.ranking.scores).first(static_cast<size_t>(ranked)),
                              share(ranked, options.oracle_best));
  result.head_recall = collector.recalls_of(result.wanted);
  collector.writer().write((folder / file).string());
  return result;
}

std::string scores_file(const StudyPrompt& prompt) {
  std::string content = prompt.id;
  for (const std::string& part : {prompt.prompt, prompt.answer_prefix, prompt.gold.value_or("")}) {
    content += '\0';
    content += part;
  }
  return fmt::format("scores_{:016x}.bin", fingerprint(std::as_bytes(std::span(content))));
}

std::vector<SelectionPrompt> selection_prompts(const std::vector<CollectedPrompt>& collected,
                                               const CalibrateOptions& options, double budget,
                                               const std::filesystem::path& folder) {
  std::vector<SelectionPrompt> prompts;
  for (const CollectedPrompt& prompt : collected) {
    const std::string path = (folder / prompt.file).string();
    auto scores = std::make_shared<HeadScoresFile>(path);
    const int64_t tokens = scores->tokens();
    const bool inside = !prompt.wanted.empty() && prompt.wanted.front() >= 0 &&
                        prompt.wanted.back() < tokens &&
                        std::is_sorted(prompt.wanted.begin(), prompt.wanted.end());
    if (!inside || tokens != prompt.tokens - options.window || scores->layers() != options.last_layer() + 1) {
      fail(ErrorCode::kCorruptFile,
           "'{}' does not belong to prompt '{}' of {} tokens; collect again in another folder", path,
           prompt.id, prompt.tokens);
    }
    prompts.push_back({std::move(scores), prompt.wanted, share(tokens, budget), prompt.group});
  }
  return prompts;
}

Profile make_profile(const ModelSummary& model, const CalibrateOptions& options,
                     const std::vector<CollectedPrompt>& collected, const SelectionResult& result,
                     const std::optional<SelectionResult>& early) {
  Profile profile;
  profile.model = replace_invalid_utf8(model.name);
  profile.model_fingerprint = model.fingerprint;
  profile.layers = static_cast<int>(model.layers);
  profile.heads = static_cast<int>(model.heads);
  profile.window = options.window;
  profile.kernel = options.kernel;
  profile.selection_layer = result.candidates[result.chosen].layer;
  profile.first_layer = options.first_layer >= 0 ? options.first_layer : profile.selection_layer + 1;
  profile.chosen = result.heads;
  if (early) {
    profile.early = options.early;
    profile.early_heads = early->heads;
  }
  profile.calibration = calibration_json(options, collected, result, early);
  return profile;
}

std::vector<std::vector<double>> mean_head_recall(const std::vector<CollectedPrompt>& collected) {
  std::vector<std::vector<double>> mean = collected.front().head_recall;
  for (size_t i = 1; i < collected.size(); ++i) {
    for (size_t layer = 0; layer < mean.size(); ++layer) {
      for (size_t h = 0; h < mean[layer].size(); ++h)
        mean[layer][h] += collected[i].head_recall.at(layer).at(h);
    }
  }
  for (std::vector<double>& layer : mean) {
    for (double& value : layer) value /= static_cast<double>(collected.size());
  }
  return mean;
}

}  // namespace claa::eval
