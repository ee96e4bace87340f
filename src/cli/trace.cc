// claa trace: everything one prefill decided, as one JSON object (the contract is in docs/architecture.md),
// and as a heat map of the prompt for people.
#include <cstdlib>
#include <optional>

#include "cli/common.h"
#include "cli/heatmap.h"
#include "cli/terminal.h"
#include "core/check.h"
#include "core/output_file.h"

namespace claa::cli {
namespace {

namespace json = boost::json;

struct TraceOptions {
  ModelOptions model;
  MethodOptions method;
  PromptOptions prompt;
  int64_t top = 10;
  int64_t predict = 24;
  bool scores = false;
  std::optional<std::string> heatmap;  // "-": standard output, in place of the JSON
  std::string color = "auto";
  bool only_json = false;  // an option was given that the JSON alone can use
};

json::array ids_json(const std::vector<int32_t>& ids) {
  return json::array(ids.begin(), ids.end());
}

json::array layers_json(const Trace& trace) {
  json::array layers;
  for (size_t i = 0; i < trace.layers.size(); ++i) {
    const LayerTrace& layer = trace.layers[i];
    json::object entry;
    entry["layer"] = i;
    entry["live"] = layer.live;
    const size_t heads = layer.kept.size() > 1 ? layer.kept.size() : 1;
    entry["cache"] = json::array(heads, json::value(layer.cache));
    if (layer.kept_all) {
      entry["kept"] = "all";
    } else {
      json::array kept;
      for (const std::vector<int32_t>& positions : layer.kept) kept.push_back(ids_json(positions));
      entry["kept"] = std::move(kept);
    }
    layers.push_back(std::move(entry));
  }
  return layers;
}

json::object trace_json(const Trace& trace, const ModelSummary& model, bool scores) {
  const Answer& answer = trace.answer;
  json::object summary = summary_json(answer.prefill);
  json::object result;
  result["model"] = model.name;
  result["device"] = model.device;
  result["method"] = answer.prefill.method;
  result["params"] = summary["params"];
  result["profile"] = trace.answer.prefill.profile;
  result["prompt_tokens"] = ids_json(trace.prompt_tokens);
  result["selection_layer"] = summary["selection_layer"];
  result["selected"] = nullptr;
  if (trace.selected) result["selected"] = ids_json(*trace.selected);
  result["active"] = answer.prefill.active;
  result["reason"] = answer.prefill.reason;
  result["next_position"] = trace.next_position;
  result["layers"] = layers_json(trace);
  json::array top;
  for (const auto& [id, logit] : trace.top) top.push_back(json::object{{"id", id}, {"logit", logit}});
  result["logits_top"] = std::move(top);
  result["continuation"] = ids_json(answer.tokens);
  result["text"] = answer.text;
  result["timings_ms"] = timings_json(answer.timings);
  if (scores) result["scores"] = json::array(trace.scores.begin(), trace.scores.end());
  return result;
}

// https://no-color.org asks for this; a terminal that calls itself dumb has no colours either.
bool use_color(const std::string& choice) {
  if (choice != "auto") return choice == "always";
  const char* no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && output_takes_codes();
}

Heatmap heatmap_of(const Trace& trace, const Engine& engine) {
  std::vector<std::string> texts;
  texts.reserve(trace.prompt_tokens.size());
  for (const int32_t id : trace.prompt_tokens) texts.push_back(engine.token_text(id));
  return make_heatmap(trace, engine.model(), texts);
}

void run(TraceOptions& options) {
  const bool on_stdout = options.heatmap == "-";
  if (on_stdout && options.only_json) {
    fail(ErrorCode::kInvalidArgument,
         "--heatmap - shows the heat map instead of the JSON, which --scores and --top are for; leave them "
         "out, or give a file to --heatmap");
  }
  Request request;
  options.prompt.fill(request);
  options.method.fill(request);
  request.max_tokens = options.predict;
  request.cancel = &interrupt_flag();
  std::optional<OutputFile> page;
  if (options.heatmap && !on_stdout) page.emplace(*options.heatmap);
  options.model.engine.profile = options.method.profile;
  Engine engine = options.model.load();
  const Trace trace = engine.trace(request, options.top);
  if (on_stdout) {
    write_drawn(heatmap_text(heatmap_of(trace, engine), use_color(options.color)));
    return;
  }
  if (page) page->commit(heatmap_html(heatmap_of(trace, engine)));
  write_json(trace_json(trace, engine.model(), options.scores));
}

}  // namespace

void add_trace(CLI::App& app) {
  auto options = std::make_shared<TraceOptions>();
  CLI::App* command = app.add_subcommand("trace", "everything one prefill decided, as JSON");
  options->model.add_to(*command);
  options->method.add_to(*command);
  options->prompt.add_to(*command);
  command->add_option("--top", options->top, "first logits to show")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  command->add_option("--predict", options->predict, "greedy tokens to continue with")->capture_default_str();
  command->add_flag("--scores", options->scores, "add the score of every prompt token");
  CLI::Option* heatmap = command->add_option(
      "--heatmap", options->heatmap,
      "write the prompt, coloured by score and with kept tokens marked, to this HTML file;"
      " - shows it on stdout instead of the JSON");
  command->add_option("--color", options->color, "colour of --heatmap -: auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->needs(heatmap)
      ->capture_default_str();
  command->callback([options, command] {
    options->only_json = options->scores || command->count("--top") > 0;
    run(*options);
  });
}

}  // namespace claa::cli
