// Time of a device by kind of work, as Answer::stages reports it.
#pragma once

#include <string>
#include <vector>

namespace claa {

// One operation, counted from the start of measuring.
struct StageSpan {
  double start_ms = 0, ms = 0;
};

struct StageTime {
  std::string stage;  // "linear", "attention", "scores", "select", "rest"
  double ms = 0;
  double flops = 0;              // useful ones (causal attention counts what is visible); 0: not counted
  std::vector<StageSpan> spans;  // where the device reports single operations
};

}  // namespace claa
