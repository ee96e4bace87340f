#include "backend/cpu/delta.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "backend/cpu/aligned.h"
#include "backend/cpu/tiles.h"
#include "core/usize.h"

namespace claa::cpu {
namespace {

constexpr int kDeltaChunk = 64;  // rows
constexpr int kSolved = 16;      // rows of the triangular system that are solved one by one
constexpr int64_t kOneByOne = 4;

float softplus_of(float x) {
  return std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x)));
}

// How a product takes a matrix of f32.
const uint32_t* units(const float* x) {
  return reinterpret_cast<const uint32_t*>(x);
}

// The rows of one value head.
struct DeltaRows {
  const Tensor& qkv;
  const DeltaHeads& heads;
  const DeltaRates& rates;
  const Tensor& out;
  int64_t head = 0;

  const float* query(int64_t row) const {
    return qkv.ptr<float>(0, row) + head % heads.key_heads * heads.size;
  }
  const float* key(int64_t row) const { return query(row) + heads.key_heads * heads.size; }
  const float* value(int64_t row) const {
    return qkv.ptr<float>(0, row) + (2 * heads.key_heads + head) * heads.size;
  }
  float* result(int64_t row) const { return out.ptr<float>(0, row) + head * heads.size; }
  // g and b of a row.
  float forget(int64_t row) const {
    return rates.decay.ptr<float>()[head] *
           softplus_of(rates.inputs.ptr<float>(0, row)[head] + rates.step.ptr<float>()[head]);
  }
  float take(int64_t row) const {
    return 1 / (1 + std::exp(-rates.inputs.ptr<float>(0, row)[heads.value_heads + head]));
  }
  float scale() const { return 1 / std::sqrt(static_cast<float>(heads.size)); }
};

// The chunks of one value head. With S the memory before a chunk, c_r the sum of the decays g up to row r,
// and
//   A[r, j] = b_r e^(c_r - c_j) k_r . k_j for j < r,   P[r, j] = e^(c_r - c_j) q_r . k_j for j <= r,
// what the rows take in is the solution U of (I + A) U = b (V - e^c K S). Then O = e^c Q S + P U, and the
// memory becomes e^(c_last) S + (e^(c_last - c) K)^T U.
class DeltaChunks {
 public:
  DeltaChunks(const Kernels& kernels, const DeltaRows& rows)
      : kernels_(kernels),
        rows_(rows),
        d_(rows.heads.size),
        padded_(round_up(d_, kernels.panel)),
        scale_(rows.scale()),
        q_(usize(kDeltaChunk * padded_)),
        k_(q_.size()),
        u_(q_.size()),
        o_(q_.size()),
        keys_(usize(d_ * kDeltaChunk)),
        a_(usize(kDeltaChunk * kDeltaChunk)),
        p_(a_.size()),
        s_(usize(d_ * padded_)) {}

  // All rows through value head `head`, whose memory is s [size, size].
  void run(int64_t head, float* s) {
    rows_.head = head;
    std::fill(s_.begin(), s_.end(), 0.0f);
    for (int64_t i = 0; i < d_; ++i) std::copy_n(s + i * d_, d_, s_.begin() + i * padded_);
    for (first_ = 0; first_ < rows_.qkv.rows(); first_ += kDeltaChunk) {
      count_ = static_cast<int>(std::min<int64_t>(kDeltaChunk, rows_.qkv.rows() - first_));
      load();
      multiply();
      solve();
      read();
      take_in();
    }
    for (int64_t i = 0; i < d_; ++i) std::copy_n(s_.begin() + i * padded_, d_, s + i * d_);
  }

 private:
  void load() {
    float sum = 0;
    for (int r = 0; r < count_; ++r) {
      std::copy_n(rows_.query(first_ + r), d_, q_.begin() + r * padded_);
      std::copy_n(rows_.key(first_ + r), d_, k_.begin() + r * padded_);
      sums_[usize(r)] = sum += rows_.forget(first_ + r);
      takes_[usize(r)] = rows_.take(first_ + r);
    }
    for (int64_t i = 0; i < d_; ++i) {
      float* column = keys_.data() + i * kDeltaChunk;
      for (int r = 0; r < count_; ++r) column[r] = k_[usize(r * padded_ + i)];
      std::fill(column + count_, column + kDeltaChunk, 0.0f);
    }
  }

