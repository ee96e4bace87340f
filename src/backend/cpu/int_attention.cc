#include "backend/cpu/int_attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "backend/cpu/attention.h"

namespace claa::cpu {
namespace {

constexpr int kTileRows = 96;  // query rows x heads of a tile
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
const void* row_of(const Tensor& t, int64_t plane, int64_t row, int64_t column) {
  return static_cast<const char*>(t.data) +
         static_cast<size_t>(plane * t.stride[0] + row * t.stride[1] + column) * dtype_bytes(t.dtype);
}

// Scratch of one thread for one tile of M = rows x group query vectors.
struct Tile {
  Tile(int64_t m, int64_t depth, int64_t padded_head)
      : q(static_cast<size_t>(m * depth)),
        s(static_cast<size_t>(m * kIntKeyBlock)),
        p(static_cast<size_t>(m * kIntKeyBlock / 2)),
        o(static_cast<size_t>(m * padded_head)),
        scale(static_cast<size_t>(m)),
        weight(static_cast<size_t>(m)),
        max(static_cast<size_t>(m)),
        sum(static_cast<size_t>(m)) {}
  void reset() {
    std::fill(o.begin(), o.end(), 0.0f);
    std::fill(max.begin(), max.end(), kMinusInfinity);
    std::fill(sum.begin(), sum.end(), 0.0f);
  }
  std::vector<uint32_t> q;    // [M, depth] fours
  std::vector<int32_t> s;     // [M, keys of the block] products
  std::vector<uint32_t> p;    // [M, pairs of keys] probabilities
  std::vector<float> o;       // [M, padded head] sums so far
  std::vector<float> scale;   // [M] of the query, with all that turns products into base 2 logarithms
  std::vector<float> weight;  // [M] of the block's products with values
  std::vector<float> max, sum;
};

// Everything that the tiles of one call share.
struct Job {
  const IntKernels& kernels;
  const Kernels& floats;
  const Tensor& q;
  const IntPackedKv& packed;
  std::span<const int32_t> visible;
  const Tensor& out;
  int64_t head_size;
  int64_t group;  // query heads of a KV head
  int64_t tile_rows;
};

void run_block(const Job& job, Tile& tile, int64_t head, int64_t first_row, int64_t rows, int64_t first_key,
               int64_t limit) {
  const int panel = job.kernels.panel;
  const int m = static_cast<int>(rows * job.group);
  const int n = static_cast<int>(round_up(std::min<int64_t>(kIntKeyBlock, limit - first_key), panel));
  const int64_t depth = job.packed.depth, padded = job.packed.padded_head;
  job.kernels.products(m, n, static_cast<int>(depth), tile.q.data(), depth,
                       job.packed.k(head) + first_key * depth, depth * panel, panel,
                       job.packed.offsets(head, first_key), tile.s.data(), kIntKeyBlock);
  IntSoftmax step = job.packed.scales(head, first_key);
  for (int i = 0; i < m; ++i) {
    const auto at = static_cast<size_t>(i);
    step.factor = tile.scale[at];
    const int64_t seen = job.visible[static_cast<size_t>(first_row + i / job.group)] - first_key;
    tile.weight[at] = job.kernels.softmax_step(
        tile.s.data() + i * kIntKeyBlock, n, seen, step, &tile.max[at], &tile.sum[at],
        reinterpret_cast<uint16_t*>(tile.p.data() + i * kIntKeyBlock / 2), tile.o.data() + i * padded,
        static_cast<int>(padded));
  }
  job.kernels.add_products(m, static_cast<int>(padded), n / 2, tile.p.data(), kIntKeyBlock / 2,
                           job.packed.v(head) + first_key / 2 * padded, panel, padded, tile.weight.data(),
                           tile.o.data(), padded);
}

void load_queries(const Job& job, Tile& tile, int64_t head, int64_t first_row, int64_t rows) {
  const float to_logarithm = std::numbers::log2e_v<float> / std::sqrt(static_cast<float>(job.head_size));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < job.group; ++g) {
      const int64_t i = r * job.group + g;
      const void* from = row_of(job.q, 0, first_row + r, (head * job.group + g) * job.head_size);
      auto* to = reinterpret_cast<uint8_t*>(tile.q.data() + i * job.packed.depth);
      float scale = 0;
      job.kernels.quantize(from, job.q.dtype == DType::kBF16, job.head_size, to, &scale);
      tile.scale[static_cast<size_t>(i)] = to_logarithm * scale;
    }
  }
}

void run_tile(const Job& job, Tile& tile, int64_t head, int64_t index) {
  const int64_t first_row = index * job.tile_rows;
  const int64_t rows = std::min(job.tile_rows, job.q.rows() - first_row);
  tile.reset();
  load_queries(job, tile, head, first_row, rows);
  const int64_t limit =
      job.visible[static_cast<size_t>(first_row + rows - 1)];  // causal skipping: keys beyond it
  for (int64_t key = 0; key < limit; key += kIntKeyBlock) {
    run_block(job, tile, head, first_row, rows, key, limit);
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < job.group; ++g) {
      const int64_t i = r * job.group + g;
      store_row(job.floats, tile.o.data() + i * job.packed.padded_head, tile.sum[static_cast<size_t>(i)],
                job.head_size, job.out, first_row + r, (head * job.group + g) * job.head_size);
    }
  }
}

}  // namespace

