#include "backend/cpu/cpu_backend.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/cpu_count.h"

namespace claa::cpu {

const Kernels& select_kernels(const std::string& cap, DType dtype) {
  if (!cap.empty() && cap != "avx2" && cap != "avx512") {
    fail(ErrorCode::kInvalidArgument, "unknown instruction set cap '{}'; choose avx2 or avx512", cap);
  }
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    fail(ErrorCode::kUnsupported,
         "this CPU has no AVX2 and FMA; the cpu backend needs both (try --device reference)");
  }
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (cap == "avx2" || !avx512) return kKernelsAvx2;
  // The bf16 kernels take every unit for a pair of bf16 values: f32 has kernels of its own.
  const bool bf16 = dtype == DType::kBF16 && cap.empty() && __builtin_cpu_supports("avx512bf16");
  return bf16 ? kKernelsAvx512Bf16 : kKernelsAvx512;
}

namespace {

bool has_amx() {
  constexpr auto kAmx = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_amx);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kAmx) == kAmx;
}

}  // namespace

bool bf16_pays(const std::string& cap) {
  if (!select_kernels(cap, DType::kBF16).bf16_dot) return false;
  return has_amx() || __builtin_cpu_is("amd");
}

const IntKernels& select_int_kernels(const std::string& cap) {
  return cap.empty() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")
             ? kIntKernelsAvx512Vnni
             : kIntKernelsAvx2;
}

CpuBackend::CpuBackend(const BackendOptions& options)
    : dtype_(options.dtype),
      threads_(options.threads > 0 ? options.threads : physical_cores()),
      kernels_(select_kernels(options.isa, options.dtype)),
      linear_(kernels_, options.dtype, threads_, options.isa) {
  omp_set_num_threads(threads_);  // oneDNN takes its thread count from here
  if (linear_.native_bf16() && !has_amx()) bf16_linear_ = std::make_unique<Bf16Linear>(kernels_, threads_);
  if (options.int8) {
    int_kernels_ = &select_int_kernels(options.isa);
    int_linear_ = std::make_unique<IntLinear>(*int_kernels_, threads_);
  }
}

std::string CpuBackend::description() const {
  if (int_kernels_ != nullptr) {
    return fmt::format("cpu, {}, int8, {} thread{}", int_kernels_->name, threads_, threads_ == 1 ? "" : "s");
  }
  return fmt::format("cpu, {}, {} ({}), {} thread{}", kernels_.name, dtype_name(dtype_),
                     dtype_ == DType::kF32 || linear_.native_bf16() ? "native" : "multiplied as f32",
                     threads_, threads_ == 1 ? "" : "s");
}

std::unique_ptr<PackedWeight> CpuBackend::prepare(const WeightSource& source) {
  if (int_linear_ != nullptr && !source.table) return int_linear_->prepare(source);
  if (bf16_linear_ != nullptr && Bf16Linear::takes(source)) return bf16_linear_->prepare(source);
  return linear_.prepare(source);
}

void CpuBackend::embed(const PackedWeight& table, std::span<const int32_t> ids, const Tensor& out) {
  const StageClock::Scope scope(clock_, StageClock::kRest);
  const auto& weight = static_cast<const CpuWeight&>(table);
  require(weight.row_major, "embed: the table was not prepared as one");
  const int64_t n = weight.inputs;
  for (size_t r = 0; r < ids.size(); ++r) {
    float* to = out.ptr<float>(0, static_cast<int64_t>(r));
    if (weight.dtype == DType::kBF16) {
      kernels_.to_f32(static_cast<const uint16_t*>(weight.rows()) + ids[r] * n, n, to);
    } else {
      std::memcpy(to, static_cast<const float*>(weight.rows()) + ids[r] * n,
                  static_cast<size_t>(n) * sizeof(float));
    }
  }
}

void CpuBackend::linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) {
  const StageClock::Scope scope(clock_, StageClock::kLinear,
                                2.0 * static_cast<double>(x.rows() * weight.inputs * weight.outputs));
  if (const auto* integers = dynamic_cast<const IntWeight*>(&weight)) {
    int_linear_->run(x, *integers, out, accumulate);
  } else if (const auto* panels = dynamic_cast<const Bf16Weight*>(&weight)) {
    bf16_linear_->run(x, *panels, out, accumulate);
  } else {
    linear_.run(x, static_cast<const CpuWeight&>(weight), out, accumulate);
  }
}

