// claa calibrate: finds the query heads of a model that see what its answers need, and the layer from which
// on they do, or whether the maximum over all heads is as good. Results are stored prompt by prompt, so that
// a stopped run continues where it was.
#include "eval/calibration/calibrate.h"

#include <fmt/format.h>

#include <set>

#include "cli/common.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/counts.h"
#include "core/output_file.h"
#include "eval/draw/files.h"
#include "eval/draw/gnuplot.h"
#include "eval/draw/plot.h"
#include "eval/study/study_log.h"
#include "output/markdown.h"
#include "text/visible.h"

namespace claa::cli {
namespace {

namespace json = boost::json;

struct CalibrateCommand {
  ModelOptions model;
  eval::CalibrateOptions options;
  std::string prompts;
  std::string output;
  std::string folder;  // for the collected scores
  std::string early;
  bool own_answers = false;
  bool no_pictures = false;
};

json::object configuration_json(const CalibrateCommand& command, const ModelSummary& model) {
  json::object json = command.options.collection();
  json["model"] = model.name;
  json["model_fingerprint"] = fmt::format("{:016x}", model.fingerprint);
  json["device"] = model.device;
  json["prompts"] = command.prompts;
  return json;
}

// Returns the entries of the log that belong to the current prompts.
std::vector<eval::CollectedPrompt> collected_of(const eval::StudyLog& log,
                                                const std::vector<eval::StudyPrompt>& prompts) {
  std::set<std::string> files;
  for (const eval::StudyPrompt& prompt : prompts) files.insert(eval::scores_file(prompt));
  std::vector<eval::CollectedPrompt> collected;
  for (const json::object& line : log.results()) {
    eval::CollectedPrompt prompt = eval::of_log(log.path(), [&] { return eval::collected_from_json(line); });
    if (files.count(prompt.file) != 0) collected.push_back(std::move(prompt));
  }
  return collected;
}

// Collects what the log lacks. Returns false when interrupted.
bool collect_all(Engine& engine, const CalibrateCommand& command,
                 const std::vector<eval::StudyPrompt>& prompts, eval::StudyLog& log) {
  std::set<std::string> done;
  for (const eval::CollectedPrompt& prompt : collected_of(log, prompts)) done.insert(prompt.file);
  Stopwatch clock;
  size_t finished = done.size(), timed = 0;
  for (const eval::StudyPrompt& prompt : prompts) {
    const std::string file = eval::scores_file(prompt);
    if (done.count(file) != 0) continue;
    show_study_progress(finished, prompts.size(), timed, clock.ms(), prompt.id);
    try {
      log.add(eval::to_json(
          eval::collect_prompt(engine, prompt, command.options, command.folder, file, &interrupt_flag())));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) return false;
      if (error.code() != ErrorCode::kContextExceeded && error.code() != ErrorCode::kInvalidArgument) throw;
      leave_out(prompt.id, error);
    }
    ++finished;
    ++timed;
  }
  show_study_progress(finished, prompts.size(), 0, 0, "collected");
  tell_line("");
  return true;
}

std::string percent(const eval::Moments& moments) {
  if (moments.n == 0) return "-";
  return fmt::format("{:.1f} ± {:.1f}", 100 * moments.mean, 100 * moments.standard_error);
}

// Returns "3 picks" or "maximum, n 2".
std::string chooser(const eval::Candidate& candidate) {
  if (candidate.heads == 0) return fmt::format("maximum, n {}", candidate.last_layers);
  return fmt::format("{} picks", candidate.heads);
}

// The published rule and the best heads at the same layer with the same scores, group by group.
std::string groups_text(const eval::SelectionResult& result,
                        const std::vector<eval::CollectedPrompt>& collected) {
  const auto groups = eval::recall_by_group(result.choice(), collected);
  if (groups.size() < 2) return "";
  std::string out = "\n| layer | window | kernel | tokens by |";
  for (const auto& [name, recall] : groups) out += fmt::format(" {} ({}) |", markdown_cell(name), recall.n);
  out += "\n|---:|---:|---:|:---|";
  for (size_t i = 0; i < groups.size(); ++i) out += "---:|";
  out += "\n";
  for (const eval::Candidate* candidate : eval::to_compare(result)) {
    out += fmt::format("| {} | {} | {} | {} |", candidate->layer, candidate->scores.window,
                       candidate->scores.kernel, chooser(*candidate));
    for (const auto& [name, recall] : eval::recall_by_group(*candidate, collected))
      out += fmt::format(" {} |", percent(recall));
    out += "\n";
  }
  return out;
}

void print_result(const eval::SelectionResult& result, double budget,
                  const std::vector<eval::CollectedPrompt>& collected) {
  std::string out = fmt::format(
      "recall, %, of the oracle's best tokens among {:g} % of the prompt\n\n"
      "| layer | window | kernel | tokens by | selected on | prompts left out | groups left out |\n"
      "|---:|---:|---:|:---|---:|---:|---:|\n",
      100 * budget);
  for (const eval::Candidate& candidate : result.candidates) {
    out += fmt::format("| {} | {} | {} | {} | {:.1f} | {} | {} |\n", candidate.layer, candidate.scores.window,
                       candidate.scores.kernel, chooser(candidate), 100 * candidate.selected_on,
                       percent(candidate.prompts_left_out), percent(candidate.groups_left_out));
  }
  out += groups_text(result, collected);
  const eval::Candidate& chosen = result.choice();
  out += fmt::format("\nchosen: layer {}, window {}, kernel {}, {}{}{}\n\n", chosen.layer,
                     chosen.scores.window, chosen.scores.kernel, chooser(chosen),
                     chosen.heads > 0 ? ": " : "", show_heads(chosen.chosen));
  write_text(out);
}

eval::SelectionResult select(const CalibrateCommand& command,
                             const std::vector<eval::CollectedPrompt>& collected,
                             std::span<const eval::ScoreKind> kinds, const std::vector<int>& layers,
                             double budget) {
  eval::SelectionOptions selection;
  selection.most_heads = command.options.most_heads;
  selection.layers = layers;
  selection.folds = command.options.folds;
  selection.cancel = &interrupt_flag();
  Stopwatch clock;
  selection.on_selection = [&](size_t done, size_t total) {
    show_study_progress(done, total, done, clock.ms(), "selections of heads");
  };
  eval::SelectionResult result =
      eval::choose_heads(collected, command.options, kinds, selection, budget, command.folder);
  tell_line("");
  return result;
}

void draw_recall(const std::vector<eval::CollectedPrompt>& collected, const CalibrateCommand& command,
                 const eval::ScoreKind& kind) {
  eval::HeatMap map;
  map.title = fmt::format("Recall of the oracle's best {:g} %", 100 * command.options.oracle_best);
  map.x_label = "query head";
  map.y_label = "layer";
  map.scale_label = fmt::format("recall among the head's best {:g} %", 100 * command.options.budget);
  map.values = eval::mean_head_recall(collected, command.options, kind);
  eval::draw(map, command.folder, "head_recall");
}

void calibrate(CalibrateCommand& command) {
  eval::CalibrateOptions& options = command.options;
  options.use_gold = !command.own_answers;
  const std::vector<EarlyDrop> early = parse_early_drops("--early", command.early);
  if (early.size() > 1)
    fail(ErrorCode::kInvalidArgument, "--early takes one LAYER:RATE, not '{}'", command.early);
  if (!early.empty()) options.early = early.front();
  // Refuses everything that can be refused before the model is loaded.
  const std::vector<eval::StudyPrompt> prompts = eval::read_prompts(command.prompts, read_exact_text);
  { const OutputFile writable(command.output); }
  if (command.folder.empty()) command.folder = command.output + ".data";
  eval::make_folder(command.folder);
  if (!command.no_pictures)
    eval::run_gnuplot(command.folder, "/dev/null");  // fails early if gnuplot is missing
  Engine engine = command.model.load();
  const ModelSummary model = engine.model();
  eval::set_candidates(options, model);
  eval::StudyLog log(command.folder + "/collected.jsonl", configuration_json(command, model));
  if (!collect_all(engine, command, prompts, log)) throw Error(ErrorCode::kCancelled, "interrupted");

  const std::vector<eval::CollectedPrompt> collected = collected_of(log, prompts);
  const eval::SelectionResult result =
      select(command, collected, options.kinds(), options.layers, options.budget);
  const eval::ScoreKind kind = result.choice().scores;
  std::optional<eval::SelectionResult> at_early;
  if (!early.empty())
    at_early = select(command, collected, {{kind}}, {early.front().layer}, early.front().rate);
  const eval::MadeProfile profile = eval::make_profile(model, options, collected, result, at_early);
  eval::write_profile(command.output, profile);
  print_result(result, options.budget, collected);
  if (at_early) print_result(*at_early, options.early.rate, collected);
  if (!command.no_pictures) draw_recall(collected, command, kind);
  write_text(fmt::format("{} prompts: {}\n", group_digits(collected.size()), visible_line(command.output)));
}

void add_numbers(CLI::App& sub, eval::CalibrateOptions& options) {
  const auto count = [&](const char* name, int64_t& value, const char* help, int64_t most) {
    sub.add_option(name, value, help)->check(CLI::Range(int64_t{1}, most))->capture_default_str();
  };
  const auto candidates = [&](const char* name, std::vector<int64_t>& values, const char* help,
                              int64_t most) {
    sub.add_option(name, values, help)
        ->delimiter(',')
        ->check(CLI::Range(int64_t{1}, most))
        ->capture_default_str();
  };
  candidates("--window", options.windows,
             "candidates for the number of last prompt queries that observe, separated by commas", 4096);
  candidates("--kernel", options.kernels,
             "candidates for the average pooling of the heads' scores, separated by commas", 4095);
  count("--oracle-kernel", options.oracle_kernel, "average pooling of the oracle's scores", 4095);
  count("-n,--max-tokens,--answer-tokens", options.answer_tokens, "longest answer of the model itself",
        65536);
  sub.add_option("--heads", options.most_heads, "most picks; one head may be picked several times")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  sub.add_option("--layer", options.layers,
                 "candidates for the selection layer, separated by commas; default: at half and at three "
                 "fifths of the depth")
      ->delimiter(',')
      ->check(CLI::Range(0, 4096));
  sub.add_option("--budget", options.budget, "rate of the tokens that a ranking may name")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str();
  sub.add_option("--oracle-best", options.oracle_best, "rate of the tokens, the oracle's best, to be found")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str();
  sub.add_option("--folds", options.folds, "parts of the prompts that are left out in turn")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  sub.add_option("--first-layer", options.first_layer,
                 "first_layer of the profile: layers below it keep their whole cache; -1: all up to the "
                 "selection layer")
      ->check(CLI::Range(-1, 4096))
      ->capture_default_str();
}

}  // namespace

void add_calibrate(CLI::App& app) {
  auto command = std::make_shared<CalibrateCommand>();
  CLI::App* sub = app.add_subcommand(
      "calibrate", "choose the query heads that find what answers need: a profile for claa");
  command->model.add_to(*sub);
  sub->add_option("--prompts", command->prompts,
                  "a folder of .txt and .md files, one such file, a .jsonl file, or a pipe of either")
      ->required();
  sub->add_option("-o,--output", command->output, "the profile, a JSON file")->required();
  sub->add_option("--data", command->folder,
                  "folder for the collected scores, where a stopped run continues; default: OUTPUT.data");
  add_numbers(*sub, command->options);
  sub->add_option("--early", command->early,
                  "LAYER:RATE of a drop before the selection layer, for which heads are chosen too");
  sub->add_flag("--rule", command->options.rule,
                "the published maximum over all heads may be chosen too, if no heads are better");
  sub->add_flag("--own-answers", command->own_answers,
                "use the model's own answers even if a prompt has the right one");
  sub->add_flag("--no-pictures", command->no_pictures, "draw no picture of the heads' recall");
  sub->callback([command] { calibrate(*command); });
}

}  // namespace claa::cli
