#include "backend/cuda/cuda_backend.h"

#include <algorithm>

#include "backend/cuda/attention.h"
#include "backend/cuda/block_weight.h"
#include "backend/cuda/convert.h"
#include "backend/cuda/dense.h"
#include "backend/cuda/fp8.h"
#include "backend/cuda/select.h"
#include "core/usize.h"

namespace claa::cuda {
namespace {

struct CudaPackedKv : PackedKv {};

// Device memory reserved by this process and free.
size_t unused_bytes() {
  cudaMemPool_t pool = nullptr;
  uint64_t reserved = 0, used = 0;
  check(cudaDeviceGetDefaultMemPool(&pool, 0), "memory pool");
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved), "memory pool");
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used), "memory pool");
  return reserved - used;
}

bool consecutive(std::span<const int32_t> values) {
  for (size_t i = 1; i < values.size(); ++i) {
    if (values[i] != values[0] + static_cast<int32_t>(i)) return false;
  }
  return true;
}

}  // namespace

Stream::Stream() {
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "device cuda");
  if (devices == 0)
    fail(ErrorCode::kUnsupported, "device cuda: this machine has no NVIDIA GPU; choose --device cpu");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "device cuda");
  if (properties.major < 8) {
    fail(ErrorCode::kUnsupported,
         "device cuda: {} has compute capability {}.{}, 8.0 is needed; choose --device cpu", properties.name,
         properties.major, properties.minor);
  }
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, 0), "memory pool");
  uint64_t keep = UINT64_MAX;  // freed memory stays with the process: the next prompt needs it again
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "memory pool");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
}

Stream::~Stream() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

CudaBackend::CudaBackend(const BackendOptions& options)
    : traits_(cuda::device_traits(options)),
      options_(options),
      fp8_(options.fp8),
      ring_(stream_.get()),
      linear_(stream_.get(), options.cache_folder),
      grouped_(stream_.get()),
      unpacked_(stream_.get()),
      fused_(stream_.get()),
      scratch_(stream_.get()),
      step_(stream_.get()) {}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream_.get());
}

std::string CudaBackend::description() const {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "device cuda");
  return fmt::format("cuda, {}, {}{}{}", properties.name, dtype_name(traits_.dtype),
                     fp8_ ? ", fp8 linear layers" : "", options_.resident ? ", resident weights" : "");
}

Buffer CudaBackend::allocate(size_t bytes) {
  return allocate_async(bytes, stream_.get());
}

void CudaBackend::upload(const void* host, size_t bytes, void* device) {
  if (bytes == 0) return;
  only_once();
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_.get()), "upload");
  check(cudaStreamSynchronize(stream_.get()), "upload");  // the caller may reuse `host`
}

void CudaBackend::download(const void* device, size_t bytes, void* host) {
  if (bytes == 0) return;
  only_once();
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_.get()), "download");
  check(cudaStreamSynchronize(stream_.get()), "download");
}

void CudaBackend::clear(void* device, size_t bytes) {
  if (step_.skips(kClear, device, bytes)) return;
  check(cudaMemsetAsync(device, 0, bytes, stream_.get()), "clear");
}

void CudaBackend::synchronize() {
  check(cudaStreamSynchronize(stream_.get()), "synchronize");
}

Moment CudaBackend::mark() {
  Moment moment;
  cudaEvent_t event = nullptr;
  if (cudaEventCreate(&event) != cudaSuccess) return moment;  // callers are destructors, so nothing is thrown
  moment.device =
      std::shared_ptr<void>(event, [](void* e) { cudaEventDestroy(static_cast<cudaEvent_t>(e)); });
  cudaEventRecord(event, stream_.get());
  return moment;
}

double CudaBackend::ms_between(const Moment& from, const Moment& to) {
  float ms = 0;
  if (from.device == nullptr || to.device == nullptr) return 0;
  check(cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(from.device.get()),
                             static_cast<cudaEvent_t>(to.device.get())),
        "event");
  return static_cast<double>(ms);
}

