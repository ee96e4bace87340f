// claa oracle: which prompt tokens an answer attends to. The answer goes to stdout, the ranking to a file.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "cli/common.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "core/counts.h"
#include "core/output_file.h"
#include "core/usize.h"
#include "output/json.h"

namespace claa::cli {
namespace {

namespace json = boost::json;

struct OracleOptions {
  ModelOptions model;
  PromptOptions prompt;
  OracleRequest request;
  std::optional<std::string> gold;
  std::string output;
  int64_t top = 32;
};

// The best tokens with their text, best first.
json::array best_tokens(const OracleResult& result, const Engine& engine, int64_t count) {
  const std::vector<float>& scores = result.ranking.scores;
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return scores[usize(a)] > scores[usize(b)]; });
  json::array best;
  for (int64_t i = 0; i < std::min<int64_t>(count, static_cast<int64_t>(order.size())); ++i) {
    const auto at = usize(order[usize(i)]);
    const int32_t id = result.ranking.ids[at];
    best.push_back(
        json::object{{"position", at}, {"id", id}, {"text", engine.detokenize({id})}, {"score", scores[at]}});
  }
  return best;
}

json::object result_json(const OracleResult& result, const Engine& engine, const OracleOptions& options) {
  json::object json;
  json["model"] = engine.model().name;
  json["model_fingerprint"] = fmt::format("{:016x}", result.ranking.model_fingerprint);
  json["prompt_tokens"] = result.answer.prompt_tokens;
  json["answer"] = result.answer.text;
  json["answer_tokens"] = json::array(result.answer.tokens.begin(), result.answer.tokens.end());
  json["answer_is"] = options.request.gold ? "gold" : "own";
  json["finish_reason"] = finish_reason_name(result.answer.finish);
  json["queries"] = result.queries;
  json["kernel"] = options.request.kernel;
  json["top"] = best_tokens(result, engine, options.top);
  json["timings_ms"] = timings_json(result.answer.timings);
  return json;
}

void run(OracleOptions& options) {
  Request& request = options.request.request;
  options.prompt.fill(request);
  if (options.gold) options.request.gold = options.gold;
  request.cancel = &interrupt_flag();
  OutputFile json_file(options.output + ".json");  // an unwritable path is refused before the work
  ProgressBar bar(true);
  options.model.engine.on_load = [&](int64_t done, int64_t layers) { bar.load(done, layers); };
  Engine engine = options.model.load();
  request.on_progress = [&](const PrefillProgress& progress) { bar.prefill(progress); };
  request.on_text = [&](std::string_view text) {
    bar.clear();
    write_answer(text);
  };
  const OracleResult result = engine.oracle(options.request);
  bar.clear();
  write_answer("\n");
  write_ranking(options.output, result.ranking);
  json_file.commit(json_text(result_json(result, engine, options)) + "\n");
  tell_line(
      fmt::format("[oracle: {} tokens ranked by {} answer positions | prefill {:.2f} s, answer {:.2f} s | {} "
                  "and {}.json]",
                  group_digits(result.answer.prompt_tokens), group_digits(result.queries),
                  result.answer.timings.prefill / 1000, result.answer.timings.decode / 1000, options.output,
                  options.output));
  if (!options.gold) note_context_end(result.answer, request.max_tokens, engine.model().context);
}

}  // namespace

void add_oracle(CLI::App& app) {
  auto options = std::make_shared<OracleOptions>();
  CLI::App* command = app.add_subcommand("oracle", "rank the prompt's tokens by the attention of its answer");
  options->model.add_to(*command);
  options->prompt.add_to(*command);
  options->request.request.max_tokens = 64;
  command->add_option("-n,--max-tokens", options->request.request.max_tokens, "longest answer, in tokens")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--gold", options->gold,
                      "rank by this answer, teacher forced, instead of the model's own");
  command->add_option("--kernel", options->request.kernel, "width of the average pooling")
      ->check(CLI::Range(1, 4095))
      ->capture_default_str();
  command->add_option("--top", options->top, "best tokens to list in the JSON file")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "ranking file, for --method oracle --set ranking=FILE")
      ->required();
  command->callback([options] { run(*options); });
}

}  // namespace claa::cli
