// claa eval: compares methods on tasks, with intervals. Results are stored example by example, so that a
// stopped run continues where it was; shards run on several machines and are merged.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "cli/common.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/file_map.h"
#include "core/output_file.h"
#include "eval/draw/files.h"
#include "eval/draw/gnuplot.h"
#include "eval/report/score_files.h"
#include "eval/study/evaluate.h"
#include "eval/study/study.h"
#include "eval/study/suite.h"
#include "text/visible.h"

namespace claa::cli {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

struct EvalCommand {
  ModelOptions model;
  eval::StudySetup setup;
  eval::ConfigurationOptions compared;
  std::vector<std::string> assignments;
  std::vector<std::string> baselines;
  std::string suite, shard = "1/1", output;
  bool no_pictures = false;
  std::vector<eval::Threshold> thresholds;
};

struct MergeCommand {
  std::vector<std::string> folders, baselines;
  std::string output;
  bool no_pictures = false;
};

// The suite's file: the path itself, or a name in ./suites or among the installed suites.
std::string suite_path(const std::string& suite) {
  const bool path = suite.find('/') != std::string::npos || suite.ends_with(".json");
  if (path) return suite;
  const std::string name = fmt::format("suites/{}.json", suite);
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / "share/claa" / name;
  if (fs::exists(name, error)) return name;
  if (fs::exists(installed, error)) return installed.string();
  fail(ErrorCode::kNotFound, "there is no suite '{}': neither {} nor {} is there; give a path", suite, name,
       installed.string());
}

// The suite's values replace defaults, not given options.
void apply_suite(const CLI::App& app, EvalCommand& command) {
  if (command.suite.empty()) return;
  eval::Suite suite = eval::read_suite(suite_path(command.suite));
  const auto take = [&](const char* option, auto& target, auto& value) {
    if (app.count(option) == 0 && !value.empty()) target = std::move(value);
  };
  take("--task", command.setup.tasks, suite.tasks);
  take("--methods", command.compared.methods, suite.methods);
  take("--keep", command.compared.keeps, suite.keeps);
  take("--set", command.assignments, suite.set);
  take("--baseline", command.baselines, suite.baselines);
  take("--lengths", command.setup.lengths, suite.lengths);
  take("--seeds", command.setup.seeds, suite.seeds);
  take("--data", command.setup.data, suite.data);
  take("--haystack", command.setup.haystack, suite.haystack);
  take("--sweep", command.compared.sweep, suite.sweep);
  take("--profile", command.compared.profile, suite.profile);
  if (app.count("--examples") == 0 && suite.examples) command.setup.examples = *suite.examples;
  command.thresholds = std::move(suite.thresholds);
}

// Tasks of the program, followed by those that compare methods with `full`.
std::vector<eval::TaskInfo> chosen_tasks(const std::vector<std::string>& names) {
  if (names.empty()) fail(ErrorCode::kInvalidArgument, "nothing to ask: give --task or --suite");
  std::vector<eval::TaskInfo> agreement;
  std::vector<std::string> others;
  for (const std::string& name : names) {
    const size_t before = agreement.size();
    for (eval::TaskInfo& task : eval::agreement_tasks()) {
      if (task.name == name) agreement.push_back(std::move(task));
    }
    if (agreement.size() == before) others.push_back(name);
  }
  std::vector<eval::TaskInfo> tasks;
  try {
    tasks = eval::find_tasks(others);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}, agreement, agreement_own", error.what()));
  }
  tasks.insert(tasks.end(), agreement.begin(), agreement.end());
  return tasks;
}

eval::TaskOptions task_options(const eval::StudySetup& setup, const Engine& engine) {
  const auto count = [&engine](std::string_view text) {
    Request request;
    request.raw = true;
    request.prompt = text;
    return static_cast<int64_t>(engine.tokenize(request).size());
  };
  eval::TaskOptions options;
  options.data = setup.data;
  options.lengths = setup.lengths;
  options.examples = setup.examples;
  options.skip = setup.skip;
  options.haystack = setup.haystack;
  // A pipe gives its text once, and several tasks ask for it.
  options.read_text = [known =
                           std::make_shared<std::map<std::string, std::string>>()](const std::string& path) {
    if (known->count(path) == 0) (*known)[path] = read_exact_text(path);
    return known->at(path);
  };
  const int64_t begin = count("");  // the begin-of-text token, if the model has one
  options.count_tokens = [count, begin](std::string_view text) { return count(text) - begin; };
  return options;
}

