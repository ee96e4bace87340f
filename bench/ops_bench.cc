// Operations of the CPU backend at the shapes of SmolLM2-135M, in every type, beside the bare oneDNN matmul.
//   cmake --preset cpu -DCLAA_BUILD_BENCH=ON && cmake --build --preset cpu --target ops_bench &&
//   build/cpu/bench/ops_bench
// decode/... is one row times the gates of Llama 3.1 8B, widened to bf16 and as blocks of each format.
// GFLOP/s counts useful work: causal attention counts only visible keys. `share` is that of the bare oneDNN
// matmul in bf16 (f32 where the CPU has no bf16) of 512 x 1024 x 1024.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>

#include "backend/backend.h"
#include "core/clock.h"
#include "core/usize.h"
#include "gguf/quants.h"
#include "model/model.h"

namespace claa {
namespace {

constexpr int64_t kRows = 512, kHeads = 9, kKvHeads = 3, kHidden = 576, kFfn = 1536;

std::vector<float> random_values(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

Backend& backend(const std::string& dtype) {
  static std::map<std::string, std::unique_ptr<Backend>> made;
  std::unique_ptr<Backend>& instance = made[dtype];
  if (instance == nullptr) instance = make_backend(backend_options("cpu", dtype, 0, ""));
  return *instance;
}

// Values with the memory that holds them.
struct Array {
  Array(Backend& device, DType dtype, int64_t planes, int64_t rows, int64_t columns)
      : memory(device.allocate(usize(planes * rows * columns) * dtype_bytes(dtype))),
        tensor(Tensor::cube(memory.data(), dtype, planes, rows, columns)) {
    const std::vector<float> values = random_values(usize(planes * rows * columns));
    for (size_t i = 0; i < values.size(); ++i) {
      if (dtype == DType::kBF16) {
        tensor.ptr<Bf16>()[i] = to_bf16(values[i]);
      } else {
        tensor.ptr<float>()[i] = values[i];
      }
    }
  }
  Buffer memory;
  Tensor tensor;
};

class BareMatmul {
 public:
  BareMatmul(int64_t inputs, int64_t outputs) : stream_(engine_) {
    using dnnl::memory;
    backend("auto");  // sets the thread count
    const auto type = best_dtype({}) == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
    const memory::desc x({kRows, inputs}, type, memory::format_tag::ab);
    const memory::desc w({inputs, outputs}, type, memory::format_tag::any);
    const memory::desc y({kRows, outputs}, memory::data_type::f32, memory::format_tag::ab);
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(x, w, y), engine_);
    x_ = memory(x, engine_), w_ = memory(description.weights_desc(), engine_), y_ = memory(y, engine_);
    std::fill_n(static_cast<char*>(x_.get_data_handle()), x.get_size(), 0);
    std::fill_n(static_cast<char*>(w_.get_data_handle()), w_.get_desc().get_size(), 0);
    matmul_ = dnnl::matmul(description);
  }
  void run() {
    matmul_.execute(stream_, {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, w_}, {DNNL_ARG_DST, y_}});
    stream_.wait();
  }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_;
  dnnl::memory x_, w_, y_;
  dnnl::matmul matmul_;
};

// FLOP/s of the bare library, the best of several runs.
double peak() {
  static const double measured = [] {
    BareMatmul matmul(1024, 1024);
    double best = 1e9;
    for (int i = 0; i < 30; ++i) {
      const Stopwatch watch;
      matmul.run();
      best = std::min(best, watch.ms());
    }
    return 2.0 * kRows * 1024 * 1024 / (best * 1e-3);
  }();
  return measured;
}

void report(benchmark::State& state, double flops) {
  const double all = flops * static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(all * 1e-9, benchmark::Counter::kIsRate);
  state.counters["share"] = benchmark::Counter(all / peak(), benchmark::Counter::kIsRate);
}

void bare_matmul(benchmark::State& state) {
  BareMatmul matmul(state.range(0), state.range(1));
  for (auto _ : state) matmul.run();
  report(state, 2.0 * static_cast<double>(kRows * state.range(0) * state.range(1)));
}

std::unique_ptr<PackedWeight> random_weight(Backend& device, int64_t outputs, int64_t inputs) {
  const std::vector<float> values = random_values(usize(inputs * outputs));
  return device.prepare({outputs, inputs, false, [&](int64_t first, int64_t count, float* to) {
                           std::copy_n(values.begin() + first * inputs, count * inputs, to);
                         }});
}

void linear(benchmark::State& state, Backend& device, int64_t rows) {
  const int64_t inputs = state.range(0), outputs = state.range(1);
  const auto weight = random_weight(device, outputs, inputs);
  const Array x(device, device.dtype(), 1, rows, inputs), y(device, DType::kF32, 1, rows, outputs);
  for (auto _ : state) device.linear(x.tensor, *weight, y.tensor, false);
  report(state, 2.0 * static_cast<double>(rows * inputs * outputs));
}

// Rows of random blocks. No byte has its seventh bit, so that no scale is infinite or no number.
struct RandomBlocks {
  explicit RandomBlocks(gguf::TensorType type) {
    constexpr int64_t kOutputs = 28672, kInputs = 4096;
    data.resize(usize(kOutputs * kInputs) / gguf::block_elements(type) * gguf::block_bytes(type));
    std::mt19937 random(1);
    std::generate(data.begin(), data.end(), [&] { return static_cast<std::byte>(random() & 0xbf); });
    source.outputs = kOutputs, source.inputs = kInputs;
    source.blocks.push_back({type, kOutputs, data});
    source.fill = [this, type](int64_t first, int64_t count, float* to) {
      const size_t row = data.size() / usize(source.outputs);
      gguf::dequantize(type, std::span(data).subspan(usize(first) * row, usize(count) * row),
                       {to, usize(count * source.inputs)});
    };
  }
  RandomBlocks(const RandomBlocks&) = delete;
  RandomBlocks& operator=(const RandomBlocks&) = delete;
  std::vector<std::byte> data;
  WeightSource source;
};

void decode(benchmark::State& state, gguf::TensorType type, bool resident) {
  BackendOptions options = backend_options("cpu", "bf16", 0, "");
  options.resident = resident;
  const auto device = make_backend(options);
  const RandomBlocks blocks(type);
  const auto weight = device->prepare(blocks.source);
  const Array x(*device, DType::kBF16, 1, 1, weight->inputs), y(*device, DType::kF32, 1, 1, weight->outputs);
  for (auto _ : state) device->decode([&] { device->linear(x.tensor, *weight, y.tensor, false); });
  const double values = static_cast<double>(weight->inputs * weight->outputs);
  report(state, 2 * values);
  state.counters["bits"] = 8 * static_cast<double>(weight->bytes) / values;
}

// A norm and the gates that read it, as in the feed-forward of a layer.
void norm_and_gates(benchmark::State& state, Backend& device) {
  ModelConfig config;
  config.hidden = kHidden, config.ffn = kFfn;
  config.heads = kHeads, config.kv_heads = kKvHeads, config.head_size = kHidden / kHeads;
  const Workspace work(config, device, kRows);
  const auto weight = random_weight(device, 2 * kFfn, kHidden);
  const Array x(device, DType::kF32, 1, kRows, kHidden), norm(device, DType::kF32, 1, 1, kHidden);
  for (auto _ : state) {
    device.rms_norm(x.tensor, norm.tensor, 1e-5f, work.normed);
    device.linear_gate(work.normed, *weight, Activation::kSilu, work.gate_up, work.gated);
  }
  report(state, 4.0 * static_cast<double>(kRows * kHidden * kFfn));
}

struct Context {
  Context(Backend& device, int64_t length, int64_t head_size)
      : k(device, device.dtype(), kKvHeads, length, head_size),
        v(device, device.dtype(), kKvHeads, length, head_size),
        view{k.tensor, v.tensor, length} {}
  Array k, v;
  KvView view;
};

// The last `rows` queries of a context; decoding has one row.
void attention(benchmark::State& state, Backend& device, int64_t rows) {
  const int64_t length = state.range(0), head_size = state.range(1);
  const Context context(device, length, head_size);
  const Array q(device, device.dtype(), 1, rows, kHeads * head_size);
  const Array out(device, device.dtype(), 1, rows, kHeads * head_size);
  std::vector<int32_t> visible(usize(rows));
  std::iota(visible.begin(), visible.end(), static_cast<int32_t>(length - rows + 1));
  std::unique_ptr<PackedKv> packed;
  device.pack_kv(context.view, {}, packed);
  for (auto _ : state) device.attention(q.tensor, context.view, packed.get(), visible, {}, out.tensor);
  const double pairs =
      static_cast<double>(rows) * (static_cast<double>(length) - 0.5 * static_cast<double>(rows));
  report(state, 4.0 * pairs * kHeads * static_cast<double>(head_size));
}

void pack_kv(benchmark::State& state, Backend& device) {
  const Context context(device, state.range(0), state.range(1));
  std::unique_ptr<PackedKv> packed;
  for (auto _ : state) device.pack_kv(context.view, {}, packed);
}

void window_scores(benchmark::State& state, Backend& device) {
  const Context context(device, state.range(0), state.range(1));
  ScoreSpec spec;
  const Array q(device, device.dtype(), 1, spec.window, kHeads * state.range(1));
  const Array out(device, DType::kF32, 1, kKvHeads, state.range(0) - spec.window);
  std::unique_ptr<PackedKv> packed;
  device.pack_kv(context.view, {}, packed);
  for (auto _ : state) device.window_scores(q.tensor, context.view, packed.get(), spec, {}, out.tensor);
}

void rms_norm(benchmark::State& state, Backend& device) {
  const Array x(device, DType::kF32, 1, kRows, kHidden), weight(device, DType::kF32, 1, 1, kHidden);
  const Array out(device, device.dtype(), 1, kRows, kHidden);
  for (auto _ : state) device.rms_norm(x.tensor, weight.tensor, 1e-5f, out.tensor);
}

void gate(benchmark::State& state, Backend& device) {
  const Array x(device, device.traits().wide, 1, kRows, 2 * kFfn),
      out(device, device.dtype(), 1, kRows, kFfn);
  for (auto _ : state) device.gate(x.tensor, Activation::kSilu, out.tensor);
}

void rope(benchmark::State& state, Backend& device) {
  const int64_t head_size = 64;
  const Array x(device, device.traits().wide, 1, kRows, kHidden),
      out(device, device.dtype(), 1, kRows, kHidden);
  const Array cos(device, DType::kF32, 1, kRows, head_size / 2),
      sin(device, DType::kF32, 1, kRows, head_size / 2);
  std::vector<int32_t> positions(kRows);
  std::iota(positions.begin(), positions.end(), 0);
  for (auto _ : state) {
    device.rope(x.tensor, head_size, {cos.tensor, sin.tensor, true}, positions, out.tensor);
  }
}

void register_all() {
  const auto add = [](const std::string& name, auto run) {
    return benchmark::RegisterBenchmark(name.c_str(), run)->UseRealTime();
  };
  const std::vector<std::vector<int64_t>> shapes{
      {kHidden, kHidden}, {kHidden, 384}, {kHidden, 2 * kFfn}, {kFfn, kHidden}};
  for (const auto& shape : shapes) add("bare_matmul", bare_matmul)->Args(shape);
  for (const std::string dtype : {"f32", "bf16", "int8"}) {
    const auto of = [&dtype](auto run, auto... rest) {
      return [dtype, run, rest...](benchmark::State& state) { run(state, backend(dtype), rest...); };
    };
    for (const auto& shape : shapes) add("linear/" + dtype, of(linear, kRows))->Args(shape);
    for (const auto& shape : shapes) add("linear_one_row/" + dtype, of(linear, 1))->Args(shape);
    for (const int64_t head_size : {64, 128}) {
      for (const int64_t length : {1024, 4096, 8192}) {
        add("attention/" + dtype, of(attention, kRows))->Args({length, head_size});
      }
      add("attention_one_row/" + dtype, of(attention, 1))->Args({8192, head_size});
      add("pack_kv/" + dtype, of(pack_kv))->Args({8192, head_size});
      add("window_scores/" + dtype, of(window_scores))->Args({8192, head_size});
    }
    add("norm_and_gates/" + dtype, of(norm_and_gates));
    add("rms_norm/" + dtype, of(rms_norm));
    add("gate/" + dtype, of(gate));
    add("rope/" + dtype, of(rope));
  }
  const auto decode_of = [](gguf::TensorType type, bool resident) {
    return [type, resident](benchmark::State& state) { decode(state, type, resident); };
  };
  add("decode/widened", decode_of(gguf::TensorType::kQ8_0, false));
  for (const gguf::TensorType type : gguf::all_types()) {
    if (type != gguf::TensorType::kF32)
      add(fmt::format("decode/{}", gguf::type_name(type)), decode_of(type, true));
  }
}

}  // namespace
}  // namespace claa

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  claa::register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
