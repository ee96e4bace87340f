#include "cli/bench_target.h"

#include <algorithm>
#include <fstream>
#include <numeric>
#include <optional>

#include "claa/registry.h"
#include "core/clock.h"
#include "model/shapes.h"
#include "prefill/decoder.h"
#include "prefill/runner.h"

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

class EngineTarget : public BenchTarget {
 public:
  explicit EngineTarget(const ModelOptions& options)
      : engine_(options.load()), dtype_(options.engine.dtype) {}
  std::string name() const override {
    const ModelSummary& model = engine_.model();
    return model.name.empty() ? model.file : model.name;
  }
  std::string device() const override { return engine_.model().device; }
  std::string dtype() const override { return dtype_; }
  int64_t vocabulary() const override { return engine_.model().vocabulary; }
  std::vector<int32_t> tokenize(const std::string& text) override {
    Request request;
    request.raw = true;
    request.prompt = text;
    return engine_.tokenize(request);
  }
  Measurement run(const BenchCase& bench) override {
    Request request;
    request.ids = bench.ids;
    request.method = bench.method;
    request.params = bench.params;
    request.cancel = &interrupt_flag();
    request.max_tokens = 1 + bench.decode;
    reset_peak();
    const Answer answer = engine_.answer(request);
    Measurement m;
    m.ttft_ms = answer.timings.first_token;
    m.select_ms = answer.timings.select;
    m.decode_ms = answer.timings.decode;
    m.decoded = static_cast<int64_t>(answer.tokens.size()) - 1;
    m.kept = answer.kept_tokens;
    m.peak_bytes = peak_resident();
    return m;
  }
  std::vector<StageTime> stages(const BenchCase& bench) override {
    Request request;
    request.ids = bench.ids;
    request.method = bench.method;
    request.params = bench.params;
    request.cancel = &interrupt_flag();
    request.max_tokens = 1;
    request.stages = true;
    return engine_.answer(request).stages;
  }

 private:
  Engine engine_;
  std::string dtype_;
};

class ShapeTarget : public BenchTarget {
 public:
  ShapeTarget(const ModelConfig& config, const EngineOptions& options)
      : backend_(make_backend(backend_options(options.device, options.dtype, options.threads, options.isa))),
        model_(config, random_weights(config, *backend_), *backend_),
        methods_(builtin_methods()) {
    if (options.draft.empty()) return;
    const ModelConfig& draft = find_shape(options.draft);
    if (draft.vocabulary != config.vocabulary) {
      fail(ErrorCode::kInvalidArgument, "the draft '{}' has a vocabulary of {} tokens, the shape has {}",
           options.draft, draft.vocabulary, config.vocabulary);
    }
    drafter_.emplace(draft, random_weights(draft, *backend_), *backend_);
  }
  std::string name() const override { return model_.config().name; }
  std::string device() const override { return backend_->description(); }
  std::string dtype() const override { return dtype_name(backend_->dtype()); }
  int64_t vocabulary() const override { return model_.config().vocabulary; }
  std::vector<int32_t> tokenize(const std::string& /*text*/) override {
    fail(ErrorCode::kInvalidArgument, "a shape has no tokenizer");
  }
  Measurement run(const BenchCase& bench) override {
    Measurement m;
    const auto method = methods_.create(bench.method, bench.params);
    backend_->synchronize();
    backend_->peak_bytes();
    reset_peak();
    Stopwatch clock;
    PrefillResult prefill = run_prefill(model_, bench.ids, *method, options(bench));
    int32_t token = best(prefill.logits);
    m.ttft_ms = clock.ms();
    m.select_ms = prefill.select_ms;
    m.kept = prefill.kept_tokens;
    Decoder decoder(model_, *prefill.cache);
    Stopwatch decode_clock;
    for (; m.decoded < bench.decode; ++m.decoded) token = best(decoder.step(token));
    m.decode_ms = decode_clock.ms();
    const size_t device_bytes = backend_->peak_bytes();
    m.peak_bytes = device_bytes > 0 ? static_cast<int64_t>(device_bytes) : peak_resident();
    return m;
  }
  std::vector<StageTime> stages(const BenchCase& bench) override {
    const auto method = methods_.create(bench.method, bench.params);
    backend_->start_profile();
    run_prefill(model_, bench.ids, *method, options(bench));
    return backend_->stop_profile();
  }

 private:
  static int32_t best(const std::vector<float>& logits) {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  PrefillOptions options(const BenchCase& bench) const {
    PrefillOptions options;
    options.reserve = bench.decode + 1;
    options.cancel = &interrupt_flag();
    if (drafter_) options.drafter = &*drafter_;
    return options;
  }

  std::unique_ptr<Backend> backend_;
  LlamaModel model_;
  std::optional<LlamaModel> drafter_;
  MethodRegistry methods_;
};

}  // namespace

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
  const size_t in_bytes = static_cast<size_t>(kRows * kSize) * dtype_bytes(backend->dtype());
  const Buffer in = backend->allocate(in_bytes);
  const Buffer out = backend->allocate(static_cast<size_t>(kRows * kSize) * sizeof(float));
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

std::unique_ptr<BenchTarget> bench_engine(const ModelOptions& options) {
  return std::make_unique<EngineTarget>(options);
}

std::unique_ptr<BenchTarget> bench_shape(const std::string& shape, const ModelOptions& options) {
  return std::make_unique<ShapeTarget>(find_shape(shape), options.engine);
}

}  // namespace claa::cli