// `full` comes first, because every other configuration is compared with it.
std::vector<std::string> all_baselines(const std::vector<eval::Configuration>& configurations,
                                       const std::vector<std::string>& asked) {
  std::vector<std::string> baselines;
  for (const eval::Configuration& configuration : configurations) {
    if (configuration.method == "full" && baselines.empty()) baselines.push_back("full");
  }
  for (const std::string& name : asked) {
    if (std::find(baselines.begin(), baselines.end(), name) == baselines.end()) baselines.push_back(name);
  }
  return baselines;
}

// A named file applies to the methods that take one; others are compared with them.
void look_up_profiles(EvalCommand& command) {
  command.compared.find_profile = [path = command.model.path](const std::string& wanted,
                                                              const std::string& method,
                                                              const ParamValues& params) {
    const bool takes = takes_profile(builtin_methods().find(method));
    ProfileChoice choice = choose_profile(takes ? wanted : "none", method, params, path);
    return eval::Profiled{std::move(choice.params), std::move(choice.profile)};
  };
}

// Writes all files except the results, and judges the thresholds.
void conclude(const eval::Study& study, const std::vector<std::string>& baselines,
              const std::vector<eval::Threshold>& thresholds, bool pictures, const std::string& output) {
  const eval::ScoreSummary summary =
      eval::summarize_scores(study.configurations, eval::outcomes_of(study.results, study.configurations),
                             all_baselines(study.configurations, baselines), study.expected);
  eval::write_scores(summary, study.configuration, pictures, output);
  write_text(eval::markdown(eval::score_tables(summary).front()) + eval::completeness(summary) + "\n" +
             visible_line(output) + "/report.html\n");
  if (thresholds.empty() || summary.results < summary.expected) return;
  const std::vector<eval::Verdict> verdicts = eval::check_thresholds(summary, thresholds);
  write_text("\n" + eval::markdown(eval::verdict_table(verdicts)));
  for (const eval::Verdict& verdict : verdicts) {
    if (!verdict.passed) throw ExitStatus{1};
  }
}

bool run_all(Engine& engine, const std::vector<eval::PlannedExample>& examples,
             const std::vector<eval::Configuration>& configurations, eval::StudyLog& log) {
  eval::Evaluator evaluator(engine, eval::score, &interrupt_flag());
  Stopwatch clock;
  const auto progress = [&](const eval::EvalProgress& at) {
    const std::string what =
        at.example == nullptr ? "" : fmt::format("{} {}", at.configuration->label, at.example->example.id);
    show_study_progress(at.done, at.total, at.example == nullptr ? 0 : at.timed, clock.ms(), what);
    if (at.example == nullptr) tell_line("");
  };
  const auto answer = [&](const eval::PlannedExample& example, const eval::Configuration& configuration) {
    return evaluator.run(example, configuration);
  };
  return eval::evaluate_all(examples, configurations, answer, log, progress);
}

void run(const CLI::App& app, EvalCommand& command) {
  // Refuses everything that can be refused before the model is loaded.
  if (command.model.path.empty())
    fail(ErrorCode::kInvalidArgument, "--model is required: a GGUF file or a folder of transformers");
  if (command.output.empty()) fail(ErrorCode::kInvalidArgument, "--output is required: a folder");
  apply_suite(app, command);
  if (command.compared.methods.empty() && command.compared.sweep.empty())
    command.compared.methods = {"full", "claa"};
  command.compared.set = parse_assignments(command.assignments);
  command.setup.shard = eval::parse_shard(command.shard);
  const std::vector<eval::TaskInfo> tasks = chosen_tasks(command.setup.tasks);
  std::vector<eval::Configuration> configurations = eval::make_configurations(command.compared);
  const std::vector<std::string> baselines = all_baselines(configurations, command.baselines);
  eval::summarize_scores(configurations, {}, baselines, 0);  // fails early if a baseline is unknown
  look_up_profiles(command);
  configurations =
      eval::make_configurations(command.compared);  // again, with the parameters that profiles set
  eval::make_folder(command.output);
  if (!command.no_pictures)
    eval::run_gnuplot(command.output, "/dev/null");  // fails early if gnuplot is missing
  Engine engine = command.model.load();
  std::vector<eval::PlannedExample> examples =
      eval::plan_examples(tasks, task_options(command.setup, engine), command.setup.seeds);
  eval::Study study;
  study.configuration = eval::study_json(command.setup, engine.model(), examples, configurations);
  study.configurations = configurations;
  std::erase_if(examples, [&](const auto& planned) { return !command.setup.shard.has(planned.index); });
  study.expected = static_cast<int64_t>(examples.size() * configurations.size());
  eval::StudyLog log(command.output + "/" + eval::kResultsFile, study.configuration);
  const bool complete = run_all(engine, examples, configurations, log);
  study.results = log.results();
  conclude(study, command.baselines, command.thresholds, !command.no_pictures, command.output);
  if (!complete) throw Error(ErrorCode::kCancelled, "interrupted");
}

