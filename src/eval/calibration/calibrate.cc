#include "eval/calibration/calibrate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>

#include "claa/version.h"
#include "core/check.h"
#include "core/counts.h"
#include "core/fingerprint.h"
#include "core/usize.h"
#include "eval/calibration/head_scores.h"
#include "eval/calibration/pooled_scores.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

// Collects the scores of one prompt's heads for the file. For the recall it keeps only each head's best
// tokens, because the oracle is known later.
class HeadCollector {
 public:
  HeadCollector(const CalibrateOptions& options, const ModelSummary& model, int64_t tokens)
      : options_(options),
        ranked_(tokens - options.widest_window()),
        writer_(static_cast<int>(model.heads), static_cast<int>(model.kv_heads), tokens, options.windows),
        best_(options.windows.size() * options.kernels.size()) {}

  void observe(LayerView& view) {
    for (size_t w = 0; w < options_.windows.size(); ++w) {
      ScoreSpec spec;
      spec.window = options_.windows[w];
      spec.pool = PoolKind::kNone;
      spec.group = spec.heads = Reduce::kKeep;
      const Scores scores = view.scores(spec);
      const std::vector<float> values = scores.to_host();
      if (view.layer() <= options_.last_layer()) writer_.add_layer(w, values);
      for (size_t k = 0; k < options_.kernels.size(); ++k)
        remember_best(values, scores.rows(), options_.kernels[k], best_[w * options_.kernels.size() + k]);
    }
  }

  std::vector<std::vector<std::vector<double>>> recalls_of(const std::vector<int32_t>& wanted) const {
    std::vector<std::vector<std::vector<double>>> recalls;
    for (const std::vector<Layer>& layers : best_) {
      recalls.emplace_back();
      for (const Layer& layer : layers) {
        recalls.back().emplace_back();
        for (const std::vector<int32_t>& best : layer) recalls.back().back().push_back(recall(wanted, best));
      }
    }
    return recalls;
  }
  const HeadScoresWriter& writer() const { return writer_; }

 private:
  using Layer = std::vector<std::vector<int32_t>>;  // indices, by head

  void remember_best(std::span<const float> values, int64_t heads, int64_t kernel, std::vector<Layer>& to) {
    const size_t tokens = values.size() / usize(heads);
    Layer& best = to.emplace_back();
    std::vector<float> row, scratch;
    for (size_t h = 0; h < usize(heads); ++h) {
      const std::span<const float> of_head = values.subspan(h * tokens, tokens);
      row.assign(of_head.begin(), of_head.end());
      pool_row(row, kernel, scratch);
      best.push_back(top_indices(std::span(row).first(usize(ranked_)), share(ranked_, options_.budget)));
    }
  }

  const CalibrateOptions& options_;
  int64_t ranked_;
  HeadScoresWriter writer_;
  std::vector<std::vector<Layer>> best_;  // [kinds][layers]
};

template <class T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

const json::value& field(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr) fail(ErrorCode::kCorruptFile, "the calibration field '{}' is missing", name);
  return *value;
}

json::object recall_json(const Moments& moments) {
  if (moments.n == 0) return {{"n", 0}};
  return {{"mean", moments.mean}, {"standard_error", moments.standard_error}, {"n", moments.n}};
}

json::object candidate_json(const Candidate& candidate) {
  json::object json{{"selection_layer", candidate.layer},
                    {"window", candidate.scores.window},
                    {"kernel", candidate.scores.kernel}};
  if (candidate.heads == 0) {
    json["last_layers"] = candidate.last_layers;
    json["recall"] = recall_json(candidate.prompts_left_out);
  } else {
    json["picks"] = candidate.heads;
    json["recall_selected_on"] = candidate.selected_on;
    json["recall_prompts_left_out"] = recall_json(candidate.prompts_left_out);
    json["recall_groups_left_out"] = recall_json(candidate.groups_left_out);
  }
  return json;
}

json::object groups_json(const Candidate& candidate, const std::vector<CollectedPrompt>& collected) {
  json::object groups;
  for (const auto& [name, recall] : recall_by_group(candidate, collected)) groups[name] = recall_json(recall);
  return groups;
}

void add_candidates(json::object& to, const SelectionResult& result,
                    const std::vector<CollectedPrompt>& collected) {
  json::array heads, rules;
  for (const Candidate& candidate : result.candidates) {
    json::object json = candidate_json(candidate);
    if (candidate.heads == 0) json["recall_by_group"] = groups_json(candidate, collected);
    (candidate.heads == 0 ? rules : heads).push_back(std::move(json));
  }
  json::object chosen = candidate_json(result.choice());
  chosen["recall_by_group"] = groups_json(result.choice(), collected);
  to["chosen"] = std::move(chosen);
  to["candidates"] = std::move(heads);
  to["published_rule"] = std::move(rules);
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
  for (const auto& [name, count] : groups) by_group[name] = count;
  calibration["groups"] = std::move(by_group);
  add_candidates(calibration, result, collected);
  if (early) {
    json::object at{{"layer", options.early.layer}, {"rate", options.early.rate}};
    add_candidates(at, *early, collected);
    calibration["early"] = std::move(at);
  }
  return calibration;
}

}  // namespace

