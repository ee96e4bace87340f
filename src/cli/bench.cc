// claa bench: time to first token by method, rate and prompt length. Methods alternate within every run, so
// that a busy machine disturbs all of them alike; medians are quoted.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <random>

#include "claa/prefill.h"
#include "cli/bench_target.h"
#include "cli/common.h"
#include "core/check.h"

namespace claa::cli {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::string shape;
  bool random_weights = false;
  bool stages = false;
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

struct Row {
  std::string method, keep;
  ParamValues params;
  std::string profile;  // see ProfileChoice
  std::string note;
  int64_t tokens = 0;
  std::vector<double> ttft, select, decode;
  int64_t kept = 0;
  int64_t peak_bytes = 0;
  std::vector<StageTime> stages;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Prompts: the start of a text, or random ids. Timing hardly depends on which tokens they are.
std::vector<int32_t> prompt_ids(const BenchOptions& options, BenchTarget& target, int64_t tokens) {
  if (!options.file.empty()) {
    std::vector<int32_t> ids = target.tokenize(read_text(options.file));
    if (static_cast<int64_t>(ids.size()) < tokens) {
      fail(ErrorCode::kInvalidArgument, "'{}' has {} tokens, fewer than the {} asked for", options.file,
           ids.size(), tokens);
    }
    ids.resize(static_cast<size_t>(tokens));
    return ids;
  }
  std::mt19937 random(static_cast<uint32_t>(tokens));
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(target.vocabulary()));
  return ids;
}

std::vector<Row> make_rows(const BenchOptions& options, int64_t tokens) {
  const MethodRegistry registry = builtin_methods();
  MethodOptions extra;
  extra.assignments = options.assignments;
  std::vector<Row> rows;
  for (const std::string& method : options.methods) {
    const std::vector<ParamSpec>& specs = registry.find(method).params;
    const auto has = [&](const std::string& name) {
      return std::any_of(specs.begin(), specs.end(), [&](const ParamSpec& s) { return s.name == name; });
    };
    for (const std::string& keep : has("keep") ? options.keeps : std::vector<std::string>{""}) {
      Row row;
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

// After every row's parameters were found good: a profile opens the model file.
void apply_profile(const BenchOptions& options, std::vector<Row>& rows) {
  for (Row& row : rows) {
    // A file is meant for the methods that take one; bench compares it with others.
    ProfileChoice choice = choose_profile(takes_profile(row.method) ? options.profile : "auto", row.method,
                                          row.params, options.model.path);
    row.params = std::move(choice.params);
    row.profile = std::move(choice.profile);
    row.note = std::move(choice.note);
  }
}

void measure(BenchTarget& target, const std::vector<int32_t>& ids, const BenchOptions& options, bool record,
             Row& row) {
  const Measurement m = target.run({ids, row.method, row.params, options.decode});
  if (!record) return;
  row.ttft.push_back(m.ttft_ms);
  row.select.push_back(m.select_ms);
  if (m.decoded > 0) row.decode.push_back(m.decode_ms / static_cast<double>(m.decoded));
  row.kept = m.kept;
  row.peak_bytes = std::max(row.peak_bytes, m.peak_bytes);
}

double keep_of(const Row& row) {
  return row.keep.empty() ? 1.0 : std::stod(row.keep);
}

void print_markdown(const std::vector<Row>& rows, const BenchTarget& target) {
  const auto noted = std::find_if(rows.begin(), rows.end(), [](const Row& row) { return !row.note.empty(); });
  std::cout << fmt::format("{}, {}{}\n\n", target.name(), target.device(),
                           noted == rows.end() ? "" : fmt::format(", {}: {}", noted->method, noted->note));
  std::cout << "| tokens | method | keep | TTFT ms (median) | min | max | tokens/s | select ms | decode "
               "ms/token | peak MiB |\n"
               "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
  for (const Row& row : rows) {
    const double ttft = median(row.ttft);
    std::cout << fmt::format(
        "| {} | {} | {:.2f} | {:.1f} | {:.1f} | {:.1f} | {:.0f} | {:.1f} | {:.1f} | {:.0f} |\n", row.tokens,
        row.method, keep_of(row), ttft, *std::min_element(row.ttft.begin(), row.ttft.end()),
        *std::max_element(row.ttft.begin(), row.ttft.end()), 1000.0 * static_cast<double>(row.tokens) / ttft,
        median(row.select), median(row.decode), static_cast<double>(row.peak_bytes) / (1024 * 1024));
  }
}

// Time of the device by kind of work, from a run of its own: measuring it costs a little.
void print_stages(const std::vector<Row>& rows) {
  std::cout << "\n| tokens | method | keep |";
  for (const StageTime& stage : rows.front().stages) std::cout << " " << stage.stage << " ms |";
  std::cout << " sum ms | TTFT / (linear + attention) |\n|---:|---|---:|";
  for (size_t i = 0; i < rows.front().stages.size() + 2; ++i) std::cout << "---:|";
  std::cout << "\n";
  for (const Row& row : rows) {
    std::cout << fmt::format("| {} | {} | {:.2f} |", row.tokens, row.method, keep_of(row));
    double sum = 0, ceiling = 0;
    for (const StageTime& stage : row.stages) {
      std::cout << fmt::format(" {:.2f} |", stage.ms);
      sum += stage.ms;
      if (stage.stage == "linear" || stage.stage == "attention") ceiling += stage.ms;
    }
    std::cout << fmt::format(" {:.2f} | {:.3f} |\n", sum, median(row.ttft) / ceiling);
  }
}

void print_json(const std::vector<Row>& rows, const BenchTarget& target) {
  boost::json::array json;
  for (const Row& row : rows) {
    const double ttft = median(row.ttft);
    boost::json::object stages;
    for (const StageTime& stage : row.stages) stages[stage.stage] = rounded(stage.ms);
    json.push_back(boost::json::object{
        {"shape", target.name()},
        {"device", target.device()},
        {"dtype", target.dtype()},
        {"method", row.method},
        {"profile", row.profile},
        {"keep", keep_of(row)},
        {"tokens", row.tokens},
        {"kept_tokens", row.kept},
        {"ttft_ms", boost::json::object{{"median", rounded(ttft)},
                                        {"min", rounded(*std::min_element(row.ttft.begin(), row.ttft.end()))},
                                        {"max", rounded(*std::max_element(row.ttft.begin(), row.ttft.end()))},
                                        {"runs", row.ttft.size()}}},
        {"tokens_per_s", rounded(1000.0 * static_cast<double>(row.tokens) / ttft)},
        {"select_ms", rounded(median(row.select))},
        {"peak_bytes", row.peak_bytes},
        {"decode_ms", rounded(median(row.decode))},
        {"stages_ms", stages}});
  }
  std::cout << boost::json::serialize(json) << "\n";
}

// Where the device works while the host goes on, the host's clock knows nothing of selection.
void take_select(Row& row) {
  if (row.stages.empty()) return;
  double ms = 0;
  for (const StageTime& stage : row.stages) {
    if (stage.stage == "scores" || stage.stage == "select") ms += stage.ms;
  }
  row.select.assign(1, ms);
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
  if (!options.shape.empty() && !options.file.empty()) {
    fail(ErrorCode::kInvalidArgument, "a shape has no tokenizer: leave out --file, or give a model");
  }
}

void run(const BenchOptions& options) {
  check_options(options);
  std::vector<std::vector<Row>> groups;
  for (const int64_t length : options.lengths) groups.push_back(make_rows(options, length));
  for (std::vector<Row>& group : groups) apply_profile(options, group);
  const auto target =
      options.shape.empty() ? bench_engine(options.model) : bench_shape(options.shape, options.model);
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::vector<int32_t> ids = prompt_ids(options, *target, options.lengths[g]);
    for (int i = 0; i < options.warmups + options.runs; ++i) {
      for (Row& row : groups[g]) measure(*target, ids, options, i >= options.warmups, row);
    }
    for (Row& row : groups[g]) {
      row.stages = target->stages({ids, row.method, row.params, 0});
      take_select(row);
    }
  }
  std::vector<Row> rows;
  for (std::vector<Row>& group : groups) std::move(group.begin(), group.end(), std::back_inserter(rows));
  if (options.output == "json") {
    print_json(rows, *target);
    return;
  }
  print_markdown(rows, *target);
  if (options.stages && !rows.front().stages.empty()) print_stages(rows);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "time to first token by method, rate and prompt length");
  options->model.add_to(*command, false);
  command->add_option("--shape", options->shape,
                      "a published shape instead of a model, such as llama-3.1-8b");
  command->add_flag("--random-weights", options->random_weights, "the weights of a shape");
  command->add_flag("--stages", options->stages, "time by kind of work, on a GPU with a shape");
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
  command->add_option("--warmups", options->warmups, "untimed runs before")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--decode", options->decode, "tokens to decode after the first")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "md or json")->capture_default_str();
  command->callback([options] { run(*options); });
}

}  // namespace claa::cli
