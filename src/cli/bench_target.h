// The target of `claa bench`: a model file through the library's front door, or a published shape with random
// weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
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
  double decode_ms = 0;  // for all `decoded` tokens together
  int64_t decoded = 0, kept = 0;
  int64_t peak_bytes = 0;  // on the device if it has its own memory, else in the process
};

class BenchTarget {
 public:
  virtual ~BenchTarget() = default;
  virtual std::string name() const = 0;
  virtual std::string device() const = 0;
  virtual std::string dtype() const = 0;
  virtual int64_t vocabulary() const = 0;
  virtual std::vector<int32_t> tokenize(const std::string& text) = 0;
  virtual Measurement run(const BenchCase& bench) = 0;
  // Empty where it cannot be measured.
  virtual std::vector<StageTime> stages(const BenchCase& bench) = 0;
};

// FLOP/s of one linear layer of 1024 x 1024 for 512 rows on this device, the best of several runs; 0 on a
// GPU, where so small a layer says nothing.
double linear_peak(const ModelOptions& options);

std::unique_ptr<BenchTarget> bench_engine(const ModelOptions& options);
// Throws Error{kInvalidArgument} for an unknown shape.
std::unique_ptr<BenchTarget> bench_shape(const std::string& shape, const ModelOptions& options);

}  // namespace claa::cli