std::vector<ScoreKind> CalibrateOptions::kinds() const {
  std::vector<ScoreKind> kinds;
  for (const int64_t window : windows) {
    for (const int64_t kernel : kernels) kinds.push_back({window, kernel});
  }
  return kinds;
}

json::object CalibrateOptions::collection() const {
  return {{"score_files", kHeadScoresVersion},
          {"windows", json::array(windows.begin(), windows.end())},
          {"kernels", json::array(kernels.begin(), kernels.end())},
          {"oracle_kernel", oracle_kernel},
          {"answer_tokens", answer_tokens},
          {"answer", use_gold ? "gold where there is one" : "own"},
          {"oracle_best", oracle_best},
          {"budget", budget},
          {"last_layer", last_layer()}};
}

json::object to_json(const CollectedPrompt& prompt) {
  return {{"id", prompt.id},
          {"group", prompt.group},
          {"tokens", prompt.tokens},
          {"answer_tokens", prompt.answer_tokens},
          {"answer", prompt.answer},
          {"file", prompt.file},
          {"wanted", json::array(prompt.wanted.begin(), prompt.wanted.end())},
          {"head_recall", json::value_from(prompt.head_recall)}};
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
    prompt.head_recall =
        json::value_to<std::vector<std::vector<std::vector<double>>>>(field(object, "head_recall"));
  } catch (const boost::system::system_error& error) {
    fail(ErrorCode::kCorruptFile, "a line of the calibration has a field of the wrong type: {}",
         error.what());
  }
  return prompt;
}