void CudaBackend::repeat(const std::function<void()>& work) {
  step_.run(work);
}

size_t CudaBackend::peak_bytes() {
  cudaMemPool_t pool = nullptr;
  uint64_t peak = 0, reset = 0;
  check(cudaDeviceGetDefaultMemPool(&pool, 0), "memory pool");
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &peak), "memory pool");
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &reset), "memory pool");
  return peak;
}

size_t CudaBackend::free_bytes() {
  size_t free = 0, all = 0;
  check(cudaMemGetInfo(&free, &all), "device cuda");
  return free + unused_bytes();
}

void CudaBackend::reserve(size_t bytes) {
  if (bytes <= unused_bytes()) return;
  synchronize();  // memory that the prompt before gave back counts once the stream has come so far
  if (bytes <= unused_bytes()) return;
  if (bytes > free_bytes()) out_of_memory(bytes);
  allocate(bytes);  // freed at once: it stays with the process
}

std::unique_ptr<PackedWeight> CudaBackend::prepare(const WeightSource& source) {
  if (stays_blocks(options_, source)) return prepare_blocks(source, fp8_ && !source.table, stream_.get());
  return widen(source);
}

std::unique_ptr<CudaWeight> CudaBackend::widen(const WeightSource& source) {
  auto weight = std::make_unique<CudaWeight>();
  weight->outputs = source.outputs;
  weight->inputs = source.inputs;
  // The vocabulary's rows are read unchanged by embed(), and decide the answer.
  weight->fp8 = fp8_ && !source.table;
  const size_t value_bytes = weight->fp8 ? 1 : dtype_bytes(traits_.dtype);
  weight->bytes = usize(source.outputs * source.inputs) * value_bytes;
  weight->memory = allocate(weight->bytes);
  if (weight->fp8) weight->scales = floats(source.outputs);
  constexpr int64_t kValuesAtOnce = int64_t{4} << 20;
  const int64_t step = std::clamp<int64_t>(kValuesAtOnce / source.inputs, 1, source.outputs);
  std::vector<float> rows(usize(step * source.inputs));
  const Buffer staged = floats(step * source.inputs);
  for (int64_t row = 0; row < source.outputs; row += step) {
    const int64_t count = std::min(step, source.outputs - row), values = count * source.inputs;
    source.fill(row, count, rows.data());
    char* to = static_cast<char*>(weight->memory.data()) + usize(row * source.inputs) * value_bytes;
    const bool as_is = !weight->fp8 && traits_.dtype == DType::kF32;
    upload(rows.data(), usize(values) * sizeof(float), as_is ? to : staged.data());
    if (as_is) continue;
    if (weight->fp8) {
      const View view{staged.data(), false, 1, count, source.inputs, 0, source.inputs};
      quantize_rows(view, to, static_cast<float*>(weight->scales.data()) + row, stream_.get());
    } else {
      round_to_bf16(static_cast<const float*>(staged.data()), values, to, stream_.get());
    }
  }
  check_launch("prepare");
  return weight;
}

void CudaBackend::embed(const PackedWeight& table, std::span<const int32_t> ids, float scale,
                        const Tensor& out, int64_t first) {
  const auto& weight = static_cast<const CudaWeight&>(table);
  const int32_t* indices = on_device(ids);
  if (step_.skips(kEmbed, weight.memory.data(), scale, out, first)) return;
  if (std::ssize(ids) >= FusedAttention::kLeastRows) fused_.prompt_begins();
  if (!weight.parts.empty()) {
    require(weight.parts.size() == 1, "embed: a table of several formats");
    embed_blocks(weight.parts[0], indices, scale, traits_.dtype == DType::kBF16, first, view_of(out),
                 stream_.get());
    check_launch("embed");
    return;
  }
  const View rows{weight.memory.data(), traits_.dtype == DType::kBF16, 1, weight.outputs, weight.inputs, 0,
                  weight.inputs};
  embed_rows(rows, indices, scale, first, view_of(out), stream_.get());
  check_launch("embed");
}

