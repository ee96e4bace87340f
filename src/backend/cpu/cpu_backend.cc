#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "backend/activation.h"
#include "backend/cpu/omp_threads.h"
#include "backend/cpu/panel_weight.h"
#include "backend/cpu/table_weight.h"
#include "core/cpu_count.h"
#include "core/thread_pool.h"
#include "core/usize.h"

namespace claa::cpu {

namespace {

// True if the weight stays blocks; only in f32 no rows are rounded.
bool stays_resident(DType dtype, const WeightSource& source) {
  return BlockRows::have_kernels(source, dtype != DType::kF32);
}

// True if oneDNN multiplies the weights: with AMX, for which there are no kernels here, unless weights stay
// blocks, which it does not take.
bool uses_onednn(const BackendOptions& options) {
  return !options.int8 && !options.resident && options.isa.empty() &&
         select_kernels("", options.dtype).bf16_dot && onednn_has_amx();
}

int thread_count(const BackendOptions& options) {
  return options.threads > 0 ? options.threads : physical_cores();
}

std::unique_ptr<Threads> make_threads(const BackendOptions& options) {
  const int count = thread_count(options);
  if (uses_onednn(options)) return std::make_unique<OmpThreads>(count);
  return std::make_unique<ThreadPool>(count);
}

CpuProducts make_products(const Kernels& kernels, Threads& threads, const std::string& cap) {
  return {kernels, threads, select_block_kernels(cap)};
}

}  // namespace

CpuBackend::CpuBackend(const BackendOptions& options)
    : traits_(cpu::device_traits(options)),
      kernels_(select_kernels(options.isa, options.dtype)),
      f32_kernels_(select_kernels(options.isa, DType::kF32)),
      native_bf16_(kernels_.bf16_dot && options.isa.empty()),
      threads_(make_threads(options)),
      resident_(options.resident),
      products_(make_products(kernels_, *threads_, options.isa)) {
  if (uses_onednn(options)) onednn_ = std::make_unique<OneDnn>(products_, traits_.dtype);
  if (options.int8) {
    int_kernels_ = &select_int_kernels(options.isa);
    integers_.reset(new IntProducts{*int_kernels_, products_});
  }
}

std::string CpuBackend::description() const {
  const int count = threads_->count();
  const std::string threads =
      fmt::format("{} thread{}{}", count, count == 1 ? "" : "s", resident_ ? ", resident weights" : "");
  if (int_kernels_ != nullptr) return fmt::format("cpu, {}, int8, {}", int_kernels_->name, threads);
  const char* how = traits_.dtype == DType::kF32 || native_bf16_ ? "native"
                    : kernels_.bf16_dot                          ? "emulated"
                                                                 : "multiplied as f32";
  return fmt::format("cpu, {}, {} ({}), {}", kernels_.name, dtype_name(traits_.dtype), how, threads);
}

void CpuBackend::decode(const std::function<void()>& work) {
  struct Step {  // also where `work` throws
    explicit Step(bool& decoding) : now(decoding) { now = true; }
    ~Step() { now = false; }
    bool& now;
  };
  const Step step(products_.decoding);
  work();
}

std::unique_ptr<CpuWeight> CpuBackend::prepare_resident(const WeightSource& source) {
  const auto blocks = std::make_shared<const BlockRows>(products_.blocks, source);
  std::unique_ptr<CpuWeight> many;
  if (source.table) {
    many = std::make_unique<BlockTable>(products_, source, traits_.dtype, blocks);
  } else if (integers_ != nullptr) {
    many = std::make_unique<IntWeight>(*integers_, source, blocks);
  } else {
    many = std::make_unique<PanelWeight>(products_, source, traits_.dtype == DType::kBF16, blocks);
  }
  return std::make_unique<BlockWeight>(products_, rounder_, source, blocks, std::move(many));
}

std::unique_ptr<PackedWeight> CpuBackend::prepare(const WeightSource& source) {
  if (resident_ && stays_resident(traits_.dtype, source)) return prepare_resident(source);
  if (source.table) return std::make_unique<TableWeight>(products_, source, traits_.dtype);
  if (integers_ != nullptr) return std::make_unique<IntWeight>(*integers_, source);
  if (onednn_ != nullptr) return std::make_unique<OneDnnWeight>(*onednn_, source);
  return std::make_unique<PanelWeight>(products_, source, traits_.dtype == DType::kBF16);
}

DeviceTraits device_traits(const BackendOptions& options) {
  constexpr int64_t kChunkRows = 512;
  constexpr size_t kProgramBytes = size_t{10} << 20;  // measured
  DeviceTraits traits;
  traits.dtype = options.dtype;
  traits.linear = options.int8 ? DType::kI8 : options.dtype;
  traits.chunk_rows = kChunkRows;
  traits.even_channels = options.int8;
  traits.fused_products = true;
  traits.program_bytes = kProgramBytes;
  return traits;
}

size_t weight_bytes(const BackendOptions& options, const WeightSource& shape) {
  if (options.resident && stays_resident(options.dtype, shape)) {
    return std::accumulate(shape.blocks.begin(), shape.blocks.end(), size_t{0},
                           [](size_t sum, const TypedBlocks& blocks) { return sum + blocks.data.size(); });
  }
  if (shape.table) return usize(shape.outputs * shape.inputs) * dtype_bytes(options.dtype);
  if (options.int8) {
    return IntWeight::bytes_for(select_int_kernels(options.isa), shape.outputs, shape.inputs, shape.gated);
  }
  if (uses_onednn(options))
    return OneDnnWeight::bytes_for(options.dtype, shape.outputs, shape.inputs, thread_count(options));
  return PanelWeight::bytes_for(select_kernels(options.isa, options.dtype), shape.outputs, shape.inputs);
}

void CpuBackend::embed(const PackedWeight& table, std::span<const int32_t> ids, float scale,
                       const Tensor& out, int64_t first) {
  const auto& weight = static_cast<const CpuWeight&>(table);
  for (size_t r = 0; r < ids.size(); ++r) {
    float* to = out.ptr<float>(0, static_cast<int64_t>(r));
    weight.row(ids[r], first, out.columns(), to);
    if (scale != 1)
      std::transform(to, to + out.columns(), to, [scale](float value) { return scale * value; });
  }
}

void CpuBackend::linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) {
  static_cast<const CpuWeight&>(weight).multiply(x, out, accumulate);
}

