// claa run: one question, one answer. The answer is all that goes to stdout; the summary is one line on
// stderr.
#include <fmt/format.h>

#include "cli/common.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "core/counts.h"
#include "decode/sampler.h"

namespace claa::cli {
namespace {

struct RunOptions {
  ModelOptions model;
  MethodOptions method;
  PromptOptions prompt;
  Request request;
  bool json = false;
};

std::string seconds(double ms) {
  return ms < 1000 ? fmt::format("{:.0f} ms", ms) : fmt::format("{:.2f} s", ms / 1000);
}

std::string summary_line(const Answer& answer) {
  const PrefillSummary& prefill = answer.prefill;
  std::string note = prefill.note.empty() ? "" : ", " + prefill.note;
  if (prefill.active && prefill.protected_tokens > 0)
    note += fmt::format(", {} tokens protected", group_digits(prefill.protected_tokens));
  const std::string selection =
      !prefill.active           ? fmt::format("nothing dropped: {}", prefill.reason)
      : prefill.selection_layer ? fmt::format("selection active after layer {}", *prefill.selection_layer)
      : answer.kept_tokens < answer.prompt_tokens ? std::string("selection active before layer 0")
                                                  : std::string("selection active in the cache");
  std::string rate = "no decode";
  if (answer.tokens.size() > 1 && answer.timings.decode > 0) {
    rate = fmt::format("decode {:.1f} tokens/s",
                       1000.0 * static_cast<double>(answer.tokens.size() - 1) / answer.timings.decode);
  }
  // Only methods that look at the prompt before it enters spend time there.
  const std::string entry = prefill.active && answer.timings.entry >= 1
                                ? fmt::format("look ahead {}, ", seconds(answer.timings.entry))
                                : std::string();
  return fmt::format(
      "[{}: {}kept {}/{} tokens, {}{} | TTFT {} = tokenise {} + prefill {} ({}select {}) | load {} | {} "
      "tokens, "
      "{}]",
      prefill.method, prefill.profile_note.empty() ? "" : prefill.profile_note + ", ",
      group_digits(answer.kept_tokens), group_digits(answer.prompt_tokens), selection, note,
      seconds(answer.timings.first_token), seconds(answer.timings.tokenize), seconds(answer.timings.prefill),
      entry, seconds(answer.timings.select), seconds(answer.timings.load), group_digits(answer.tokens.size()),
      rate);
}

void print_json(const Answer& answer) {
  boost::json::object json;
  json["text"] = answer.text;
  json["prompt_tokens"] = answer.prompt_tokens;
  json["kept_tokens"] = answer.kept_tokens;
  json["output_tokens"] = answer.tokens.size();
  json["finish_reason"] = finish_reason_name(answer.finish);
  json["prefill"] = summary_json(answer.prefill);
  json["profile"] = answer.prefill.profile;
  json["timings_ms"] = timings_json(answer.timings);
  write_json(std::move(json));
}

void run(RunOptions& options) {
  // Refuses everything that can be refused before the model is loaded.
  options.prompt.fill(options.request);
  options.method.fill(options.request);
  options.request.cancel = &interrupt_flag();
  check_sampling(options.request.sampling);
  const Request& given = options.request;
  if (given.prompt.empty() && given.ids.empty() && given.messages.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "the prompt is empty: give a text, a file or standard input");
  }
  ProgressBar bar(!options.json);
  options.model.engine.on_load = [&](int64_t done, int64_t layers) { bar.load(done, layers); };
  options.model.engine.profile = options.method.profile;
  Engine engine = options.model.load();
  options.request.on_progress = [&](const PrefillProgress& progress) { bar.prefill(progress); };
  if (!options.json) {
    options.request.on_text = [&](std::string_view text) {
      bar.clear();
      write_answer(text);
    };
  }
  const Answer answer = engine.answer(options.request);
  bar.clear();
  if (options.json) {
    print_json(answer);
    return;
  }
  write_answer("\n");
  tell_line(summary_line(answer));
  note_context_end(answer, options.request.max_tokens, engine.model().context);
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "answer a question about a document");
  options->model.add_to(*command);
  options->method.add_to(*command);
  options->prompt.add_to(*command);
  Request& request = options->request;
  command->add_option("-n,--max-tokens", request.max_tokens, "longest answer, in tokens")
      ->capture_default_str();
  command->add_option("--temperature", request.sampling.temperature, "0: greedy")->capture_default_str();
  command->add_option("--top-k", request.sampling.top_k, "0: off")->capture_default_str();
  command->add_option("--top-p", request.sampling.top_p, "1: off")->capture_default_str();
  command->add_option("--min-p", request.sampling.min_p, "0: off")->capture_default_str();
  command->add_option("--repetition-penalty", request.sampling.repetition_penalty, "1: off")
      ->capture_default_str();
  command->add_option("--seed", request.sampling.seed, "seed of the sampler")->capture_default_str();
  command
      ->add_option("--stop", request.stop,
                   "a string that ends the answer, or the name of a control token; may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "one JSON object on stdout instead of text");
  command->callback([options] { run(*options); });
}

}  // namespace claa::cli