template <class Write>
void CpuBackend::write_rows(const Tensor& out, int64_t group, const Write& write) const {
  const bool rounded = out.dtype == DType::kI8;
  const int64_t n = out.columns();
  require(!rounded || (int_kernels_ != nullptr && out.row_scales == (n + group - 1) / group),
          "rows of 8 bits with room for other scales");
#pragma omp parallel num_threads(threads_)
  {
    std::vector<uint16_t> row(rounded ? static_cast<size_t>(n) : 0);  // bf16
#pragma omp for schedule(static)
    for (int64_t r = 0; r < out.rows(); ++r) {
      if (rounded) {
        write(r, row.data(), true);
        int_kernels_->quantize(row.data(), true, n, group, out.ptr<uint8_t>(0, r),
                               out.scales + r * out.row_scales);
      } else {
        write(r, out.address(0, r), out.dtype == DType::kBF16);
      }
    }
  }
}

void CpuBackend::rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  const StageClock::Scope scope(clock_, StageClock::kRest);
  write_rows(out, kI8Group, [&](int64_t r, void* to, bool bf16) {
    kernels_.rms_norm(x.ptr<float>(0, r), weight.ptr<float>(), x.columns(), eps, to, bf16);
  });
}

void CpuBackend::rope_one(const float* x, int64_t head_size, const RopeTable& table, int64_t position,
                          void* out) const {
  const int64_t half = table.cos.columns();
  const bool bf16 = dtype_ == DType::kBF16;
  kernels_.rope_head(x, table.cos.ptr<float>(0, position), table.sin.ptr<float>(0, position), half,
                     table.interleaved, out, bf16);
  const int64_t rest = head_size - 2 * half;
  if (rest == 0) return;
  if (bf16) {
    kernels_.to_bf16(x + 2 * half, rest, static_cast<uint16_t*>(out) + 2 * half);
  } else {
    std::memcpy(static_cast<float*>(out) + 2 * half, x + 2 * half, static_cast<size_t>(rest) * sizeof(float));
  }
}

void CpuBackend::store_value(const float* value, const KvView& cache, int64_t head, int64_t slot) const {
  const int64_t head_size = cache.v.columns();
  if (cache.v.dtype == DType::kBF16) {
    kernels_.to_bf16(value, head_size, cache.v.ptr<uint16_t>(head, slot));
  } else {
    std::memcpy(cache.v.ptr<float>(head, slot), value, static_cast<size_t>(head_size) * sizeof(float));
  }
}

void CpuBackend::rope(const Tensor& q, int64_t head_size, const RopeTable& table,
                      std::span<const int32_t> positions, const Tensor& out) {
  const StageClock::Scope scope(clock_, StageClock::kRest);
  const int64_t heads = q.columns() / head_size;
#pragma omp parallel for schedule(static) num_threads(threads_)
  for (int64_t r = 0; r < q.rows(); ++r) {
    for (int64_t h = 0; h < heads; ++h) {
      rope_one(q.ptr<float>(0, r) + h * head_size, head_size, table, positions[static_cast<size_t>(r)],
               out.address(0, r, h * head_size));
    }
  }
}

void CpuBackend::rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                            const KvView& cache, int64_t slot) {
  const StageClock::Scope scope(clock_, StageClock::kRest);
  const int64_t head_size = cache.k.columns();
  const int64_t heads = cache.k.planes();
#pragma omp parallel for schedule(static) num_threads(threads_)
  for (int64_t r = 0; r < kv.rows(); ++r) {
    const float* row = kv.ptr<float>(0, r);
    for (int64_t h = 0; h < heads; ++h) {
      rope_one(row + h * head_size, head_size, table, positions[static_cast<size_t>(r)],
               cache.k.address(h, slot + r));
      store_value(row + (heads + h) * head_size, cache, h, slot + r);
    }
  }
}

