#include "backend/cpu/weight.h"

#include <algorithm>

#include "backend/cpu/panels.h"

namespace claa::cpu {
namespace {

using dnnl::memory;

constexpr int64_t kFewRows = 4;          // up to here a matrix-vector product beats the matrix kernel
constexpr int64_t kTypicalRows = 512;    // the row count that the packed layout is chosen for
constexpr size_t kMaxPrimitives = 1024;  // bounds the cache when a server sees many prompt lengths

memory::data_type dnnl_type(DType dtype) {
  return dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// The API of oneDNN 2 and 3 differs in how a primitive is described.
dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, int64_t rows, int64_t inputs,
                                      int64_t outputs, DType dtype, const memory::desc& weights,
                                      bool accumulate) {
  const memory::desc x({rows, inputs}, dnnl_type(dtype), memory::format_tag::ab);
  const memory::desc y({rows, outputs}, memory::data_type::f32, memory::format_tag::ab);
  dnnl::primitive_attr attributes;
  if (accumulate) {
    dnnl::post_ops operations;
    operations.append_sum(1.0f);
    attributes.set_post_ops(operations);
  }
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::matmul::primitive_desc(engine, x, weights, y, attributes);
#else
  return dnnl::matmul::primitive_desc(dnnl::matmul::desc(x, weights, y), attributes, engine);
#endif
}

void cap_isa(const std::string& cap) {
  // Fails harmlessly when oneDNN has already compiled a kernel; our own cap still holds.
  if (cap == "avx2") dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
  if (cap == "avx512") dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core);
}

}  // namespace

Linear::Linear(const Kernels& kernels, DType activation, int threads, const std::string& isa_cap)
    : kernels_(kernels), activation_(activation), threads_(threads) {
  cap_isa(isa_cap);
  engine_ = dnnl::engine(dnnl::engine::kind::cpu, 0);
  stream_ = dnnl::stream(engine_);
  // oneDNN's own cap is process-wide: another backend may have set it before.
  constexpr auto kBf16 = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  const auto effective = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  native_bf16_ = activation == DType::kBF16 && kernels.bf16_dot && (effective & kBf16) == kBf16;
  plain_layout_ = kernels.panel == 16;  // AVX2: oneDNN packs inside each call
}

std::unique_ptr<CpuWeight> Linear::prepare(const WeightSource& source) {
  auto weight = std::make_unique<CpuWeight>();
  weight->outputs = source.outputs;
  weight->inputs = source.inputs;
  weight->dtype = native_bf16_ ? DType::kBF16 : DType::kF32;
  weight->row_major = true;
  const memory::dims dims{source.inputs, source.outputs};
  const memory::desc plain(dims, dnnl_type(weight->dtype), memory::format_tag::ba);
  weight->memory = memory(plain, engine_);
  constexpr int64_t kRowsAtOnce = 32;
  char* memory_rows = static_cast<char*>(weight->memory.get_data_handle());
  pack_panels(source, kRowsAtOnce, threads_, [&](const float* rows, int64_t panel, int64_t count) {
    const int64_t first = panel * kRowsAtOnce * source.inputs, values = count * source.inputs;
    if (native_bf16_) {
      kernels_.to_bf16(rows, values, reinterpret_cast<uint16_t*>(memory_rows) + first);
      return;
    }
    float* target = reinterpret_cast<float*>(memory_rows) + first;
    for (int64_t i = 0; i < values; ++i) {
      target[i] = activation_ == DType::kBF16 ? to_float(to_bf16(rows[i])) : rows[i];
    }
  });
  if (!plain_layout_ && !source.table) {
    const memory::desc any(dims, dnnl_type(weight->dtype), memory::format_tag::any);
    const auto description =
        describe(engine_, kTypicalRows, source.inputs, source.outputs, weight->dtype, any, false);
    if (description.weights_desc() != plain) {
      memory packed(description.weights_desc(), engine_);
      dnnl::reorder(weight->memory, packed).execute(stream_, weight->memory, packed);
      stream_.wait();
      weight->memory = packed;
      weight->row_major = false;
    }
  }
  weight->bytes = weight->memory.get_desc().get_size();
  return weight;
}

const dnnl::matmul& Linear::primitive(int64_t rows, const CpuWeight& weight, bool accumulate) {
  const Key key{rows, weight.inputs, weight.outputs, accumulate, weight.row_major};
  const auto found = primitives_.find(key);
  if (found != primitives_.end()) return found->second;
  if (primitives_.size() >= kMaxPrimitives) primitives_.clear();
  const auto description = describe(engine_, rows, weight.inputs, weight.outputs, weight.dtype,
                                    weight.memory.get_desc(), accumulate);
  return primitives_.emplace(key, dnnl::matmul(description)).first->second;
}

void Linear::run_few_rows(const Tensor& x, const CpuWeight& weight, const Tensor& out,
                          bool accumulate) const {
  const int64_t n = weight.inputs;
  for (int64_t r = 0; r < x.rows(); ++r) {
    float* y = out.ptr<float>(0, r);
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (int64_t o = 0; o < weight.outputs; ++o) {
      const float dot =
          weight.dtype == DType::kBF16
              ? kernels_.dot_bf16(x.ptr<uint16_t>(0, r), static_cast<const uint16_t*>(weight.rows()) + o * n,
                                  n)
              : kernels_.dot_f32(x.ptr<float>(0, r), static_cast<const float*>(weight.rows()) + o * n, n);
      y[o] = accumulate ? y[o] + dot : dot;
    }
  }
}

void Linear::run(const Tensor& x, const CpuWeight& weight, const Tensor& out, bool accumulate) {
  Tensor input = x;
  if (x.dtype == DType::kBF16 && weight.dtype == DType::kF32) {
    widened_.resize(static_cast<size_t>(x.rows() * x.columns()));
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (int64_t r = 0; r < x.rows(); ++r) {
      kernels_.to_f32(x.ptr<uint16_t>(0, r), x.columns(), widened_.data() + r * x.columns());
    }
    input = Tensor::matrix(widened_.data(), DType::kF32, x.rows(), x.columns());
  }
  if (weight.row_major && x.rows() <= kFewRows) {
    run_few_rows(input, weight, out, accumulate);
    return;
  }
  const memory source({{x.rows(), x.columns()}, dnnl_type(input.dtype), memory::format_tag::ab}, engine_,
                      input.data);
  const memory target({{x.rows(), weight.outputs}, memory::data_type::f32, memory::format_tag::ab}, engine_,
                      out.data);
  primitive(x.rows(), weight, accumulate)
      .execute(stream_, {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, weight.memory}, {DNNL_ARG_DST, target}});
  stream_.wait();
}

}  // namespace claa::cpu
