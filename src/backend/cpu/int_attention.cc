#include "backend/cpu/int_attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include "backend/cpu/tiles.h"
#include "core/usize.h"

namespace claa::cpu {
namespace {

constexpr uint32_t kLess128 = 0x80808080;  // four unsigned bytes xor this: each less 128, signed

struct Tile : TileSums {
  Tile(int64_t m, int64_t depth, int64_t padded_head, int lanes)
      : TileSums(m, padded_head, lanes), q(usize(m * depth)), factor(usize(m)) {}
  std::vector<uint32_t> q;    // [M, depth] fours
  std::vector<float> factor;  // [M] the query's scale and all else that turns products into base 2 logarithms
  // The next two hold one step.
  // [vectors, keys] logarithms
  alignas(kLine) std::array<float, kStepVectors * kKeyBlock> t;
  // [vectors, fours of keys] probabilities
  alignas(kLine) std::array<uint32_t, kStepVectors * kKeyBlock / 4> p;
  std::array<int32_t, kStepVectors> seen;  // keys of the block; negative where they end before it
  std::array<float, kStepVectors> weight;  // of the block's products with values
};

struct Job : TileJob {
  using Tile = cpu::Tile;
  Job(const IntKernels& k, const Tensor& queries, const KvView& kv, const IntPackedKv& packed_kv,
      const VisibleSlots& seen, const SoftmaxRule& softmax, const Tensor& result, Threads& threads)
      : TileJob(queries, kv, packed_kv.padded_head, seen, softmax, result, threads),
        kernels(k),
        packed(packed_kv),
        to_logarithm(std::numbers::log2e_v<float> / std::sqrt(static_cast<float>(head_size))) {
    require(rule.soft_cap == 0, "attention on integers has no soft cap");
    logits_per_max = std::numbers::ln2_v<float>;
  }
  Tile make_tile() const { return {tile_rows * group, packed.depth, padded_head, kernels.panel / 2}; }
  void load(Tile& tile, int64_t i, int64_t row, int64_t column) const;
  void step(Tile& tile, const StepVectors& at, int64_t first_key, int64_t keys) const;