template <class Write>
void CpuBackend::write_rows(const Tensor& out, int64_t group, const Write& write) {
  const bool rounded = out.dtype == DType::kI8;
  const int64_t n = out.columns();
  require(!rounded || (int_kernels_ != nullptr && out.row_scales == (n + group - 1) / group),
          "rows of 8 bits with room for other scales");
  std::vector<uint16_t> scratch(rounded ? usize(threads_->count() * n) : 0);  // bf16
  threads_->split(out.rows(), [&](int64_t first, int64_t end, int thread) {
    uint16_t* row = scratch.data() + (rounded ? thread * n : 0);
    for (int64_t r = first; r < end; ++r) {
      if (rounded) {
        write(r, row, true);
        int_kernels_->quantize(row, true, n, group, out.ptr<uint8_t>(0, r), out.scales + r * out.row_scales);
      } else {
        write(r, out.address(0, r), out.dtype == DType::kBF16);
      }
    }
  });
}

void CpuBackend::rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  write_rows(out, kI8Group, [&](int64_t r, void* to, bool bf16) {
    kernels_.rms_norm(x.ptr<float>(0, r), weight.ptr<float>(), x.columns(), eps, to, bf16);
  });
}

void CpuBackend::add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  const int64_t n = x.columns();
  std::vector<float> scratch(usize(threads_->count() * n));
  threads_->split(x.rows(), [&](int64_t first, int64_t end, int thread) {
    float* normed = scratch.data() + thread * n;
    for (int64_t r = first; r < end; ++r) {
      kernels_.rms_norm(x.ptr<float>(0, r), weight.ptr<float>(), n, eps, normed, false);
      kernels_.add_scaled(normed, n, 1, out.ptr<float>(0, r));
    }
  });
}

void CpuBackend::convert(const Tensor& x, const Tensor& out) {
  write_rows(out, kI8Group, [&](int64_t r, void* to, bool bf16) {
    kernels_.scaled(x.ptr<float>(0, r), x.columns(), 1, to, bf16);
  });
}

