// Operations of the CPU backend at the shapes of SmolLM2-135M, beside the bare oneDNN matmul.
//   cmake --preset cpu -DCLAA_BUILD_BENCH=ON && cmake --build --preset cpu --target ops_bench &&
//   build/cpu/bench/ops_bench
// GFLOP/s counts useful work: causal attention counts only visible keys.
#include <benchmark/benchmark.h>

#include <numeric>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>

#include "backend/backend.h"

namespace claa {
namespace {

constexpr int64_t kRows = 512, kHeads = 9, kKvHeads = 3, kHeadSize = 64;

std::vector<float> random_values(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

Backend& backend() {
  static const std::unique_ptr<Backend> instance = [] {
    BackendOptions options;
    options.dtype = best_dtype(options);
    return make_backend(options);
  }();
  return *instance;
}

Tensor filled(Buffer& memory, DType dtype, int64_t planes, int64_t rows, int64_t columns) {
  memory = backend().allocate(static_cast<size_t>(planes * rows * columns) * dtype_bytes(dtype));
  const Tensor tensor = Tensor::cube(memory.data(), dtype, planes, rows, columns);
  const std::vector<float> values = random_values(static_cast<size_t>(planes * rows * columns));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kBF16) {
      tensor.ptr<Bf16>()[i] = to_bf16(values[i]);
    } else {
      tensor.ptr<float>()[i] = values[i];
    }
  }
  return tensor;
}

void gflops(benchmark::State& state, double flops) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void linear(benchmark::State& state) {
  const int64_t inputs = state.range(0), outputs = state.range(1);
  const std::vector<float> rows = random_values(static_cast<size_t>(inputs * outputs));
  WeightSource source;
  source.outputs = outputs;
  source.inputs = inputs;
  source.fill = [&](int64_t first, int64_t count, float* to) {
    std::copy_n(rows.begin() + first * inputs, count * inputs, to);
  };
  const auto weight = backend().prepare(source);
  Buffer x_memory, y_memory;
  const Tensor x = filled(x_memory, backend().dtype(), 1, kRows, inputs);
  const Tensor y = filled(y_memory, DType::kF32, 1, kRows, outputs);
  for (auto _ : state) backend().linear(x, *weight, y, false);
  gflops(state, 2.0 * static_cast<double>(kRows * inputs * outputs));
}

void bare_matmul(benchmark::State& state) {
  using dnnl::memory;
  const int64_t inputs = state.range(0), outputs = state.range(1);
  backend();  // sets the thread count
  const auto type = best_dtype({}) == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc x({kRows, inputs}, type, memory::format_tag::ab);
  const memory::desc w({inputs, outputs}, type, memory::format_tag::any);
  const memory::desc y({kRows, outputs}, memory::data_type::f32, memory::format_tag::ab);
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(x, w, y), engine);
  memory mx(x, engine), mw(description.weights_desc(), engine), my(y, engine);
  std::fill_n(static_cast<char*>(mx.get_data_handle()), x.get_size(), 0);
  std::fill_n(static_cast<char*>(mw.get_data_handle()), mw.get_desc().get_size(), 0);
  dnnl::matmul matmul(description);
  for (auto _ : state) {
    matmul.execute(stream, {{DNNL_ARG_SRC, mx}, {DNNL_ARG_WEIGHTS, mw}, {DNNL_ARG_DST, my}});
    stream.wait();
  }
  gflops(state, 2.0 * static_cast<double>(kRows * inputs * outputs));
}

void shapes(benchmark::internal::Benchmark* b) {
  b->Args({576, 576})->Args({576, 384})->Args({576, 3072})->Args({1536, 576})->UseRealTime();
}
BENCHMARK(linear)->Apply(shapes);
BENCHMARK(bare_matmul)->Apply(shapes);

// A chunk of queries at the end of a context of range(0) tokens.
void attention(benchmark::State& state) {
  const int64_t length = state.range(0);
  Buffer memory[4];
  const Tensor q = filled(memory[0], backend().dtype(), 1, kRows, kHeads * kHeadSize);
  const KvView kv{filled(memory[1], backend().dtype(), kKvHeads, length, kHeadSize),
                  filled(memory[2], backend().dtype(), kKvHeads, length, kHeadSize), length};
  const Tensor out = filled(memory[3], backend().dtype(), 1, kRows, kHeads * kHeadSize);
  std::vector<int32_t> visible(kRows);
  std::iota(visible.begin(), visible.end(), static_cast<int32_t>(length - kRows + 1));
  std::unique_ptr<PackedKv> packed;
  backend().pack_kv(kv, packed);
  for (auto _ : state) backend().attention(q, kv, packed.get(), visible, out);
  const double pairs = static_cast<double>(kRows) * (static_cast<double>(length) - 0.5 * kRows);
  gflops(state, 4.0 * pairs * kHeads * kHeadSize);
}
BENCHMARK(attention)->Arg(1024)->Arg(4096)->Arg(8000)->UseRealTime();

void pack_kv(benchmark::State& state) {
  const int64_t length = state.range(0);
  Buffer memory[2];
  const KvView kv{filled(memory[0], backend().dtype(), kKvHeads, length, kHeadSize),
                  filled(memory[1], backend().dtype(), kKvHeads, length, kHeadSize), length};
  std::unique_ptr<PackedKv> packed;
  for (auto _ : state) backend().pack_kv(kv, packed);
}
BENCHMARK(pack_kv)->Arg(8000)->UseRealTime();

void window_scores(benchmark::State& state) {
  const int64_t length = state.range(0);
  ScoreSpec spec;
  Buffer memory[4];
  const Tensor q = filled(memory[0], backend().dtype(), 1, spec.window, kHeads * kHeadSize);
  const KvView kv{filled(memory[1], backend().dtype(), kKvHeads, length, kHeadSize),
                  filled(memory[2], backend().dtype(), kKvHeads, length, kHeadSize), length};
  const Tensor out = filled(memory[3], DType::kF32, 1, kKvHeads, length - spec.window);
  std::unique_ptr<PackedKv> packed;
  backend().pack_kv(kv, packed);
  for (auto _ : state) backend().window_scores(q, kv, packed.get(), spec, out);
}
BENCHMARK(window_scores)->Arg(8000)->UseRealTime();

}  // namespace
}  // namespace claa

BENCHMARK_MAIN();
