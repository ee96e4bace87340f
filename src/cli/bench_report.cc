#include "cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/terminal.h"
#include "core/output_file.h"
#include "eval/stats/bootstrap.h"
#include "output/json.h"
#include "text/visible.h"

namespace claa::cli {
namespace {

using eval::median;

double decode_ms(const BenchRow& row) {  // a token; 0 when none was decoded
  return row.decode.empty() ? 0 : median(row.decode);
}

double keep_of(const BenchRow& row) {
  return row.keep.empty() ? 1.0 : std::stod(row.keep);
}

}  // namespace

void print_markdown(const std::vector<BenchRow>& rows, const BenchTarget& target) {
  const auto noted =
      std::find_if(rows.begin(), rows.end(), [](const BenchRow& row) { return !row.note.empty(); });
  std::string out = fmt::format(
      "{}, {}{}\n\n", visible_line(target.name()), target.device(),
      noted == rows.end() ? "" : fmt::format(", {}: {}", noted->method, visible_line(noted->note)));
  out +=
      "| tokens | method | keep | TTFT ms (median) | min | max | tokens/s | select ms | decode "
      "ms/token | peak MiB |\n"
      "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
  for (const BenchRow& row : rows) {
    const double ttft = median(row.ttft);
    out += fmt::format(
        "| {} | {} | {:.2f} | {:.1f} | {:.1f} | {:.1f} | {:.0f} | {:.1f} | {:.1f} | {:.0f} |\n", row.tokens,
        row.method, keep_of(row), ttft, *std::min_element(row.ttft.begin(), row.ttft.end()),
        *std::max_element(row.ttft.begin(), row.ttft.end()), 1000.0 * static_cast<double>(row.tokens) / ttft,
        median(row.select), decode_ms(row), static_cast<double>(row.peak_bytes) / (1024 * 1024));
  }
  write_text(out);
}

void print_stages(const std::vector<BenchRow>& rows, double peak) {
  const std::vector<StageTime>& first = rows.front().stages;
  std::string out = "\n| tokens | method | keep |";
  for (const StageTime& stage : first) out += " " + stage.stage + " ms |";
  out += " sum ms | TTFT / (linear + attention) |";
  for (const StageTime& stage : first) {
    if (stage.flops > 0) out += " " + stage.stage + " GFLOP/s |";
    if (stage.flops > 0 && peak > 0) out += " of peak |";
  }
  out += "\n|---:|---|---:|";
  for (const StageTime& stage : first) {
    out += "---:|";
    if (stage.flops > 0) out += peak > 0 ? "---:|---:|" : "---:|";
  }
  out += "---:|---:|\n";
  for (const BenchRow& row : rows) {
    out += fmt::format("| {} | {} | {:.2f} |", row.tokens, row.method, keep_of(row));
    double sum = 0, ceiling = 0;
    for (const StageTime& stage : row.stages) {
      out += fmt::format(" {:.2f} |", stage.ms);
      sum += stage.ms;
      if (stage.stage == "linear" || stage.stage == "attention") ceiling += stage.ms;
    }
    out += fmt::format(" {:.2f} | {:.3f} |", sum, median(row.ttft) / ceiling);
    for (const StageTime& stage : row.stages) {
      if (stage.flops == 0) continue;
      const double rate = stage.flops / (stage.ms * 1e-3);
      out += fmt::format(" {:.0f} |", rate * 1e-9);
      if (peak > 0) out += fmt::format(" {:.2f} |", rate / peak);
    }
    out += "\n";
  }
  if (peak > 0) {
    out += fmt::format(
        "\nPeak: {:.0f} GFLOP/s, one linear layer of 1024 x 1024 for 512 rows, the best of several.\n",
        peak * 1e-9);
  }
  write_text(out);
}

void print_peers(const std::vector<BenchRow>& rows, const std::vector<BenchPeer>& peers) {
  std::string out = "\n| tokens | peer ms (median) | min | max |";
  std::vector<const BenchRow*> shown;
  for (const BenchRow& row : rows) {
    if (row.tokens != rows.front().tokens) break;
    out += fmt::format(" {} {:.2f} / peer |", row.method, keep_of(row));
  }
  out += "\n|---:|---:|---:|---:|";
  for (const BenchRow& row : rows) out += (row.tokens == rows.front().tokens ? "---:|" : "");
  out += "\n";
  for (const BenchPeer& peer : peers) {
    const double ms = median(peer.ms);
    out += fmt::format("| {} | {:.1f} | {:.1f} | {:.1f} |", peer.tokens, ms,
                       *std::min_element(peer.ms.begin(), peer.ms.end()),
                       *std::max_element(peer.ms.begin(), peer.ms.end()));
    for (const BenchRow& row : rows) {
      if (row.tokens == peer.tokens) out += fmt::format(" {:.3f} |", median(row.ttft) / ms);
    }
    out += "\n";
  }
  write_text(out + "\nPeer: " + visible_line(peers.front().command) + "\n");
}

void print_json(const std::vector<BenchRow>& rows, const std::vector<BenchPeer>& peers, double peak,
                const BenchTarget& target) {
  boost::json::array json;
  for (const BenchRow& row : rows) {
    const double ttft = median(row.ttft);
    boost::json::object stages, rates;
    for (const StageTime& stage : row.stages) {
      stages[stage.stage] = rounded(stage.ms);
      if (stage.flops > 0) rates[stage.stage] = rounded(stage.flops / (stage.ms * 1e6));
    }
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
        {"decode_ms", rounded(decode_ms(row))},
        {"stages_ms", stages}});
    boost::json::object& object = json.back().as_object();
    if (!rates.empty()) object["gflops_per_s"] = rates;
    if (peak > 0) object["peak_gflops_per_s"] = rounded(peak * 1e-9);
    for (const BenchPeer& peer : peers) {
      if (peer.tokens == row.tokens) object["peer_ms"] = rounded(median(peer.ms));
    }
  }
  write_json(std::move(json));
}

void write_trace(const std::string& path, const std::vector<BenchRow>& rows) {
  boost::json::array events;
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto name = [&](const char* what, size_t thread, const std::string& text) {
      events.push_back(boost::json::object{
          {"ph", "M"}, {"name", what}, {"pid", r}, {"tid", thread}, {"args", {{"name", text}}}});
    };
    name("process_name", 0,
         fmt::format("{} {} at {} tokens", rows[r].method, keep_of(rows[r]), rows[r].tokens));
    for (size_t s = 0; s < rows[r].stages.size(); ++s) {
      const StageTime& stage = rows[r].stages[s];
      name("thread_name", s, stage.stage);
      for (const StageSpan& span : stage.spans) {
        events.push_back(boost::json::object{{"ph", "X"},
                                             {"name", stage.stage},
                                             {"pid", r},
                                             {"tid", s},
                                             {"ts", 1000 * span.start_ms},
                                             {"dur", 1000 * span.ms}});
      }
    }
  }
  OutputFile file(path);
  file.commit(json_text(boost::json::object{{"traceEvents", events}}));
}

}  // namespace claa::cli
