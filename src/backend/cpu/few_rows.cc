// Attention of few query rows, as in decoding, over K and V where they lie. The keys of a KV head are cut
// into chunks, which the threads share whatever their number: every chunk reads its keys and values once for
// all query heads of the group and leaves a softmax of its own, which are joined in order.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/attention.h"
#include "core/usize.h"

namespace claa::cpu {
namespace {

constexpr int64_t kChunk = 512;  // keys; K and V of a chunk stay in the second cache between their two uses

// Sums of one chunk for the query heads of one KV head: o relative to max, sum of the exponentials.
struct Partial {
  float max = 0, sum = 0;
};

// The scratch of one thread.
struct Scratch {
  Scratch(int64_t group, int64_t head_size, int panel)
      : q(usize(group * head_size)),
        s(usize(group * kChunk)),
        wide(usize(panel * head_size)),
        o(usize(head_size)) {}
  std::vector<float> q;     // [group, head_size]
  std::vector<float> s;     // [group, keys of the chunk] logits, then exponentials
  std::vector<float> wide;  // [panel, head_size] keys in f32
  std::vector<float> o;     // [head_size] of one head, joined
};

struct FewRows {
  const Kernels& kernels;
  const Tensor& q;
  const KvView& kv;
  const VisibleSlots& visible;
  const SoftmaxRule& rule;
  const Tensor& out;
  int64_t head_size, group, chunks;
  std::vector<Partial> partials;  // [rows, KV heads, chunks, group]
  std::vector<float> sums;        // [rows, KV heads, chunks, group, head_size]

  void run_chunk(int64_t row, int64_t plane, int64_t chunk, Scratch& scratch);
  // `o` [head_size] is scratch.
  void join(int64_t row, int64_t head, std::vector<float>& o);
};

void FewRows::run_chunk(int64_t row, int64_t plane, int64_t chunk, Scratch& scratch) {
  const int64_t first = std::max<int64_t>(chunk * kChunk, visible.first_of(row));
  const int64_t count = std::min<int64_t>((chunk + 1) * kChunk, visible.end_of(row)) - first;
  if (count <= 0) return;
  const bool bf16 = kv.k.dtype == DType::kBF16;
  const int64_t column = plane * group * head_size;
  if (bf16) {
    kernels.to_f32(q.ptr<uint16_t>(0, row) + column, group * head_size, scratch.q.data());
  } else {
    std::copy_n(q.ptr<float>(0, row) + column, group * head_size, scratch.q.data());
  }
  std::vector<float>& s = scratch.s;
  kernels.few_dots(scratch.q.data(), static_cast<int>(group), kv.k.address(plane, first), bf16,
                   kv.k.stride[1], head_size, static_cast<int>(count), scratch.wide.data(), s.data(), kChunk);
  const bool capped = rule.soft_cap > 0;
  const float to_logit = 1.0f / std::sqrt(static_cast<float>(head_size)), scale = capped ? 1 : to_logit;
  const int64_t index = ((row * kv.k.planes() + plane) * chunks + chunk) * group;
  float* o = sums.data() + index * head_size;
  for (int64_t g = 0; g < group; ++g) {
    float* logits = s.data() + g * kChunk;
    if (capped) kernels.soft_cap(logits, count, to_logit, rule.soft_cap);
    Partial& partial = partials[usize(index + g)];
    partial.max = scale * *std::max_element(logits, logits + count);
    partial.sum = kernels.exp_row(logits, count, scale);
  }
  std::fill_n(o, group * head_size, 0.0f);
  kernels.few_sums(s.data(), kChunk, static_cast<int>(group), kv.v.address(plane, first), bf16,
                   kv.v.stride[1], head_size, static_cast<int>(count), o);
}

void FewRows::join(int64_t row, int64_t head, std::vector<float>& o) {
  const int64_t first = visible.first_of(row) / kChunk, end = (visible.end_of(row) + kChunk - 1) / kChunk;
  const auto index = [&](int64_t chunk) {
    return ((row * kv.k.planes() + head / group) * chunks + chunk) * group + head % group;
  };
  float max = partials[usize(index(first))].max;
  for (int64_t c = first + 1; c < end; ++c) max = std::max(max, partials[usize(index(c))].max);
  std::fill(o.begin(), o.end(), 0.0f);
  float sum = 0;
  for (int64_t c = first; c < end; ++c) {
    const Partial& partial = partials[usize(index(c))];
    const float weight = std::exp(partial.max - max);
    sum += weight * partial.sum;
    kernels.add_scaled(sums.data() + index(c) * head_size, head_size, weight, o.data());
  }
  sum += sink_share(rule, head, max);
  store_row(kernels, o.data(), sum, head_size, out, row, head * head_size);
}

}  // namespace

void attention_few_rows(const Kernels& kernels, const Tensor& q, const KvView& kv,
                        const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out,
                        Threads& threads) {
  const int64_t head_size = kv.k.columns(), planes = kv.k.planes(), rows = q.rows();
  const int64_t heads = q.columns() / head_size;
  const int64_t chunks = (kv.length + kChunk - 1) / kChunk;
  FewRows job{kernels, q, kv, visible, rule, out, head_size, heads / planes, chunks, {}, {}};
  job.partials.resize(usize(rows * job.chunks * heads));
  job.sums.resize(job.partials.size() * usize(head_size));
  std::vector<Scratch> scratch(usize(threads.count()), Scratch(job.group, head_size, kernels.panel));
  threads.run(rows * planes * job.chunks, [&](int64_t item, int thread) {
    job.run_chunk(item / (planes * job.chunks), item / job.chunks % planes, item % job.chunks,
                  scratch[usize(thread)]);
  });
  threads.split(rows * heads, [&](int64_t first, int64_t end, int thread) {
    for (int64_t item = first; item < end; ++item)
      job.join(item / heads, item % heads, scratch[usize(thread)].o);
  });
}

}  // namespace claa::cpu
