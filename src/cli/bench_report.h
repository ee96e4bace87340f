// What `claa bench` prints and writes.
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

// Another program's milliseconds beside ours.
struct BenchPeer {
  std::string command;
  int64_t tokens = 0;
  std::vector<double> ms;
};

void print_markdown(const std::vector<BenchRow>& rows, const BenchTarget& target);
// Time of the device by kind of work, from a run of its own: measuring it costs a little. `peak` in FLOP/s, 0
// when it is not known.
void print_stages(const std::vector<BenchRow>& rows, double peak);
// A row a method: its TTFT as a share of the peer's.
void print_peers(const std::vector<BenchRow>& rows, const std::vector<BenchPeer>& peers);
void print_json(const std::vector<BenchRow>& rows, const std::vector<BenchPeer>& peers, double peak,
                const BenchTarget& target);
// The spans of all rows as a Chrome trace (chrome://tracing, Perfetto): a process a row, a thread a kind of
// work.
void write_trace(const std::string& path, const std::vector<BenchRow>& rows);

}  // namespace claa::cli