void merge(const MergeCommand& command) {
  const eval::Study study = eval::merge_studies(command.folders);
  eval::make_folder(command.output);
  const std::string path = command.output + "/" + eval::kResultsFile;
  const std::string text = eval::study_text(study);
  std::error_code error;
  if (fs::exists(path, error) && read_file(path) != text) {
    fail(ErrorCode::kInvalidArgument, "'{}' holds results of another evaluation; choose another folder",
         path);
  }
  OutputFile(path).commit(text);
  conclude(study, command.baselines, {}, !command.no_pictures, command.output);
}

void add_merge(CLI::App& parent) {
  auto command = std::make_shared<MergeCommand>();
  CLI::App* sub = parent.add_subcommand(
      "merge", "join the shards of one evaluation, and other configurations that answered the same examples");
  sub->add_option("folders", command->folders, "the folder of every shard")->required();
  sub->add_option("-o,--output", command->output, "folder for results, summary and report")->required();
  sub->add_option("--baseline", command->baselines, "differences from this method too; may be repeated")
      ->allow_extra_args(false);
  sub->add_flag("--no-pictures", command->no_pictures, "numbers and report without pictures");
  sub->callback([command] { merge(*command); });
}

void add_study_options(CLI::App& app, EvalCommand& command) {
  app.add_option("--task,--tasks", command.setup.tasks,
                 "tasks and groups of tasks, e.g. ruler,niah,agreement")
      ->delimiter(',');
  app.add_option("--data", command.setup.data, "folder with the tasks' data");
  app.add_option("--haystack", command.setup.haystack,
                 "a text to hide needles in, and for agreement; a file or a pipe");
  app.add_option("--lengths", command.setup.lengths, "prompt lengths in tokens, for tasks that make prompts")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 27))
      ->capture_default_str();
  app.add_option("--examples", command.setup.examples, "at most, per task and length; 0: all")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  app.add_option(
         "--skip", command.setup.skip,
         "leave out the first examples of each task and length, such as those a profile was made from")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  app.add_option("--seeds", command.setup.seeds, "one set of examples for each")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 53))
      ->capture_default_str();
  app.add_option("--shard", command.shard,
                 "PART/PARTS: only this part of the examples, such as 2/8; see eval merge")
      ->capture_default_str();
}

}  // namespace

void add_eval(CLI::App& app) {
  auto command = std::make_shared<EvalCommand>();
  command->setup.lengths = {2048};
  command->setup.seeds = {42};
  command->compared.keeps = {"0.2"};
  CLI::App* sub = app.add_subcommand("eval", "methods compared on tasks: scores, intervals, time");
  command->model.add_to(*sub);
  sub->get_option("--model")->required(false);  // merge needs no model
  add_study_options(*sub, *command);
  sub->add_option("--methods", command->compared.methods, "methods; full,claa unless there is a sweep")
      ->delimiter(',');
  sub->add_option("--keep", command->compared.keeps, "rates, for methods that have one")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--set", command->assignments, "name=value, for methods that have it; may be repeated")
      ->allow_extra_args(false);
  sub->add_option("--sweep", command->compared.sweep, "a JSON file of configurations, as in sweeps/");
  add_profile_option(*sub, command->compared.profile);
  sub->add_option("--suite", command->suite, "an evaluation with thresholds: quick, or a JSON file");
  sub->add_option("--baseline", command->baselines, "differences from this method too; may be repeated")
      ->allow_extra_args(false);
  sub->add_option("-o,--output", command->output,
                  "folder for results, summary and report; a stopped run continues there");
  sub->add_flag("--no-pictures", command->no_pictures, "numbers and report without pictures");
  add_merge(*sub);
  sub->callback([sub, command] {
    if (sub->get_subcommands().empty()) run(*sub, *command);
  });
}

}  // namespace claa::cli