  const IntKernels& kernels;
  const IntPackedKv& packed;
  float to_logarithm;
};

void Job::load(Tile& tile, int64_t i, int64_t row, int64_t column) const {
  float& factor = tile.factor[usize(i)];
  kernels.quantize(q.address(0, row, column), q.dtype == DType::kBF16, head_size, kIntMaxHead,
                   reinterpret_cast<uint8_t*>(tile.q.data() + i * packed.depth), &factor);
  factor *= to_logarithm;
}

void Job::step(Tile& tile, const StepVectors& at, int64_t first_key, int64_t keys) const {
  const int panel = kernels.panel;
  const int m = static_cast<int>(at.count);
  const int n = static_cast<int>(round_up(keys, panel));
  const int64_t depth = packed.depth;
  kernels.logarithms(m, n, static_cast<int>(depth), tile.q.data() + at.first * depth,
                     packed.k(at.head) + first_key * depth, tile.factor.data() + at.first,
                     packed.keys(at.head, first_key), tile.t.data(), kKeyBlock);
  for (size_t i = 0; i < usize(m); ++i) {
    hide_before(tile.first[usize(at.first) + i], first_key, tile.t.data() + i * kKeyBlock);
    tile.seen[i] = tile.visible[usize(at.first) + i] - static_cast<int32_t>(first_key);
  }
  float* o = tile.o.data() + at.first * padded_head;
  const IntSums sums{tile.max.data() + at.first, tile.sum_of(at.first), o, padded_head, tile.weight.data()};
  kernels.softmax_step(m, tile.t.data(), kKeyBlock, n, tile.seen.data(),
                       packed.inverse_value(at.head, first_key), sums,
                       reinterpret_cast<uint8_t*>(tile.p.data()), kKeyBlock);
  kernels.add_products(m, static_cast<int>(padded_head), n / 4, tile.p.data(), kKeyBlock / 4,
                       packed.v(at.head) + first_key / 4 * padded_head, panel, padded_head,
                       tile.weight.data(), o, padded_head);
}

}  // namespace

IntKeys IntPackedKv::keys(int64_t head, int64_t key) const {
  const int64_t at = head * slots_ + key;
  return {offsets_.data() + at, key_scale_.data() + at, log_value_.data() + at};
}

void IntPackedKv::pack_key(const IntKernels& kernels, const void* row, bool bf16, int64_t head_size,
                           int64_t head, int64_t slot) {
  const int64_t width = kernels.panel;
  const auto at = usize(head * slots_ + slot);
  std::array<uint8_t, kIntMaxHead> key;
  kernels.quantize(row, bf16, head_size, kIntMaxHead, key.data(), &key_scale_[at]);
  uint32_t* to = k_.data() + head * k_stride_ + slot / width * depth * width + slot % width;
  int32_t sum = 0;
  for (int64_t i = 0; i < 4 * depth; ++i) sum += key[usize(i)];
  for (int64_t u = 0; u < depth; ++u) {
    uint32_t unit;
    std::memcpy(&unit, key.data() + 4 * u, 4);
    to[u * width] = unit ^ kLess128;
  }
  offsets_[at] = -128 * (sum - 128 * static_cast<int32_t>(4 * depth));
}

void IntPackedKv::pack_values(const IntKernels& kernels, const std::array<const void*, 4>& rows, bool bf16,
                              int64_t head_size, int64_t head, int64_t slot) {
  constexpr float kSmallest = 0x1p-31f;  // of a scale: what lies below counts as zero, but keeps its weight
  std::array<std::array<uint8_t, kIntMaxHead>, 4> values;
  for (size_t j = 0; j < 4; ++j) {
    const auto at = usize(head * slots_ + slot) + j;
    float scale = 0;
    kernels.quantize(rows[j], bf16, head_size, kIntMaxHead, values[j].data(), &scale);
    if (scale < kSmallest) scale = kSmallest, values[j].fill(128);
    log_value_[at] = std::log2(scale), inverse_value_[at] = 1.0f / scale;
  }
  uint32_t* to = v_.data() + head * v_stride_ + slot / 4 * padded_head;
  const auto byte = [&](size_t j, int64_t i) {
    return static_cast<uint32_t>(values[j][usize(i)]) << (8 * j);
  };
  for (int64_t i = 0; i < head_size; ++i) {
    to[i] = (byte(0, i) | byte(1, i) | byte(2, i) | byte(3, i)) ^ kLess128;
  }
  std::fill(to + head_size, to + padded_head, 0u);
}

void IntPackedKv::pack(const IntKernels& kernels, const KvView& kv, Threads& threads) {
  const int64_t heads = kv.k.planes(), head_size = kv.k.columns();
  depth = (head_size + 3) / 4;
  padded_head = round_up(head_size, kernels.panel);
  slots_ = round_up(kv.length, kKeyBlock);
  k_stride_ = slots_ * depth;
  v_stride_ = slots_ / 4 * padded_head;
  const auto grow = [](auto& memory, int64_t size) { memory.resize(std::max(memory.size(), usize(size))); };
  grow(k_, heads * k_stride_);
  grow(v_, heads * v_stride_);
  grow(offsets_, heads * slots_);
  for (AlignedVector<float>* values : {&key_scale_, &log_value_, &inverse_value_})
    grow(*values, heads * slots_);
  const bool bf16 = kv.k.dtype == DType::kBF16;
  // Memory behind the last key is never seen, but it is multiplied by zero.
  static constexpr std::array<float, kIntMaxHead> kZeros{};
  const int64_t fours = slots_ / 4;
  threads.split(heads * fours, [&](int64_t first, int64_t end, int) {
    for (int64_t item = first; item < end; ++item) {
      const int64_t head = item / fours, slot = item % fours * 4;
      std::array<const void*, 4> values;
      for (int64_t j = slot; j < slot + 4; ++j) {
        const bool used = j < kv.length;
        pack_key(kernels, used ? kv.k.address(head, j) : kZeros.data(), bf16, head_size, head, j);
        values[usize(j - slot)] = used ? kv.v.address(head, j) : kZeros.data();
      }
      pack_values(kernels, values, bf16, head_size, head, slot);
    }
  });
}

void int_attention(const IntKernels& kernels, const Kernels& floats, const Tensor& q, const KvView& kv,
                   const IntPackedKv& packed, const VisibleSlots& visible, const SoftmaxRule& rule,
                   const Tensor& out, Threads& threads) {
  run_tiles(floats, Job(kernels, q, kv, packed, visible, rule, out, threads));
}

}  // namespace claa::cpu