  // -A, P and the right side of the system.
  void multiply() {
    const int d = static_cast<int>(d_), padded = static_cast<int>(padded_);
    const auto by_keys = [&](const AlignedVector<float>& x, AlignedVector<float>& to) {
      kernels_.gemm(count_, kDeltaChunk, d, units(x.data()), padded_, units(keys_.data()), kernels_.panel,
                    kDeltaChunk, to.data(), kDeltaChunk, false);
    };
    const auto by_memory = [&](const AlignedVector<float>& x, AlignedVector<float>& to) {
      kernels_.gemm(count_, padded, d, units(x.data()), padded_, units(s_.data()), kernels_.panel, padded_,
                    to.data(), padded_, false);
    };
    by_keys(k_, a_), by_keys(q_, p_);
    by_memory(k_, u_), by_memory(q_, o_);
    std::array<float, kDeltaChunk> shrunk;  // e^(c_r - c_j)
    for (int r = 0; r < count_; ++r) {
      const float b = takes_[usize(r)], c = std::exp(sums_[usize(r)]);
      kernels_.exp_differences(sums_[usize(r)], sums_.data(), r + 1, shrunk.data());
      float *a = a_.data() + r * kDeltaChunk, *p = p_.data() + r * kDeltaChunk;
      for (int j = 0; j < r; ++j) a[j] *= -b * shrunk[usize(j)];
      for (int j = 0; j <= r; ++j) p[j] *= scale_ * shrunk[usize(j)];
      std::fill(p + r + 1, p + kDeltaChunk, 0.0f);
      float *u = u_.data() + r * padded_, *o = o_.data() + r * padded_;
      const float* v = rows_.value(first_ + r);
      for (int64_t i = 0; i < d_; ++i) u[i] = b * (v[i] - c * u[i]);
      kernels_.scaled(o, padded_, scale_ * c, o, false);
    }
  }

  // Rows of the system: those of a block need products with the blocks before it, and then each other.
  void solve() {
    for (int block = 0; block < count_; block += kSolved) {
      const int end = std::min(count_, block + kSolved);
      if (block > 0) {
        kernels_.gemm(end - block, static_cast<int>(padded_), block, units(a_.data() + block * kDeltaChunk),
                      kDeltaChunk, units(u_.data()), kernels_.panel, padded_, u_.data() + block * padded_,
                      padded_, true);
      }
      for (int r = block + 1; r < end; ++r) {
        for (int j = block; j < r; ++j) {
          kernels_.add_scaled(u_.data() + j * padded_, padded_, a_[usize(r * kDeltaChunk + j)],
                              u_.data() + r * padded_);
        }
      }
    }
  }

  void read() {
    kernels_.gemm(count_, static_cast<int>(padded_), count_, units(p_.data()), kDeltaChunk, units(u_.data()),
                  kernels_.panel, padded_, o_.data(), padded_, true);
    for (int r = 0; r < count_; ++r) std::copy_n(o_.begin() + r * padded_, d_, rows_.result(first_ + r));
  }

  void take_in() {
    std::array<float, kDeltaChunk> left;  // e^(c_last - c_r)
    const float last = sums_[usize(count_ - 1)];
    kernels_.exp_differences(last, sums_.data(), count_, left.data());
    for (int64_t i = 0; i < d_; ++i) {
      float* column = keys_.data() + i * kDeltaChunk;
      for (int r = 0; r < count_; ++r) column[r] *= left[usize(r)];
    }
    kernels_.scaled(s_.data(), d_ * padded_, std::exp(last), s_.data(), false);
    kernels_.gemm(static_cast<int>(d_), static_cast<int>(padded_), count_, units(keys_.data()), kDeltaChunk,
                  units(u_.data()), kernels_.panel, padded_, s_.data(), padded_, true);
  }

  const Kernels& kernels_;
  DeltaRows rows_;
  const int64_t d_, padded_;
  const float scale_;
  int64_t first_ = 0;  // row of the chunk
  int count_ = 0;
  AlignedVector<float> q_, k_;  // [chunk, padded]
  AlignedVector<float> u_, o_;  // [chunk, padded]
  AlignedVector<float> keys_;   // [size, chunk], K^T
  AlignedVector<float> a_, p_;  // [chunk, chunk]
  AlignedVector<float> s_;      // [size, padded]
  std::array<float, kDeltaChunk> sums_{}, takes_{};
};

}  // namespace

void delta_rule(const Kernels& kernels, const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates,
                const Tensor& memory, const Tensor& out, Threads& threads) {
  const DeltaRows rows{qkv, heads, rates, out};
  if (qkv.rows() <= kOneByOne) {
    threads.run(heads.value_heads, [&](int64_t head, int) {
      DeltaRows own = rows;
      own.head = head;
      for (int64_t r = 0; r < qkv.rows(); ++r) {
        kernels.delta_step(memory.ptr<float>(head), heads.size, heads.size, own.query(r), own.key(r),
                           own.value(r), std::exp(own.forget(r)), own.take(r), own.scale(), own.result(r));
      }
    });
    return;
  }
  std::vector<DeltaChunks> scratch(usize(threads.count()), DeltaChunks(kernels, rows));
  threads.run(heads.value_heads,
              [&](int64_t head, int thread) { scratch[usize(thread)].run(head, memory.ptr<float>(head)); });
}

}  // namespace claa::cpu