bool CpuBackend::run_heads(const Tensor& x, const PackedWeight& weight, int64_t head_size,
                           const WriteHead& write) {
  const auto* panels = dynamic_cast<const Bf16Weight*>(&weight);
  const auto* integers = dynamic_cast<const IntWeight*>(&weight);
  const bool splits = (panels != nullptr && bf16_linear_->splits(head_size)) ||
                      (integers != nullptr && int_linear_->splits(head_size));
  if (!splits) return false;
  const StageClock::Scope scope(clock_, StageClock::kLinear,
                                2.0 * static_cast<double>(x.rows() * weight.inputs * weight.outputs));
  if (panels != nullptr) {
    bf16_linear_->run_heads(x, *panels, head_size, write);
  } else {
    int_linear_->run_heads(x, *integers, head_size, write);
  }
  return true;
}

void CpuBackend::linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                             int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
                             const Tensor& out) {
  const auto write = [&](int64_t head, int64_t first, int64_t rows, const float* sums) {
    for (int64_t r = first; r < first + rows; ++r, sums += head_size) {
      rope_one(sums, head_size, table, positions[static_cast<size_t>(r)],
               out.address(0, r, head * head_size));
    }
  };
  if (!run_heads(x, weight, head_size, write))
    Backend::linear_rope(x, weight, wide, head_size, table, positions, out);
}

void CpuBackend::linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                                   const RopeTable& table, std::span<const int32_t> positions,
                                   const KvView& cache, int64_t slot) {
  const int64_t head_size = cache.k.columns(), heads = cache.k.planes();
  const auto write = [&](int64_t head, int64_t first, int64_t rows, const float* sums) {
    for (int64_t r = first; r < first + rows; ++r, sums += head_size) {
      if (head < heads) {
        rope_one(sums, head_size, table, positions[static_cast<size_t>(r)], cache.k.address(head, slot + r));
      } else {
        store_value(sums, cache, head - heads, slot + r);
      }
    }
  };
  if (!run_heads(x, weight, head_size, write))
    Backend::linear_rope_store(x, weight, wide, table, positions, cache, slot);
}

void CpuBackend::swiglu(const Tensor& gate_up, const Tensor& out) {
  const StageClock::Scope scope(clock_, StageClock::kRest);
  const int64_t n = out.columns();
  write_rows(out, kI8GatedGroup, [&](int64_t r, void* to, bool bf16) {
    const float* gate = gate_up.ptr<float>(0, r);
    kernels_.swiglu(1, gate, gate + n, 2 * n, n, to, n, bf16);
  });
}

void CpuBackend::linear_swiglu(const Tensor& x, const PackedWeight& weight, const Tensor& gate_up,
                               const Tensor& out) {
  const auto* panels = dynamic_cast<const Bf16Weight*>(&weight);
  const auto* integers = dynamic_cast<const IntWeight*>(&weight);
  const bool gates = (panels != nullptr && bf16_linear_->gates(*panels)) ||
                     (integers != nullptr && IntLinear::gates(*integers, out));
  if (!gates) return Backend::linear_swiglu(x, weight, gate_up, out);
  const StageClock::Scope scope(clock_, StageClock::kLinear,
                                2.0 * static_cast<double>(x.rows() * weight.inputs * weight.outputs));
  if (panels != nullptr) {
    bf16_linear_->run_gated(x, *panels, out);
  } else {
    int_linear_->run_gated(x, *integers, kernels_, out);
  }
}

// A larger head would need more than one scale.
bool CpuBackend::packs_integers(const KvView& kv) const {
  return int_kernels_ != nullptr && kv.k.columns() <= kIntMaxHead;
}

void CpuBackend::pack_kv(const KvView& kv, std::unique_ptr<PackedKv>& reuse) {
  const StageClock::Scope scope(clock_, StageClock::kAttention);
  if (packs_integers(kv)) {
    if (reuse == nullptr) reuse = std::make_unique<IntPackedKv>();
    static_cast<IntPackedKv&>(*reuse).pack(*int_kernels_, kv, threads_);
    return;
  }
  if (reuse == nullptr) reuse = std::make_unique<CpuPackedKv>();
  static_cast<CpuPackedKv&>(*reuse).pack(kernels_, kv, threads_);
}

