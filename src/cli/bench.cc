// claa bench: time to first token by method, rate and prompt length. Methods alternate within every run, so
// that a busy machine disturbs all of them alike; medians are quoted.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <random>

#include "claa/prefill.h"
#include "cli/common.h"
#include "core/check.h"

namespace claa::cli {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::vector<int64_t> lengths{512, 2048};
  std::vector<std::string> methods{"full", "claa"};
  std::vector<std::string> keeps{"0.2"};
  std::vector<std::string> assignments;
  std::string file;
  std::string output = "md";
  int runs = 5;
  int warmups = 1;
  int64_t decode = 16;
};

struct Row {
  std::string method, keep;
  ParamValues params;
  int64_t tokens = 0;
  std::vector<double> ttft, select, decode;
  int64_t kept = 0;
  int64_t peak_bytes = 0;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Peak resident memory of the process since the last reset, in bytes; 0 where the system does not say.
int64_t peak_resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}
void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

// Prompts: the start of a text, or random ids. Timing hardly depends on which tokens they are.
std::vector<int32_t> prompt_ids(const BenchOptions& options, Engine& engine, int64_t tokens) {
  if (!options.file.empty()) {
    Request request;
    request.raw = true;
    request.prompt = read_text(options.file);
    std::vector<int32_t> ids = engine.tokenize(request);
    if (static_cast<int64_t>(ids.size()) < tokens) {
      fail(ErrorCode::kInvalidArgument, "'{}' has {} tokens, fewer than the {} asked for", options.file,
           ids.size(), tokens);
    }
    ids.resize(static_cast<size_t>(tokens));
    return ids;
  }
  std::mt19937 random(static_cast<uint32_t>(tokens));
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (int32_t& id : ids)
    id = static_cast<int32_t>(random() % static_cast<uint64_t>(engine.model().vocabulary));
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
      Row row{method, keep, {}, tokens, {}, {}, {}, 0, 0};
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

void measure(Engine& engine, const std::vector<int32_t>& ids, const BenchOptions& options, bool record,
             Row& row) {
  Request request;
  request.ids = ids;
  request.method = row.method;
  request.params = row.params;
  request.cancel = &interrupt_flag();
  request.max_tokens = 1 + options.decode;
  reset_peak();
  const Answer answer = engine.answer(request);
  if (!record) return;
  row.ttft.push_back(answer.timings.first_token);
  row.select.push_back(answer.timings.select);
  if (answer.tokens.size() > 1)
    row.decode.push_back(answer.timings.decode / static_cast<double>(answer.tokens.size() - 1));
  row.kept = answer.kept_tokens;
  row.peak_bytes = std::max(row.peak_bytes, peak_resident());
}

double keep_of(const Row& row) {
  return row.keep.empty() ? 1.0 : std::stod(row.keep);
}

void print_markdown(const std::vector<Row>& rows, const ModelSummary& model) {
  std::cout << fmt::format("{}, {}\n\n", model.name.empty() ? model.file : model.name, model.device);
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

void print_json(const std::vector<Row>& rows, const ModelSummary& model, const BenchOptions& options) {
  boost::json::array json;
  for (const Row& row : rows) {
    const double ttft = median(row.ttft);
    json.push_back(boost::json::object{
        {"shape", model.name},
        {"device", model.device},
        {"dtype", options.model.engine.dtype},
        {"method", row.method},
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
        {"decode_ms", rounded(median(row.decode))}});
  }
  std::cout << boost::json::serialize(json) << "\n";
}

void run(const BenchOptions& options) {
  if (options.output != "md" && options.output != "json") {
    fail(ErrorCode::kInvalidArgument, "unknown output '{}'; choose md or json", options.output);
  }
  std::vector<std::vector<Row>> groups;
  for (const int64_t length : options.lengths) groups.push_back(make_rows(options, length));
  Engine engine = options.model.load();
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::vector<int32_t> ids = prompt_ids(options, engine, options.lengths[g]);
    for (int i = 0; i < options.warmups + options.runs; ++i) {
      for (Row& row : groups[g]) measure(engine, ids, options, i >= options.warmups, row);
    }
  }
  std::vector<Row> rows;
  for (std::vector<Row>& group : groups) std::move(group.begin(), group.end(), std::back_inserter(rows));
  options.output == "md" ? print_markdown(rows, engine.model()) : print_json(rows, engine.model(), options);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "time to first token by method, rate and prompt length");
  options->model.add_to(*command);
  command->add_option("-p,--prompt-tokens", options->lengths, "prompt lengths")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 27));
  command->add_option("--methods", options->methods, "methods")->delimiter(',')->capture_default_str();
  command->add_option("--keep", options->keeps, "rates, for methods that have one")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--set", options->assignments, "name=value, for methods that have it")
      ->allow_extra_args(false);
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
