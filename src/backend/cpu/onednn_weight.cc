#include "backend/cpu/onednn_weight.h"

#include <cstring>

#include "backend/cpu/omp_threads.h"
#include "backend/cpu/panels.h"
#include "core/usize.h"

namespace claa::cpu {
namespace {

using dnnl::memory;

constexpr int64_t kTypicalRows = 512;    // the row count that the packed layout is chosen for
constexpr size_t kMaxPrimitives = 1024;  // bounds the cache when a server sees many prompt lengths

// Does `work` with the backend's number of threads; oneDNN's errors become ours.
template <class Work>
void with_onednn(const Threads& threads, const Work& work) {
  const OmpThreadCount count(threads.count());
  try {
    work();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
    fail(ErrorCode::kInternal, "oneDNN: {}", error.what());
  }
}

memory::data_type type_of(DType dtype) {
  return dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// The API of oneDNN 2 and 3 differs in how a primitive is described.
dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, DType dtype, int64_t rows, int64_t inputs,
                                      int64_t outputs, const memory::desc& weights, bool accumulate) {
  const memory::desc x({rows, inputs}, type_of(dtype), memory::format_tag::ab);
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

// The layout that oneDNN asks for.
memory::desc best_layout(const dnnl::engine& engine, DType dtype, int64_t inputs, int64_t outputs) {
  const memory::desc any({inputs, outputs}, type_of(dtype), memory::format_tag::any);
  return describe(engine, dtype, kTypicalRows, inputs, outputs, any, false).weights_desc();
}

}  // namespace

bool onednn_has_amx() {
  constexpr auto kAmx = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_amx);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kAmx) == kAmx;
}

OneDnn::OneDnn(CpuProducts& shared, DType type)
    : products(shared), dtype(type), engine(dnnl::engine::kind::cpu, 0), stream(engine) {}

const dnnl::matmul& OneDnn::primitive(int64_t rows, int64_t inputs, int64_t outputs,
                                      const memory::desc& weights, bool accumulate) {
  const Key key{rows, inputs, outputs, accumulate};
  const auto found = primitives_.find(key);
  if (found != primitives_.end()) return found->second;
  if (primitives_.size() >= kMaxPrimitives) primitives_.clear();
  return primitives_
      .emplace(key, dnnl::matmul(describe(engine, dtype, rows, inputs, outputs, weights, accumulate)))
      .first->second;
}

OneDnnWeight::OneDnnWeight(OneDnn& onednn, const WeightSource& source) : onednn_(onednn) {
  constexpr int64_t kRowsAtOnce = 32;
  outputs = source.outputs;
  inputs = source.inputs;
  const memory::dims dims{inputs, outputs};
  const memory::desc plain(dims, type_of(onednn_.dtype), memory::format_tag::ba);
  CpuProducts& products = onednn_.products;
  with_onednn(products.threads, [&] {
    memory_ = memory(plain, onednn_.engine);
    char* target = static_cast<char*>(memory_.get_data_handle());
    pack_panels(source, kRowsAtOnce, products.threads,
                [&](const float* rows, int64_t block, int64_t count, int) {
                  const int64_t values = count * inputs;
                  char* to = target + usize(block * kRowsAtOnce * inputs) * dtype_bytes(onednn_.dtype);
                  if (onednn_.dtype == DType::kBF16) {
                    products.kernels.to_bf16(rows, values, reinterpret_cast<uint16_t*>(to));
                  } else {
                    std::memcpy(to, rows, usize(values) * sizeof(float));
                  }
                });
    const memory::desc best = best_layout(onednn_.engine, onednn_.dtype, inputs, outputs);
    if (best != plain) {
      memory packed(best, onednn_.engine);
      dnnl::reorder(memory_, packed).execute(onednn_.stream, memory_, packed);
      onednn_.stream.wait();
      memory_ = packed;
    }
  });
  bytes = memory_.get_desc().get_size();
}

size_t OneDnnWeight::bytes_for(DType dtype, int64_t outputs, int64_t inputs, int threads) {
  const OmpThreadCount count(threads);  // which decides on the layout
  return best_layout(dnnl::engine(dnnl::engine::kind::cpu, 0), dtype, inputs, outputs).get_size();
}

void OneDnnWeight::multiply(const Tensor& x, const Tensor& out, bool accumulate) const {
  require(x.dtype == onednn_.dtype, "linear: inputs of another type than the weight's");
  with_onednn(onednn_.products.threads, [&] {
    const memory source({{x.rows(), inputs}, type_of(onednn_.dtype), memory::format_tag::ab}, onednn_.engine,
                        x.data);
    const memory target({{x.rows(), outputs}, memory::data_type::f32, memory::format_tag::ab}, onednn_.engine,
                        out.data);
    onednn_.primitive(x.rows(), inputs, outputs, memory_.get_desc(), accumulate)
        .execute(onednn_.stream,
                 {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, memory_}, {DNNL_ARG_DST, target}});
    onednn_.stream.wait();
  });
}

}  // namespace claa::cpu
