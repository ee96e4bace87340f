// claa bench: time to first token by method, rate and prompt length. Methods alternate within every run, so
// that a busy machine disturbs all of them alike; medians are quoted.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <random>

#include "claa/registry.h"
#include "cli/bench_report.h"
#include "cli/bench_target.h"
#include "cli/common.h"
#include "cli/input.h"
#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"

namespace claa::cli {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::string shape;
  bool random_weights = false;
  bool stages = false;
  std::string trace_file;
  std::string compare;  // a command line
  std::vector<int64_t> lengths{512, 2048};
  std::vector<std::string> methods{"full", "claa"};
  std::vector<std::string> keeps{"0.2"};
  std::vector<std::string> assignments;
  std::string profile = "auto";
  std::string file;
  std::string output = "md";
  int runs = 5;
  int warmups = 1;
  int64_t decode = 16;
};

// Prompts: the start of a text, or random ids. Timing hardly depends on which tokens they are.
std::vector<int32_t> prompt_ids(const BenchOptions& options, BenchTarget& target, int64_t tokens) {
  if (!options.file.empty()) {
    std::vector<int32_t> ids = target.tokenize(read_text(options.file));
    if (static_cast<int64_t>(ids.size()) < tokens) {
      fail(ErrorCode::kInvalidArgument,
           "'{}' has {} tokens, fewer than the {} asked for; give a longer text or fewer --prompt-tokens",
           options.file, group_digits(ids.size()), group_digits(tokens));
    }
    ids.resize(usize(tokens));
    return ids;
  }
  std::mt19937 random(static_cast<uint32_t>(tokens));
  std::vector<int32_t> ids(usize(tokens));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(target.vocabulary()));
  return ids;
}