void CudaBackend::linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) {
  const auto& matrix = static_cast<const CudaWeight&>(weight);
  if (step_.active()) linear_.reserve(x, matrix);
  if (step_.skips(kLinear, x, matrix.memory.data(), matrix.scales.data(), out, accumulate,
                  linear_.rounded_memory(), linear_.unpacked_memory()))
    return;
  linear_.run(x, matrix, out, accumulate);
  check_launch("linear");
}

void CudaBackend::rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  if (step_.skips(kNorm, x, weight, eps, out)) return;
  if (out.dtype == DType::kF8) {
    rms_norm_fp8(view_of(x), weight.ptr<float>(), eps, out.data, out.scales, stream_.get());
  } else {
    rms_norm_rows(view_of(x), weight.ptr<float>(), eps, view_of(out), stream_.get());
  }
  check_launch("rms_norm");
}

void CudaBackend::add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  if (step_.skips(kAddNorm, x, weight, eps, out)) return;
  add_rms_norm_rows(view_of(x), weight.ptr<float>(), eps, view_of(out), stream_.get());
  check_launch("add_rms_norm");
}

void CudaBackend::convert(const Tensor& x, const Tensor& out) {
  if (step_.skips(kConvert, x, out)) return;
  if (out.dtype == DType::kF8) {
    quantize_rows(view_of(x), out.data, out.scales, stream_.get());
  } else {
    convert_rows(view_of(x), view_of(out), stream_.get());
  }
  check_launch("convert");
}

void CudaBackend::soft_cap(const Tensor& x, float cap) {
  if (step_.skips(kSoftCap, x, cap)) return;
  soft_cap_rows(view_of(x), cap, stream_.get());
  check_launch("soft_cap");
}

void CudaBackend::scale(const Tensor& x, const Tensor& factor) {
  if (step_.skips(kScale, x, factor)) return;
  scale_rows(view_of(x), factor.ptr<float>(), stream_.get());
  check_launch("scale");
}

void CudaBackend::norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) {
  if (step_.skips(kHeadNorms, x, heads, weight, eps)) return;
  norm_head_rows(view_of(x), heads, weight.columns(), weight.ptr<float>(), eps, stream_.get());
  check_launch("norm_heads");
}

void CudaBackend::add_bias(const Tensor& x, const Tensor& bias) {
  if (step_.skips(kBias, x, bias)) return;
  add_bias_rows(view_of(x), bias.ptr<float>(), stream_.get());
  check_launch("add_bias");
}

void CudaBackend::rope(const Tensor& q, int64_t head_size, const RopeTable& table,
                       std::span<const int32_t> positions, const Tensor& out) {
  const int32_t* at = on_device(positions);
  if (step_.skips(kRope, q, head_size, table.cos, table.sin, table.interleaved, out)) return;
  rope_rows(view_of(q), head_size, view_of(table), at, view_of(out), stream_.get());
  check_launch("rope");
}

void CudaBackend::rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                             const KvView& cache, int64_t slot) {
  const int32_t* at = on_device(positions);
  Slot first{nullptr, slot};
  if (step_.active()) {
    const int32_t number = static_cast<int32_t>(slot);
    first.address = step_.numbers({&number, 1});
  }
  if (step_.skips(kRopeStore, kv, table.cos, table.sin, table.interleaved, cache.k, cache.v)) return;
  rope_store_rows(view_of(kv), view_of(table), at, view_of(cache.k), view_of(cache.v), first, stream_.get());
  check_launch("rope_store");
}

void CudaBackend::gate(const Tensor& gate_up, Activation activation, const Tensor& out) {
  if (step_.skips(kGate, gate_up, activation, out)) return;
  if (out.dtype == DType::kF8) {
    gate_fp8(view_of(gate_up), activation, out.data, out.scales, stream_.get());
  } else {
    gate_rows(view_of(gate_up), activation, view_of(out), stream_.get());
  }
  check_launch("gate");
}

