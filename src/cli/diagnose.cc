// claa diagnose: every heuristic's ranking against the oracle, layer by layer, over a set of prompts. Results
// are stored prompt by prompt, so that a stopped run continues where it was.
#include <fmt/format.h>

#include <set>

#include "claa/version.h"
#include "cli/common.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/counts.h"
#include "eval/diagnosis/diagnose.h"
#include "eval/diagnosis/report.h"
#include "eval/draw/files.h"
#include "eval/draw/gnuplot.h"
#include "eval/study/study_log.h"
#include "output/json.h"
#include "text/visible.h"

namespace claa::cli {
namespace {

namespace json = boost::json;

struct DiagnoseCommand {
  ModelOptions model;
  eval::DiagnoseOptions options;
  std::string prompts;
  std::string output;
  bool no_pictures = false;
};

json::object configuration_json(const DiagnoseCommand& command, const ModelSummary& model) {
  json::object json;
  json["program"] = std::string("claa ") + std::string(kVersion);
  json["model"] = model.name;
  json["model_fingerprint"] = fmt::format("{:016x}", model.fingerprint);
  json["device"] = model.device;
  json["prompts"] = command.prompts;
  for (const auto& [name, value] : command.options.show()) json[name] = value;
  return json;
}

std::vector<eval::PromptDiagnosis> diagnoses_of(const eval::StudyLog& log, const std::string& path) {
  std::vector<eval::PromptDiagnosis> diagnoses;
  for (const json::object& result : log.results())
    diagnoses.push_back(eval::of_log(path, [&] { return eval::diagnosis_from_json(result); }));
  if (diagnoses.empty())
    fail(ErrorCode::kInvalidArgument, "'{}' holds no results yet; give prompts that fit the model's context",
         path);
  return diagnoses;
}

// Diagnoses what the log lacks. Returns false when interrupted.
bool diagnose_all(Engine& engine, const DiagnoseCommand& command,
                  const std::vector<eval::StudyPrompt>& prompts, eval::StudyLog& log) {
  std::set<std::string> done;
  for (const json::object& result : log.results())
    done.insert(eval::of_log(log.path(), [&] { return eval::diagnosis_from_json(result); }).id);
  Stopwatch clock;
  size_t finished = done.size(), timed = 0;
  for (const eval::StudyPrompt& prompt : prompts) {
    if (done.count(prompt.id) != 0) continue;
    show_study_progress(finished, prompts.size(), timed, clock.ms(), prompt.id);
    try {
      log.add(eval::to_json(eval::diagnose_prompt(engine, prompt, command.options, &interrupt_flag())));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) return false;
      if (error.code() != ErrorCode::kContextExceeded) throw;
      leave_out(prompt.id, error);
    }
    ++finished;
    ++timed;
  }
  show_study_progress(finished, prompts.size(), 0, 0, "");
  tell_line("");
  return true;
}

void run(const DiagnoseCommand& command) {
  // Refuses everything that can be refused before the model is loaded.
  const std::vector<eval::StudyPrompt> prompts = eval::read_prompts(command.prompts, read_exact_text);
  eval::make_folder(command.output);
  if (!command.no_pictures)
    eval::run_gnuplot(command.output, "/dev/null");  // fails early if gnuplot is missing
  Engine engine = command.model.load();
  const json::object configuration = configuration_json(command, engine.model());
  const std::string log_path = command.output + "/results.jsonl";
  eval::StudyLog log(log_path, configuration);
  const bool complete = diagnose_all(engine, command, prompts, log);
  eval::ReportInfo info;
  info.title = fmt::format("Rankings against the oracle: {}", engine.model().name);
  info.pictures = !command.no_pictures;
  for (const auto& [name, value] : configuration) {
    info.configuration.emplace_back(name,
                                    value.is_string() ? std::string(value.as_string()) : json_text(value));
  }
  eval::write_report(diagnoses_of(log, log_path), info, command.output);
  write_text(fmt::format("{} prompts: {}/report.html\n", group_digits(log.results().size()),
                         visible_line(command.output)));
  if (!complete) throw Error(ErrorCode::kCancelled, "interrupted");
}

}  // namespace

void add_diagnose(CLI::App& app) {
  auto command = std::make_shared<DiagnoseCommand>();
  CLI::App* sub =
      app.add_subcommand("diagnose", "rankings of every heuristic against the oracle, layer by layer");
  command->model.add_to(*sub);
  eval::DiagnoseOptions& options = command->options;
  const auto count = [&](const char* name, int64_t& value, const char* help, int64_t minimum) {
    sub->add_option(name, value, help)->check(CLI::Range(minimum, int64_t{65536}))->capture_default_str();
  };
  sub->add_option("--prompts", command->prompts,
                  "a folder of .txt and .md files, one such file, a .jsonl file, or a pipe of either")
      ->required();
  sub->add_option("-o,--output", command->output,
                  "folder for results and report; a stopped run continues there")
      ->required();
  count("--window", options.window, "observers", 1);
  count("--kernel", options.kernel, "pooling of the analysis' rankings", 1);
  count("--deployed-kernel", options.deployed_kernel, "pooling of CLAA and SpecPrefill as they run", 1);
  count("--last-layers", options.last_layers, "layers that are aggregated (n)", 1);
  count("--look-ahead", options.look_ahead, "SpecPrefill's draft tokens", 0);
  count("-n,--max-tokens,--answer-tokens", options.answer_tokens, "longest answer, in tokens", 1);
  sub->add_option("--fixed-layer", options.fixed_layer,
                  "layer of the positions and of adaptive exit; -1: at half depth")
      ->check(CLI::Range(-1, 4096))
      ->capture_default_str();
  sub->add_flag("--gold", options.use_gold, "use the right answer, teacher forced, if a prompt has one");
  sub->add_flag("--no-pictures", command->no_pictures, "numbers and report without pictures");
  sub->callback([command] { run(*command); });
}

}  // namespace claa::cli
