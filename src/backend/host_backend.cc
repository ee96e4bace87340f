#include "backend/host_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "backend/host_ops.h"
#include "core/counts.h"
#include "core/usize.h"

namespace claa {

Buffer HostBackend::allocate(size_t bytes) {
  constexpr size_t kAlignment = 64;  // a cache line, and the widest vector
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, rounded == 0 ? kAlignment : rounded);
  if (data == nullptr)
    fail(ErrorCode::kOutOfMemory, "cannot allocate {} bytes; use a shorter prompt or a smaller model",
         group_digits(bytes));
  return Buffer(data, bytes, [](void* p) { std::free(p); });
}

void HostBackend::upload(const void* host, size_t bytes, void* device) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}
void HostBackend::download(const void* device, size_t bytes, void* host) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}
void HostBackend::clear(void* device, size_t bytes) {
  std::memset(device, 0, bytes);
}

void HostBackend::copy(const void* from, size_t bytes, void* to) {
  std::memcpy(to, from, bytes);
}

void HostBackend::add_bias(const Tensor& x, const Tensor& bias) {
  const float* b = bias.ptr<float>();
  for (int64_t r = 0; r < x.rows(); ++r) {
    float* row = x.ptr<float>(0, r);
    for (int64_t c = 0; c < x.columns(); ++c) row[c] += b[c];
  }
}

void HostBackend::aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                            const Tensor& out) {
  host::aggregate(layers, aggregator, base, out);
}

void HostBackend::top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) {
  host::top_k(scores, count, forced_tail, out);
}

void HostBackend::gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) {
  const int32_t* index = indices.ptr<int32_t>();
  for (int64_t r = 0; r < out.rows(); ++r) {
    std::memcpy(out.ptr<float>(0, r), x.ptr<float>(0, index[r]), usize(x.columns()) * sizeof(float));
  }
}

void HostBackend::choose_experts(const Tensor& logits, const ExpertChoice& choice) {
  const int64_t used = choice.ids.columns();
  host::top_k(logits, used, 0, choice.ids);
  for (int64_t r = 0; r < logits.rows(); ++r) {
    const float* of_row = logits.ptr<float>(0, r);
    int32_t* ids = choice.ids.ptr<int32_t>(0, r);
    // Stable, over ids in ascending order: the lower one first where two are equal. Values that are no
    // numbers come last, as in top_k().
    const auto key = [of_row](int32_t id) { return std::isnan(of_row[id]) ? -HUGE_VALF : of_row[id]; };
    std::stable_sort(ids, ids + used, [&key](int32_t a, int32_t b) { return key(a) > key(b); });
    float* weights = choice.weights.ptr<float>(0, r);
    float sum = 0;
    for (int64_t i = 0; i < used; ++i) sum += weights[i] = std::exp(of_row[ids[i]] - of_row[ids[0]]);
    for (int64_t i = 0; i < used; ++i) weights[i] /= sum;
  }
}

void HostBackend::gather_activations(const Tensor& x, std::span<const int32_t> rows, const Tensor& out) {
  require(out.dtype == x.dtype && out.row_scales == x.row_scales, "rows gathered into another type");
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto to = static_cast<int64_t>(i);
    std::memcpy(out.address(0, to), x.address(0, rows[i]), usize(x.columns()) * dtype_bytes(x.dtype));
    if (x.scales == nullptr) continue;
    std::copy_n(x.scales + rows[i] * x.row_scales, x.row_scales, out.scales + to * x.row_scales);
  }
}

void HostBackend::add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                           const Tensor& out) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const float* from = x.ptr<float>(0, static_cast<int64_t>(i));
    float* to = out.ptr<float>(0, rows[i]);
    for (int64_t c = 0; c < x.columns(); ++c) to[c] += weights[i] * from[c];
  }
}

void HostBackend::gather_kv(const KvView& from, const Tensor& indices, const KvView& to) {
  const size_t row_bytes = usize(from.k.columns()) * dtype_bytes(from.k.dtype);
  for (int64_t head = 0; head < from.k.planes(); ++head) {
    const int32_t* index =
        indices.data == nullptr ? nullptr : indices.ptr<int32_t>(0, indices.rows() == 1 ? 0 : head);
    if (index == nullptr) {
      std::memcpy(to.k.address(head, 0), from.k.address(head, 0), row_bytes * usize(to.length));
      std::memcpy(to.v.address(head, 0), from.v.address(head, 0), row_bytes * usize(to.length));
      continue;
    }
    for (int64_t slot = 0; slot < to.length; ++slot) {
      std::memcpy(to.k.address(head, slot), from.k.address(head, index[slot]), row_bytes);
      std::memcpy(to.v.address(head, slot), from.v.address(head, index[slot]), row_bytes);
    }
  }
}

}  // namespace claa