void set_candidates(CalibrateOptions& options, const ModelSummary& model) {
  std::vector<int>& layers = options.layers;
  if (layers.empty()) {
    const int depth = static_cast<int>(model.layers), last = std::max(0, depth - 2);
    layers = {std::clamp(depth / 2 - 1, 0, last), std::min(depth * 3 / 5, last)};
  }
  sort_unique(layers);
  sort_unique(options.windows);
  sort_unique(options.kernels);
  for (const int layer : options.layers) {
    if (layer < 0 || layer >= model.layers - 1) {
      fail(ErrorCode::kInvalidArgument,
           "layer {} cannot be a selection layer of a model of {} layers; choose 0..{}", layer, model.layers,
           model.layers - 2);
    }
  }
  if (options.early.rate < 1 && options.rule) {
    fail(ErrorCode::kInvalidArgument,
         "an early drop needs heads, which the published rule has none of; leave out --early or --rule");
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
  check_every_layer_ranks(engine.model());
  OracleRequest request = oracle_request(prompt, options.use_gold, options.answer_tokens, cancel);
  request.kernel = options.oracle_kernel;
  const auto tokens = static_cast<int64_t>(engine.tokenize(request.request).size());
  if (tokens < 2 * options.widest_window()) {
    fail(ErrorCode::kInvalidArgument,
         "prompt '{}' has {} tokens, fewer than two windows of {}; leave it out or choose a smaller window",
         prompt.id, group_digits(tokens), options.widest_window());
  }
  HeadCollector collector(options, engine.model(), tokens);
  request.on_layer = [&](LayerView& view) { collector.observe(view); };
  const OracleResult oracle = engine.oracle(request);
  const int64_t ranked = tokens - options.widest_window();
  CollectedPrompt result;
  result.id = prompt.id;
  result.group = prompt.group;
  result.tokens = tokens;
  result.answer_tokens = static_cast<int64_t>(oracle.answer.tokens.size());
  result.answer = oracle.answer.text;
  result.file = file;
  result.wanted =
      top_indices(std::span(oracle.ranking.scores).first(usize(ranked)), share(ranked, options.oracle_best));
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
                                               const CalibrateOptions& options, const ScoreKind& kind,
                                               double budget, const std::filesystem::path& folder) {
  const auto window =
      usize(std::find(options.windows.begin(), options.windows.end(), kind.window) - options.windows.begin());

  std::vector<SelectionPrompt> prompts;
  for (const CollectedPrompt& prompt : collected) {
    const std::string path = (folder / prompt.file).string();
    const HeadScoresFile file(path);
    const int64_t ranked = prompt.tokens - options.widest_window();
    const bool inside = !prompt.wanted.empty() && prompt.wanted.front() >= 0 &&
                        prompt.wanted.back() < ranked &&
                        std::is_sorted(prompt.wanted.begin(), prompt.wanted.end());
    if (!inside || file.tokens() != prompt.tokens || file.windows() != options.windows ||
        file.layers() != options.last_layer() + 1) {
      fail(ErrorCode::kCorruptFile,
           "'{}' does not belong to prompt '{}' of {} tokens; collect again in another folder", path,
           prompt.id, group_digits(prompt.tokens));
    }
    prompts.push_back({std::make_shared<PooledScores>(file, window, kind.kernel, ranked), prompt.wanted,
                       share(ranked, budget), prompt.group});
  }
  return prompts;
}

SelectionResult choose_heads(const std::vector<CollectedPrompt>& collected, const CalibrateOptions& options,
                             std::span<const ScoreKind> kinds, const SelectionOptions& selection,
                             double budget, const std::filesystem::path& folder) {
  SelectionResult result;
  size_t finished = 0;
  SelectionOptions of_kind = selection;
  of_kind.on_selection = [&](size_t done, size_t total) {
    if (selection.on_selection) selection.on_selection(finished * total + done, kinds.size() * total);
  };
  for (const ScoreKind& kind : kinds) {
    const auto prompts = selection_prompts(collected, options, kind, budget, folder);
    for (Candidate& candidate : validate_heads(prompts, of_kind)) {
      candidate.scores = kind;
      result.candidates.push_back(std::move(candidate));
    }
    ++finished;
  }
  result.chosen = choose_candidate(result.candidates, options.rule);
  return result;
}

std::vector<const Candidate*> to_compare(const SelectionResult& result) {
  std::vector<const Candidate*> compared;
  double best = 0;  // the best of the heads listed last
  for (const Candidate& candidate : result.candidates) {
    const double recall = moments(candidate.judged_by).mean;
    const bool rival = !compared.empty() && candidate.heads > 0 && compared.back()->heads > 0 &&
                       candidate.layer == compared.back()->layer &&
                       candidate.scores == compared.back()->scores;
    if (rival && recall <= best) continue;
    if (rival) compared.pop_back();
    compared.push_back(&candidate);
    best = recall;
  }
  return compared;
}

std::map<std::string, Moments> recall_by_group(const Candidate& candidate,
                                               const std::vector<CollectedPrompt>& collected) {
  std::map<std::string, std::vector<double>> recalls;
  for (size_t i = 0; i < collected.size(); ++i)
    recalls[collected[i].group].push_back(candidate.judged_by.at(i));
  std::map<std::string, Moments> groups;
  for (const auto& [name, values] : recalls) groups[name] = moments(values);
  return groups;
}

MadeProfile make_profile(const ModelSummary& model, const CalibrateOptions& options,
                         const std::vector<CollectedPrompt>& collected, const SelectionResult& result,
                         const std::optional<SelectionResult>& early) {
  MadeProfile made;
  Profile& profile = made.profile;
  profile.model = model.name;
  profile.model_fingerprint = model.fingerprint;
  profile.layers = static_cast<int>(model.layers);
  profile.heads = static_cast<int>(model.heads);
  profile.window = result.choice().scores.window;
  profile.kernel = result.choice().scores.kernel;
  profile.selection_layer = result.choice().layer;
  profile.first_layer = options.first_layer >= 0 ? options.first_layer : profile.selection_layer + 1;
  profile.chosen = result.choice().chosen;
  profile.last_layers = result.choice().last_layers;
  if (early) {
    profile.early = options.early;
    profile.early_heads = early->choice().chosen;
  }
  made.calibration = calibration_json(options, collected, result, early);
  return made;
}

std::vector<std::vector<double>> mean_head_recall(const std::vector<CollectedPrompt>& collected,
                                                  const CalibrateOptions& options, const ScoreKind& kind) {
  const std::vector<ScoreKind> kinds = options.kinds();
  const auto at = usize(std::find(kinds.begin(), kinds.end(), kind) - kinds.begin());
  std::vector<std::vector<double>> mean;
  try {
    mean = collected.front().head_recall.at(at);
    for (size_t i = 1; i < collected.size(); ++i) {
      for (size_t layer = 0; layer < mean.size(); ++layer) {
        for (size_t h = 0; h < mean[layer].size(); ++h)
          mean[layer][h] += collected[i].head_recall.at(at).at(layer).at(h);
      }
    }
  } catch (const std::out_of_range&) {
    fail(ErrorCode::kCorruptFile,
         "the field 'head_recall' of the calibration's prompts differs in shape; collect again in another "
         "folder");
  }
  for (std::vector<double>& layer : mean) {
    for (double& value : layer) value /= static_cast<double>(collected.size());
  }
  return mean;
}

}  // namespace claa::eval