void CudaBackend::gate_apart(const Tensor& gate, const Tensor& up, Activation activation, const Tensor& out) {
  if (step_.skips(kGateApart, gate, up, activation, out)) return;
  gate_apart_rows(view_of(gate), view_of(up), activation, view_of(out), stream_.get());
  check_launch("gate_apart");
}

void CudaBackend::pack_kv(const KvView& kv, const SoftmaxRule& /*rule*/, std::unique_ptr<PackedKv>& reuse) {
  if (kv.k.columns() > kMaxHeadSize) {
    fail(ErrorCode::kUnsupported, "device cuda: head size {} is over {}; choose --device cpu", kv.k.columns(),
         kMaxHeadSize);
  }
  if (reuse == nullptr) reuse = std::make_unique<CudaPackedKv>();
}

void CudaBackend::attention(const Tensor& q, const KvView& kv, const PackedKv* packed,
                            const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out) {
  require(!step_.active() || packed == nullptr, "attention: packed K and V in a repeated series");
  constexpr int64_t kLargestHead = 256;  // that the library multiplies
  const int64_t head_size = kv.k.columns();
  const bool fits = packed != nullptr && visible.first.empty() && rule.plain() &&
                    traits_.dtype == DType::kBF16 && head_size % 8 == 0 && head_size <= kLargestHead &&
                    q.stride[1] % 8 == 0;
  if (fits && q.rows() >= FusedAttention::kLeastRows && consecutive(visible.end) &&
      fused_.run(q, kv, visible.end[0] - 1, ring_, out))
    return;
  attend_rows(q, kv, visible, rule, out);
}

void CudaBackend::attend_rows(const Tensor& q, const KvView& kv, const VisibleSlots& visible,
                              const SoftmaxRule& rule, const Tensor& out) {
  const int32_t* end = on_device(visible.end);
  const int32_t* first = visible.first.empty() ? nullptr : on_device(visible.first);
  // A recording must hold for every length that the cache has memory for.
  const int64_t length = step_.active() ? kv.k.rows() : kv.length;
  const int64_t head_size = kv.k.columns();
  void* scratch = scratch_.get(attention_scratch(q.rows(), q.columns() / head_size, head_size, length));
  const bool window = first != nullptr;
  if (step_.skips(kAttention, q, kv.k, kv.v, out, scratch, window, rule.soft_cap, rule.sinks.data)) return;
  attention_rows(view_of(q), view_of(kv.k), view_of(kv.v), length, {first, end},
                 {rule.soft_cap, static_cast<const float*>(rule.sinks.data)}, view_of(out), scratch,
                 stream_.get());
  check_launch("attention");
}

void CudaBackend::top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) {
  only_once();
  require(count >= 0 && count <= scores.columns(), "top_k: count outside the scores");
  select_best(view_of(scores), count, forced_tail, out.ptr<int32_t>(), stream_.get());
  check_launch("top_k");
}

void CudaBackend::gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) {
  only_once();
  gather_hidden(view_of(x), indices.ptr<int32_t>(), view_of(out), stream_.get());
  check_launch("gather_rows");
}

void CudaBackend::gather_kv(const KvView& from, const Tensor& indices, const KvView& to) {
  only_once();
  for (const auto& [source, target] : {std::pair{from.k, to.k}, {from.v, to.v}}) {
    if (indices.data == nullptr) {
      const size_t value = dtype_bytes(source.dtype), width = usize(to.length * source.columns()) * value;
      check(cudaMemcpy2DAsync(target.data, usize(target.stride[0]) * value, source.data,
                              usize(source.stride[0]) * value, width, usize(source.planes()),
                              cudaMemcpyDeviceToDevice, stream_.get()),
            "gather_kv");
      continue;
    }
    const int64_t list_stride = indices.rows() == 1 ? 0 : indices.stride[1];
    gather_planes(view_of(source), indices.ptr<int32_t>(), list_stride, to.length, view_of(target),
                  stream_.get());
  }
  check_launch("gather_kv");
}

}  // namespace claa::cuda