IntSoftmax IntPackedKv::scales(int64_t head, int64_t key) const {
  const int64_t at = head * slots_ + key;
  return {key_scale_.data() + at, log_value_.data() + at, unvalue_.data() + at, 1.0f};
}

void IntPackedKv::pack_key(const IntKernels& kernels, const KvView& kv, int64_t head, int64_t slot) {
  const int64_t width = kernels.panel, head_size = kv.k.columns();
  const auto at = static_cast<size_t>(head * slots_ + slot);
  std::array<uint8_t, kIntMaxHead> key;
  kernels.quantize(row_of(kv.k, head, slot, 0), kv.k.dtype == DType::kBF16, head_size, key.data(),
                   &key_scale_[at]);
  auto* to = reinterpret_cast<int8_t*>(k_.data() + head * k_stride_ + slot / width * depth * width) +
             4 * (slot % width);
  int32_t sum = 0;
  for (int64_t i = 0; i < 4 * depth; ++i) {
    const int value = key[static_cast<size_t>(i)] - 128;
    to[i / 4 * width * 4 + i % 4] = static_cast<int8_t>(value);
    sum += value;
  }
  offsets_[at] = -128 * sum;
}

void IntPackedKv::pack_value(const IntKernels& kernels, const KvView& kv, int64_t head, int64_t slot) {
  const auto at = static_cast<size_t>(head * slots_ + slot);
  std::array<int16_t, kIntMaxHead> value{};
  const float scale = kernels.quantize16(row_of(kv.v, head, slot, 0), kv.v.dtype == DType::kBF16,
                                         kv.v.columns(), kMaxValue, value.data());
  log_value_[at] = std::log2(scale), unvalue_[at] = 1.0f / scale;
  auto* to = reinterpret_cast<int16_t*>(v_.data() + head * v_stride_ + slot / 2 * padded_head) + slot % 2;
  for (int64_t i = 0; i < padded_head; ++i) to[2 * i] = value[static_cast<size_t>(i)];
}

// Slots behind the last key: what is never seen must only be finite, but a value is multiplied by zero.
void IntPackedKv::clear_slot(const IntKernels& kernels, int64_t head, int64_t slot) {
  const int64_t width = kernels.panel;
  const auto at = static_cast<size_t>(head * slots_ + slot);
  uint32_t* key = k_.data() + head * k_stride_ + slot / width * depth * width + slot % width;
  for (int64_t u = 0; u < depth; ++u) key[u * width] = 0;
  auto* value = reinterpret_cast<int16_t*>(v_.data() + head * v_stride_ + slot / 2 * padded_head) + slot % 2;
  for (int64_t i = 0; i < padded_head; ++i) value[2 * i] = 0;
  offsets_[at] = 0, key_scale_[at] = 0, log_value_[at] = 0, unvalue_[at] = 1;
}

void IntPackedKv::pack(const IntKernels& kernels, const KvView& kv, int threads) {
  const int64_t heads = kv.k.planes(), head_size = kv.k.columns();
  depth = (head_size + 3) / 4;
  padded_head = round_up(head_size, kernels.panel);
  slots_ = round_up(kv.length, kIntKeyBlock);
  k_stride_ = slots_ * depth;
  v_stride_ = slots_ / 2 * padded_head;
  const auto grow = [](auto& memory, int64_t size) {
    memory.resize(std::max(memory.size(), static_cast<size_t>(size)));
  };
  grow(k_, heads * k_stride_);
  grow(v_, heads * v_stride_);
  grow(offsets_, heads * slots_);
  for (std::vector<float>* values : {&key_scale_, &log_value_, &unvalue_}) grow(*values, heads * slots_);
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t slot = 0; slot < slots_; ++slot) {
      if (slot < kv.length) {
        pack_key(kernels, kv, head, slot);
        pack_value(kernels, kv, head, slot);
      } else {
        clear_slot(kernels, head, slot);
      }
    }
  }
}

void int_attention(const IntKernels& kernels, const Kernels& floats, const Tensor& q, const KvView& kv,
                   const IntPackedKv& packed, std::span<const int32_t> visible, const Tensor& out,
                   int threads) {
  const int64_t head_size = kv.k.columns();
  const int64_t kv_heads = kv.k.planes();
  const int64_t group = q.columns() / head_size / kv_heads;
  const int64_t tile_rows = std::max<int64_t>(1, kTileRows / group);
  const Job job{kernels, floats, q, packed, visible, out, head_size, group, tile_rows};
  const int64_t tiles = (q.rows() + tile_rows - 1) / tile_rows;
#pragma omp parallel num_threads(threads)
  {
    Tile tile(tile_rows * group, packed.depth, packed.padded_head);
    // The last tiles see the most keys: they go first, so that no thread ends with a long one.
#pragma omp for schedule(dynamic, 1)
    for (int64_t item = 0; item < tiles * kv_heads; ++item) {
      run_tile(job, tile, item % kv_heads, tiles - 1 - item / kv_heads);
    }
  }
}

}  // namespace claa::cpu
