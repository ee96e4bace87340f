// The target of `claa bench`: an engine with a model file, or with a published shape and random weights.
#pragma once

#include <string>
#include <vector>

#include "cli/common.h"

namespace claa::cli {

struct BenchCase {
  const std::vector<int32_t>& ids;
  const std::string& method;
  const ParamValues& params;
  int64_t decode = 0;  // tokens after the first
};

struct Measurement {
  double ttft_ms = 0, select_ms = 0;
  double decode_ms = 0;  // of all `decoded` tokens
  int64_t decoded = 0, kept = 0;
  int64_t peak_bytes = 0;  // of the device where it has memory of its own, else of the process
};

class BenchTarget {
 public:
  // A shape where `shape` is not empty. Throws Error{kInvalidArgument} for an unknown one.
  BenchTarget(const std::string& shape, const ModelOptions& options);
  std::string name() const;
  std::string device() const { return engine_.model().device; }
  std::string dtype() const { return dtype_; }
  int64_t vocabulary() const { return engine_.model().vocabulary; }
  std::vector<int32_t> tokenize(const std::string& text);
  Measurement run(const BenchCase& bench);
  // Time by kind of work; empty where it cannot be measured.
  std::vector<StageTime> stages(const BenchCase& bench);

 private:
  Engine engine_;
  std::string dtype_;
};

// FLOP/s of one linear layer of 1024 x 1024 for 512 rows on this device, the best of several; 0 on a GPU,
// where so small a one says nothing.
double linear_peak(const ModelOptions& options);

}  // namespace claa::cli