std::vector<BenchRow> make_rows(const BenchOptions& options, int64_t tokens) {
  const MethodRegistry registry = builtin_methods();
  MethodOptions extra;
  extra.assignments = options.assignments;
  std::vector<BenchRow> rows;
  for (const std::string& method : options.methods) {
    const std::vector<ParamSpec>& specs = registry.find(method).params;
    const auto has = [&](const std::string& name) {
      return std::any_of(specs.begin(), specs.end(), [&](const ParamSpec& s) { return s.name == name; });
    };
    for (const std::string& keep : has("keep") ? options.keeps : std::vector<std::string>{""}) {
      BenchRow row;
      row.method = method, row.keep = keep, row.tokens = tokens;
      for (const auto& [name, value] : extra.values()) {
        if (has(name)) row.params[name] = value;
      }
      if (!keep.empty()) row.params["keep"] = keep;
      registry.create(method, row.params);  // refuses bad values before anything is timed
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

// Called after every row's parameters were found valid, because a profile opens the model file.
void apply_profile(const BenchOptions& options, std::vector<BenchRow>& rows) {
  const MethodRegistry registry = builtin_methods();
  for (BenchRow& row : rows) {
    // A profile file applies to the methods that take one; bench compares them with others.
    const bool takes = takes_profile(registry.find(row.method));
    ProfileChoice choice =
        choose_profile(takes ? options.profile : "auto", row.method, row.params, options.model.path);
    row.params = std::move(choice.params);
    row.profile = std::move(choice.profile);
    row.note = std::move(choice.note);
  }
}

void measure(BenchTarget& target, const std::vector<int32_t>& ids, const BenchOptions& options, bool record,
             BenchRow& row) {
  const Measurement m = target.run({ids, row.method, row.params, options.decode});
  if (!record) return;
  row.ttft.push_back(m.ttft_ms);
  row.select.push_back(m.select_ms);
  if (m.decoded > 0) row.decode.push_back(m.decode_ms / static_cast<double>(m.decoded));
  row.kept = m.kept;
  row.peak_bytes = std::max(row.peak_bytes, m.peak_bytes);
}

// Runs a peer once and returns the last number of its last line, in milliseconds.
double run_peer(std::string command, int64_t tokens) {
  constexpr std::string_view kTokens = "{tokens}";
  for (size_t at = command.find(kTokens); at != std::string::npos; at = command.find(kTokens)) {
    command.replace(at, kTokens.size(), std::to_string(tokens));
  }
  FILE* pipe = popen(command.c_str(), "r");  // the user's own command, in the user's own shell
  if (pipe == nullptr) fail(ErrorCode::kIo, "cannot start '{}'", command);
  std::string output;
  char buffer[4096];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  const int status = pclose(pipe);
  if (interrupt_flag()) throw Error(ErrorCode::kCancelled, "interrupted");  // it ended the peer as well
  if (status != 0) fail(ErrorCode::kIo, "the peer '{}' failed (status {})", command, status);
  output.erase(output.find_last_not_of("\n") + 1);
  const std::string line = output.substr(output.rfind('\n') + 1);
  const size_t last = line.find_last_of("0123456789");
  double ms = 0;
  if (last != std::string::npos) {
    const size_t first = line.find_last_not_of("0123456789.", last) + 1;
    std::from_chars(line.data() + first, line.data() + last + 1, ms);
  }
  if (ms <= 0) {
    fail(ErrorCode::kInvalidArgument,
         "the last line of the peer '{}' has no milliseconds: '{}'; it must hold a positive number", command,
         line);
  }
  return ms;
}

void check_options(const BenchOptions& options) {
  if (options.output != "md" && options.output != "json") {
    fail(ErrorCode::kInvalidArgument, "unknown output '{}'; choose md or json", options.output);
  }
  if (options.shape.empty() == options.model.path.empty()) {
    fail(ErrorCode::kInvalidArgument, "give either a model (-m) or a shape (--shape)");
  }
  if (!options.shape.empty() && !options.random_weights) {
    fail(ErrorCode::kInvalidArgument, "a shape has no weights of its own: add --random-weights");
  }
  if (options.shape.empty() && options.random_weights) {
    fail(ErrorCode::kInvalidArgument, "a model has weights of its own: leave out --random-weights");
  }
  if (!options.shape.empty() && !options.file.empty()) {
    fail(ErrorCode::kInvalidArgument, "a shape has no tokenizer: leave out --file, or give a model");
  }
}

// Runs all methods and the peer in turn, round after round.
void measure_length(const BenchOptions& options, BenchTarget& target, std::vector<BenchRow>& rows,
                    BenchPeer& peer) {
  const std::vector<int32_t> ids = prompt_ids(options, target, peer.tokens);
  for (int i = 0; i < options.warmups + options.runs; ++i) {
    for (BenchRow& row : rows) measure(target, ids, options, i >= options.warmups, row);
    if (!peer.command.empty() && i >= options.warmups) peer.ms.push_back(run_peer(peer.command, peer.tokens));
  }
  if (!options.stages && options.trace_file.empty()) return;
  for (BenchRow& row : rows) row.stages = target.stages({ids, row.method, row.params, 0});
}

// As in `eval`: a parameter is for the methods that have it, and one that none of them has is a mistake.
void check_assignments(const BenchOptions& options) {
  const MethodRegistry registry = builtin_methods();
  for (const auto& [name, value] : parse_assignments(options.assignments)) {
    const bool taken = std::any_of(options.methods.begin(), options.methods.end(), [&](const auto& method) {
      const std::vector<ParamSpec>& specs = registry.find(method).params;
      return std::any_of(specs.begin(), specs.end(), [&](const ParamSpec& s) { return s.name == name; });
    });
    if (!taken) {
      fail(ErrorCode::kInvalidArgument,
           "--set {}: none of the methods has this parameter; see 'claa methods'", name);
    }
  }
}

void run(const BenchOptions& options) {
  check_options(options);
  check_assignments(options);
  std::vector<std::vector<BenchRow>> groups;
  for (const int64_t length : options.lengths) groups.push_back(make_rows(options, length));
  for (std::vector<BenchRow>& group : groups) apply_profile(options, group);
  BenchTarget target(options.shape, options.model);
  std::vector<BenchRow> rows;
  std::vector<BenchPeer> peers;
  for (size_t g = 0; g < groups.size(); ++g) {
    BenchPeer peer{options.compare, options.lengths[g], {}};
    measure_length(options, target, groups[g], peer);
    std::move(groups[g].begin(), groups[g].end(), std::back_inserter(rows));
    if (!options.compare.empty()) peers.push_back(std::move(peer));
  }
  const double peak = options.stages ? linear_peak(options.model) : 0;
  if (!options.trace_file.empty()) write_trace(options.trace_file, rows);
  if (options.output == "json") {
    print_json(rows, peers, peak, target);
    return;
  }
  print_markdown(rows, target);
  if (!peers.empty()) print_peers(rows, peers);
  if (options.stages && !rows.front().stages.empty()) print_stages(rows, peak);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "time to first token by method, rate and prompt length");
  options->model.add_to(*command, false);
  command->add_option("--shape", options->shape,
                      "a published shape instead of a model, such as llama-3.1-8b");
  command->add_flag("--random-weights", options->random_weights, "random weights for the shape");
  command->add_flag("--stages", options->stages,
                    "time by kind of work and its share of the measured peak; on a GPU with a shape");
  command->add_option("--trace-file", options->trace_file, "write every operation as a Chrome trace");
  command->add_option(
      "--compare", options->compare,
      "a command of another program, run in turn; {tokens} stands for the length, and the last "
      "number of its last line is its milliseconds");
  command->add_option("-p,--prompt-tokens", options->lengths, "prompt lengths")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 27));
  command->add_option("--methods", options->methods, "methods")->delimiter(',')->capture_default_str();
  command->add_option("--keep", options->keeps, "rates, for methods that have one")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--set", options->assignments, "name=value, for methods that have it")
      ->allow_extra_args(false);
  add_profile_option(*command, options->profile);
  command->add_option("-f,--file", options->file,
                      "take the prompts from the start of a text instead of random ids");
  command->add_option("-r,--runs", options->runs, "timed runs")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--warmups", options->warmups, "untimed runs before them")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--decode", options->decode, "tokens to decode after the first")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "md or json")->capture_default_str();
  command->callback([options] { run(*options); });
}

}  // namespace claa::cli