void CpuBackend::attention(const Tensor& q, const KvView& kv, const PackedKv* packed,
                           std::span<const int32_t> visible, const Tensor& out) {
  const auto pairs = std::accumulate(visible.begin(), visible.end(), int64_t{0});
  const StageClock::Scope scope(clock_, StageClock::kAttention,
                                4.0 * static_cast<double>(pairs * q.columns()));
  constexpr int64_t kFewRows = 4;
  if (packed == nullptr || q.rows() <= kFewRows) {
    attention_few_rows(kernels_, q, kv, visible, out, threads_);
  } else if (packs_integers(kv)) {
    int_attention(*int_kernels_, kernels_, q, kv, static_cast<const IntPackedKv&>(*packed), visible, out,
                  threads_);
  } else {
    cpu::attention(kernels_, q, kv, static_cast<const CpuPackedKv&>(*packed), visible, out, threads_);
  }
}

void CpuBackend::window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed,
                               const ScoreSpec& spec, const Tensor& out) {
  const StageClock::Scope scope(clock_, StageClock::kScores);
  check_score_spec(spec, q.columns() / kv.k.columns(), kv.k.planes(), kv.length);
  const CpuPackedKv* keys = nullptr;
  if (packed != nullptr && packs_integers(kv)) {
    score_keys_.pack(kernels_, kv, threads_, false);
    keys = &score_keys_;
  } else {
    keys = static_cast<const CpuPackedKv*>(packed);
  }
  cpu::window_scores(kernels_, q, kv, keys, spec, out, threads_);
}

void CpuBackend::aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                           const Tensor& out) {
  const StageClock::Scope scope(clock_, StageClock::kSelect);
  HostBackend::aggregate(layers, aggregator, base, out);
}

void CpuBackend::top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) {
  const StageClock::Scope scope(clock_, StageClock::kSelect);
  HostBackend::top_k(scores, count, forced_tail, out);
}

void CpuBackend::gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) {
  const StageClock::Scope scope(clock_, StageClock::kSelect);
  HostBackend::gather_rows(x, indices, out);
}

void CpuBackend::gather_kv(const KvView& from, const Tensor& indices, const KvView& to) {
  const StageClock::Scope scope(clock_, StageClock::kSelect);
  constexpr int64_t kBlock = 256;  // slots of one piece of work
  const size_t row_bytes = static_cast<size_t>(from.k.columns()) * dtype_bytes(from.k.dtype);
  const int64_t blocks = (to.length + kBlock - 1) / kBlock;
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads_)
  for (int64_t head = 0; head < from.k.planes(); ++head) {
    for (int64_t block = 0; block < blocks; ++block) {
      const int32_t* index =
          indices.data == nullptr ? nullptr : indices.ptr<int32_t>(0, indices.rows() == 1 ? 0 : head);
      for (int64_t slot = block * kBlock; slot < std::min(to.length, (block + 1) * kBlock); ++slot) {
        const int64_t source = index == nullptr ? slot : index[slot];
        std::memcpy(to.k.address(head, slot), from.k.address(head, source), row_bytes);
        std::memcpy(to.v.address(head, slot), from.v.address(head, source), row_bytes);
      }
    }
  }
}

StageClock::Scope::~Scope() {
  const double ms = clock_.watch_.ms() - start_;
  StageTime& stage = clock_.stages_[stage_];
  stage.ms += ms;
  if (clock_.recording_) stage.spans.push_back({start_, ms});
}

void StageClock::start() {
  constexpr std::array<const char*, kStages> kNames{"linear", "attention", "scores", "select", "rest"};
  for (size_t i = 0; i < kStages; ++i) stages_[i] = {kNames[i], 0, 0, {}};
  recording_ = true;
  watch_.restart();
}

std::vector<StageTime> StageClock::stop() {
  recording_ = false;
  return {std::make_move_iterator(stages_.begin()), std::make_move_iterator(stages_.end())};
}

}  // namespace claa::cpu