void CpuBackend::soft_cap(const Tensor& x, float cap) {
  constexpr int64_t kBlock = 4096;  // values of one piece of work
  const int64_t blocks = (x.columns() + kBlock - 1) / kBlock;
  threads_->split(x.rows() * blocks, [&](int64_t first, int64_t end, int) {
    for (int64_t item = first; item < end; ++item) {
      const int64_t column = item % blocks * kBlock;
      kernels_.soft_cap(x.ptr<float>(0, item / blocks) + column, std::min(kBlock, x.columns() - column), 1,
                        cap);
    }
  });
}

void CpuBackend::norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) {
  const int64_t n = weight.columns();
  threads_->split(x.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        float* head = x.ptr<float>(0, r) + h * n;
        kernels_.rms_norm(head, weight.ptr<float>(), n, eps, head, false);
      }
    }
  });
}

void CpuBackend::rope_one(const float* x, int64_t head_size, const RopeTable& table, int64_t position,
                          void* out) const {
  const int64_t half = table.cos.columns();
  const bool bf16 = traits_.dtype == DType::kBF16;
  kernels_.rope_head(x, table.cos.ptr<float>(0, position), table.sin.ptr<float>(0, position), half,
                     table.interleaved, out, bf16);
  const int64_t rest = head_size - 2 * half;
  if (rest == 0) return;
  if (bf16) {
    kernels_.to_bf16(x + 2 * half, rest, static_cast<uint16_t*>(out) + 2 * half);
  } else {
    std::memcpy(static_cast<float*>(out) + 2 * half, x + 2 * half, usize(rest) * sizeof(float));
  }
}

void CpuBackend::store_value(const float* value, const KvView& cache, int64_t head, int64_t slot) const {
  const int64_t head_size = cache.v.columns();
  if (cache.v.dtype == DType::kBF16) {
    kernels_.to_bf16(value, head_size, cache.v.ptr<uint16_t>(head, slot));
  } else {
    std::memcpy(cache.v.ptr<float>(head, slot), value, usize(head_size) * sizeof(float));
  }
}

void CpuBackend::rope(const Tensor& q, int64_t head_size, const RopeTable& table,
                      std::span<const int32_t> positions, const Tensor& out) {
  const int64_t heads = q.columns() / head_size;
  threads_->split(q.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        rope_one(q.ptr<float>(0, r) + h * head_size, head_size, table, positions[usize(r)],
                 out.address(0, r, h * head_size));
      }
    }
  });
}

void CpuBackend::rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                            const KvView& cache, int64_t slot) {
  const int64_t head_size = cache.k.columns();
  const int64_t heads = cache.k.planes();
  threads_->split(kv.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      const float* row = kv.ptr<float>(0, r);
      for (int64_t h = 0; h < heads; ++h) {
        rope_one(row + h * head_size, head_size, table, positions[usize(r)], cache.k.address(h, slot + r));
        store_value(row + (heads + h) * head_size, cache, h, slot + r);
      }
    }
  });
}

void CpuBackend::linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                             int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
                             const Tensor& out) {
  const auto write = [&](int64_t head, int64_t first, int64_t rows, const float* sums) {
    for (int64_t r = first; r < first + rows; ++r, sums += head_size) {
      rope_one(sums, head_size, table, positions[usize(r)], out.address(0, r, head * head_size));
    }
  };
  if (!static_cast<const CpuWeight&>(weight).multiply_heads(x, head_size, write))
    Backend::linear_rope(x, weight, wide, head_size, table, positions, out);
}

void CpuBackend::linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                                   const RopeTable& table, std::span<const int32_t> positions,
                                   const KvView& cache, int64_t slot) {
  const int64_t head_size = cache.k.columns(), heads = cache.k.planes();
  const auto write = [&](int64_t head, int64_t first, int64_t rows, const float* sums) {
    for (int64_t r = first; r < first + rows; ++r, sums += head_size) {
      if (head < heads) {
        rope_one(sums, head_size, table, positions[usize(r)], cache.k.address(head, slot + r));
      } else {
        store_value(sums, cache, head - heads, slot + r);
      }
    }
  };
  if (!static_cast<const CpuWeight&>(weight).multiply_heads(x, head_size, write))
    Backend::linear_rope_store(x, weight, wide, table, positions, cache, slot);
}

