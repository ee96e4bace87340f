// The output of `claa bench`.
#pragma once

#include <string>
#include <vector>

#include "cli/bench_target.h"

namespace claa::cli {

// One method at one rate and length.
struct BenchRow {
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

// Milliseconds of another program, shown beside ours.
struct BenchPeer {
  std::string command;
  int64_t tokens = 0;
  std::vector<double> ms;
};

void print_markdown(const std::vector<BenchRow>& rows, const BenchTarget& target);
// Prints time on the device by kind of work, from a separate run, because measuring costs a little. `peak` is
// in FLOP/s, 0 when unknown.
void print_stages(const std::vector<BenchRow>& rows, double peak);
// Prints one row per method: its TTFT as a share of the peer's.
void print_peers(const std::vector<BenchRow>& rows, const std::vector<BenchPeer>& peers);
void print_json(const std::vector<BenchRow>& rows, const std::vector<BenchPeer>& peers, double peak,
                const BenchTarget& target);
// Writes the spans of all rows as a Chrome trace (chrome://tracing, Perfetto): one process per row, one
// thread per kind of work.
void write_trace(const std::string& path, const std::vector<BenchRow>& rows);

}  // namespace claa::cli
