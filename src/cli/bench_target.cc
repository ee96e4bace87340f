#include "cli/bench_target.h"

#include <algorithm>
#include <fstream>

#include "backend/backend.h"
#include "core/clock.h"
#include "core/usize.h"

namespace claa::cli {
namespace {

// Peak resident memory of the process since the last reset, in bytes; 0 where the system does not report it.
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

Request request_of(const BenchCase& bench) {
  Request request;
  request.ids = bench.ids;
  request.method = bench.method;
  request.params = bench.params;
  request.cancel = &interrupt_flag();
  request.max_tokens = 1 + bench.decode;
  return request;
}

}  // namespace

BenchTarget::BenchTarget(const std::string& shape, const ModelOptions& options)
    : engine_(shape.empty() ? options.load() : options.load(ModelSource::of_shape(shape))),
      dtype_(shape.empty() ? options.engine.dtype : engine_.model().dtype) {}

std::string BenchTarget::name() const {
  const ModelSummary& model = engine_.model();
  return model.name.empty() ? model.file : model.name;
}

std::vector<int32_t> BenchTarget::tokenize(const std::string& text) {
  Request request;
  request.raw = true;
  request.prompt = text;
  return engine_.tokenize(request);
}

Measurement BenchTarget::run(const BenchCase& bench) {
  reset_peak();
  const Answer answer = engine_.answer(request_of(bench));
  Measurement m;
  m.ttft_ms = answer.timings.first_token;
  m.select_ms = answer.timings.select;
  m.decode_ms = answer.timings.decode;
  m.decoded = static_cast<int64_t>(answer.tokens.size()) - 1;
  m.kept = answer.kept_tokens;
  m.peak_bytes = answer.device_bytes > 0 ? static_cast<int64_t>(answer.device_bytes) : peak_resident();
  return m;
}

std::vector<StageTime> BenchTarget::stages(const BenchCase& bench) {
  Request request = request_of(bench);
  request.max_tokens = 1;
  request.stages = true;
  return engine_.answer(request).stages;
}

double linear_peak(const ModelOptions& options) {
  constexpr int64_t kRows = 512, kSize = 1024;
  constexpr int kRuns = 20;
  const EngineOptions& engine = options.engine;
  const auto backend = make_backend(backend_options(engine.device, engine.dtype, engine.threads, engine.isa));
  if (std::string_view(backend->name()) == "cuda") return 0;
  const auto weight = backend->prepare({kSize, kSize, false, [](int64_t, int64_t count, float* to) {
                                          for (int64_t i = 0; i < count * kSize; ++i)
                                            to[i] = static_cast<float>(i % 7) - 3;
                                        }});
  const size_t in_bytes = usize(kRows * kSize) * dtype_bytes(backend->dtype());
  const Buffer in = backend->allocate(in_bytes);
  const Buffer out = backend->allocate(usize(kRows * kSize) * sizeof(float));
  backend->clear(in.data(), in_bytes);
  const Tensor x = Tensor::matrix(in.data(), backend->dtype(), kRows, kSize);
  const Tensor y = Tensor::matrix(out.data(), DType::kF32, kRows, kSize);
  double best = 0;
  for (int i = 0; i < kRuns; ++i) {
    const Stopwatch clock;
    backend->linear(x, *weight, y, false);
    best = std::max(best, 2.0 * static_cast<double>(kRows * kSize * kSize) / (clock.ms() * 1e-3));
  }
  return best;
}

}  // namespace claa::cli