void CpuBackend::gate(const Tensor& gate_up, Activation activation, const Tensor& out) {
  const int64_t n = out.columns();
  write_rows(out, kI8GatedGroup, [&](int64_t r, void* to, bool bf16) {
    const float* gate = gate_up.ptr<float>(0, r);
    kernels_.gate(activation, 1, gate, gate + n, 2 * n, n, to, n, bf16);
  });
}

void CpuBackend::linear_gate(const Tensor& x, const PackedWeight& weight, Activation activation,
                             const Tensor& gate_up, const Tensor& out) {
  if (!static_cast<const CpuWeight&>(weight).multiply_gated(x, activation, out)) {
    Backend::linear_gate(x, weight, activation, gate_up, out);
  }
}

void CpuBackend::add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                          const Tensor& out) {
  threads_->split(std::ssize(rows), [&](int64_t first, int64_t end, int) {
    for (int64_t i = first; i < end; ++i) {
      kernels_.add_scaled(x.ptr<float>(0, i), x.columns(), weights[usize(i)],
                          out.ptr<float>(0, rows[usize(i)]));
    }
  });
}

// A larger head would need more than one scale, and a soft cap stands between the products.
bool CpuBackend::packs_integers(const KvView& kv, const SoftmaxRule& rule) const {
  return int_kernels_ != nullptr && kv.k.columns() <= kIntMaxHead && rule.soft_cap == 0;
}

namespace {

// The memory of an earlier layer, if that layer packed in the same way.
template <class Packed>
Packed& reused(std::unique_ptr<PackedKv>& reuse) {
  if (dynamic_cast<Packed*>(reuse.get()) == nullptr) reuse = std::make_unique<Packed>();
  return static_cast<Packed&>(*reuse);
}

}  // namespace

void CpuBackend::pack_kv(const KvView& kv, const SoftmaxRule& rule, std::unique_ptr<PackedKv>& reuse) {
  if (packs_integers(kv, rule)) {
    reused<IntPackedKv>(reuse).pack(*int_kernels_, kv, *threads_);
  } else {
    reused<CpuPackedKv>(reuse).pack(kernels_, kv, *threads_);
  }
}

void CpuBackend::attention(const Tensor& q, const KvView& kv, const PackedKv* packed,
                           const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out) {
  constexpr int64_t kFewRows = 4;
  if (packed == nullptr || q.rows() <= kFewRows) {
    attention_few_rows(kernels_, q, kv, visible, rule, out, *threads_);
  } else if (packs_integers(kv, rule)) {
    int_attention(*int_kernels_, kernels_, q, kv, static_cast<const IntPackedKv&>(*packed), visible, rule,
                  out, *threads_);
  } else {
    cpu::attention(kernels_, q, kv, static_cast<const CpuPackedKv&>(*packed), visible, rule, out, *threads_);
  }
}

void CpuBackend::window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed,
                               const ScoreSpec& spec, const SoftmaxRule& rule, const Tensor& out) {
  check_score_spec(spec, q.columns() / kv.k.columns(), kv.k.planes(), kv.length);
  const CpuPackedKv* keys = nullptr;
  if (packed != nullptr && packs_integers(kv, rule)) {
    score_keys_.pack(kernels_, kv, *threads_, false);
    keys = &score_keys_;
  } else {
    keys = static_cast<const CpuPackedKv*>(packed);
  }
  cpu::window_scores(kernels_, q, kv, keys, spec, rule, out, *threads_);
}

void CpuBackend::gather_kv(const KvView& from, const Tensor& indices, const KvView& to) {
  constexpr int64_t kBlock = 256;  // slots of one piece of work
  const size_t row_bytes = usize(from.k.columns()) * dtype_bytes(from.k.dtype);
  const int64_t blocks = (to.length + kBlock - 1) / kBlock;
  threads_->run(from.k.planes() * blocks, [&](int64_t item, int) {
    const int64_t head = item / blocks, block = item % blocks;
    const int32_t* index =
        indices.data == nullptr ? nullptr : indices.ptr<int32_t>(0, indices.rows() == 1 ? 0 : head);
    for (int64_t slot = block * kBlock; slot < std::min(to.length, (block + 1) * kBlock); ++slot) {
      const int64_t source = index == nullptr ? slot : index[slot];
      std::memcpy(to.k.address(head, slot), from.k.address(head, source), row_bytes);
      std::memcpy(to.v.address(head, slot), from.v.address(head, source), row_bytes);
    }
  });
}

}  // namespace claa::cpu
