// Pooling, aggregation, top-k, gathers, copies and the making of backends, against naive versions.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>

#include "backend/host_ops.h"
#include "conformance/backend_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;

float naive_pool(const std::vector<float>& in, int64_t t, PoolKind kind, int64_t kernel) {
  std::optional<float> best;
  double sum = 0;
  for (int64_t k = 0; k < kernel; ++k) {
    const int64_t at = t + k - kernel / 2;  // an even kernel looks one place further to the left
    if (at < 0 || at >= static_cast<int64_t>(in.size())) continue;
    sum += in[usize(at)];
    best = std::max(best.value_or(in[usize(at)]), in[usize(at)]);
  }
  return kind == PoolKind::kMax ? *best : static_cast<float>(sum / static_cast<double>(kernel));
}

TEST(Pooling, AgainstNaive) {
  test::Random random(3);
  for (const size_t tokens : {1u, 2u, 7u, 100u}) {
    std::vector<float> in(tokens), out(tokens);
    for (float& value : in) value = random.normal();
    for (const int64_t kernel : {1, 2, 3, 4, 7, 13, 300}) {
      for (const PoolKind kind : {PoolKind::kAverage, PoolKind::kMax}) {
        host::pool(in.data(), static_cast<int64_t>(tokens), kind, kernel, out.data());
        for (size_t t = 0; t < tokens; ++t) {
          EXPECT_NEAR(out[t], naive_pool(in, static_cast<int64_t>(t), kind, kernel), 1e-6)
              << "tokens " << tokens << ", kernel " << kernel << ", at " << t;
        }
      }
    }
  }
}

// By hand, in f64: every query row of every listed head is pooled, normalised and weighted; then the heads of
// a group and what is left of the heads are kept, summed or maximised.
struct NaiveScores {
  int64_t heads, group, rows, tokens;
  std::vector<float> in;  // [heads, rows, tokens]

  std::vector<double> finished(int64_t head, int64_t row, const ScoreSpec& spec, double weight) const {
    const auto begin = in.begin() + (head * rows + row) * tokens;
    const std::vector<float> raw(begin, begin + tokens);
    std::vector<double> out(raw.begin(), raw.end());
    for (int64_t t = 0; spec.pool != PoolKind::kNone && t < tokens; ++t)
      out[usize(t)] = naive_pool(raw, t, spec.pool, spec.kernel);
    const double sum = std::accumulate(out.begin(), out.end(), 0.0);
    for (double& value : out) value *= spec.normalize_heads ? (sum > 0 ? weight / sum : 0) : weight;
    return out;
  }
  static void fold(Reduce reduce, const std::vector<double>& from, std::vector<double>& to) {
    for (size_t t = 0; t < to.size(); ++t)
      to[t] = reduce == Reduce::kSum ? to[t] + from[t] : std::max(to[t], from[t]);
  }
  // [rows, kept heads] of scores.
  std::vector<std::vector<double>> reduced(const ScoreSpec& spec) const {
    std::vector<std::vector<double>> out;
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<std::vector<double>> grouped, kept;
      for (int64_t h = 0; h < heads; ++h) {
        const double weight = spec.only.empty() ? 1 : spec.only[usize(h)].weight;
        const std::vector<double> row = finished(h, r, spec, weight);
        if (spec.group == Reduce::kKeep || h % group == 0) {
          grouped.push_back(row);
        } else {
          fold(spec.group, row, grouped.back());
        }
      }
      for (const std::vector<double>& row : grouped) {
        if (spec.heads == Reduce::kKeep || kept.empty()) {
          kept.push_back(row);
        } else {
          fold(spec.heads, row, kept.back());
        }
      }
      out.insert(out.end(), kept.begin(), kept.end());
    }
    return out;
  }
  void check(const ScoreSpec& spec) const {
    const std::vector<std::vector<double>> want = reduced(spec);
    std::vector<float> scratch = in;
    Array got(DType::kF32, static_cast<int64_t>(want.size()), tokens);
    host::reduce_scores(scratch, heads, heads / group, rows, tokens, spec, got.tensor);
    for (size_t r = 0; r < want.size(); ++r) {
      for (size_t t = 0; t < want[r].size(); ++t) {
        EXPECT_NEAR(got.get(0, static_cast<int64_t>(r), static_cast<int64_t>(t)), want[r][t], 1e-5)
            << "rows " << rows << ", pool " << static_cast<int>(spec.pool) << ", group "
            << static_cast<int>(spec.group) << ", heads " << static_cast<int>(spec.heads) << ", normalised "
            << spec.normalize_heads << ", chosen " << spec.only.size() << ", result " << r << ", token " << t;
      }
    }
  }
};

TEST(ReduceScores, AgainstNaive) {
  test::Random random(11);
  for (const int64_t rows : {1, 3}) {
    NaiveScores naive{6, 3, rows, 13, std::vector<float>(usize(6 * rows * 13))};
    for (float& value : naive.in) value = std::abs(random.normal());
    std::fill_n(naive.in.begin() + 13 * rows, 13, 0.0f);  // a row that has no sum to be normalised by
    for (const Reduce group : {Reduce::kKeep, Reduce::kSum, Reduce::kMax}) {
      for (const Reduce heads : {Reduce::kKeep, Reduce::kSum, Reduce::kMax}) {
        for (const PoolKind pool : {PoolKind::kNone, PoolKind::kAverage, PoolKind::kMax}) {
          for (const bool normalize : {false, true}) {
            ScoreSpec spec;
            spec.rows = rows > 1 ? Reduce::kKeep : Reduce::kSum, spec.window = rows;
            spec.group = group, spec.heads = heads, spec.pool = pool, spec.kernel = 4;
            spec.normalize_heads = normalize;
            naive.check(spec);
            if (group != Reduce::kKeep) continue;
            spec.only = {{0, 1.0f}, {3, 0.5f}, {1, 2.0f}, {5, 1.0f}, {2, 0.0f}, {4, 1.0f}};
            naive.check(spec);
          }
        }
      }
    }
  }
}

// Layers oldest first, as host rows.
using Rows = std::vector<std::vector<double>>;

double mean_of(const std::vector<double>& row) {
  return std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(row.size());
}

// Ranks by (score desc, index asc); 0 is the best.
std::vector<double> ranks(const std::vector<double>& scores) {
  std::vector<double> result(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    for (size_t j = 0; j < scores.size(); ++j) {
      result[i] += scores[j] > scores[i] || (scores[j] == scores[i] && j < i) ? 1 : 0;
    }
  }
  return result;
}

std::vector<double> naive_aggregate(const std::vector<Rows>& layers, Aggregator aggregator, double base) {
  const size_t tokens = layers[0][0].size();
  const bool maximum = aggregator == Aggregator::kRawMax || aggregator == Aggregator::kZscoreMax;
  std::vector<double> out(tokens, maximum ? -INFINITY : 0.0);
  for (size_t l = aggregator == Aggregator::kSumSingle ? layers.size() - 1 : 0; l < layers.size(); ++l) {
    std::vector<double> sum(tokens);
    for (std::vector<double> row : layers[l]) {
      if (aggregator == Aggregator::kZscoreMax &&
          tokens > 1) {  // undefined for one token, which stays unchanged
        double squares = 0;
        const double mean = mean_of(row);
        for (const double x : row) squares += (x - mean) * (x - mean);
        const double deviation = std::sqrt(squares / static_cast<double>(tokens - 1));
        for (double& x : row) x = (x - mean) / (deviation + 1e-6);
      }
      for (size_t t = 0; t < tokens; ++t) {
        out[t] =
            maximum ? std::max(out[t], row[t]) : out[t] + (aggregator == Aggregator::kRankSum ? 0 : row[t]);
        sum[t] = static_cast<float>(sum[t] + row[t]);  // ties of the summed scores are ties in f32
      }
    }
    if (aggregator == Aggregator::kRankSum) {
      const std::vector<double> rank = ranks(sum);
      for (size_t t = 0; t < tokens; ++t) out[t] -= std::pow(base, static_cast<double>(l)) * rank[t];
    }
  }
  return out;
}

class HostOps : public test::BackendTest {};

TEST_P(HostOps, Aggregate) {
  for (const int64_t tokens : {1, 2, 61}) {
    for (const size_t count : {1u, 4u}) {
      std::vector<std::unique_ptr<Array>> arrays;
      std::vector<Tensor> tensors;
      std::vector<Rows> rows;
      for (size_t l = 0; l < count; ++l) {
        arrays.push_back(std::make_unique<Array>(DType::kF32, 3, tokens));
        arrays.back()->fill([this] { return std::round(random.normal() * 4) / 4; });  // with ties
        tensors.push_back(arrays.back()->tensor);
        rows.emplace_back(3, std::vector<double>(usize(tokens)));
        for (int64_t i = 0; i < 3 * tokens; ++i) {
          rows.back()[usize(i / tokens)][usize(i % tokens)] = arrays.back()->get(0, i / tokens, i % tokens);
        }
      }
      for (const Aggregator aggregator : {Aggregator::kRawMax, Aggregator::kZscoreMax, Aggregator::kRankSum,
                                          Aggregator::kSum, Aggregator::kSumSingle}) {
        Array out(DType::kF32, 1, tokens);
        backend->aggregate(tensors, aggregator, 1.5, out.tensor);
        const std::vector<double> want = naive_aggregate(rows, aggregator, 1.5);
        for (int64_t t = 0; t < tokens; ++t) {
          const double x = want[usize(t)];
          EXPECT_NEAR(out.get(0, 0, t), x, 1e-5 * (1 + std::abs(x)))
              << "aggregator " << static_cast<int>(aggregator) << ", layers " << count << ", token " << t;
        }
      }
    }
  }
}

// A constant row must not blow up the z-score, and never wins over a row that says something.
TEST_P(HostOps, ZscoreOfConstantRows) {
  Array flat(DType::kF32, 1, 5), out(DType::kF32, 1, 5);
  flat.fill([] { return 7.0f; });
  backend->aggregate(std::vector<Tensor>{flat.tensor}, Aggregator::kZscoreMax, 1.3, out.tensor);
  for (int64_t t = 0; t < 5; ++t) EXPECT_EQ(out.get(0, 0, t), 0.0f);
}

std::vector<int32_t> naive_top_k(const Array& scores, int64_t row, int64_t count, int64_t tail) {
  const int64_t tokens = scores.tensor.columns();
  std::vector<int32_t> order(usize(tokens));
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](int32_t i) {
    const float x = scores.get(0, row, i);
    return std::isnan(x) ? -std::numeric_limits<float>::infinity() : x;
  };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return key(a) > key(b); });
  order.resize(usize(count));
  std::sort(order.begin(), order.end());
  for (int64_t t = 0; t < tail; ++t) order.push_back(static_cast<int32_t>(tokens + t));
  return order;
}

TEST_P(HostOps, TopKWithTiesAndNan) {
  for (const int64_t tokens : {1, 2, 13, 300, 2500}) {
    Array scores(DType::kF32, 3, tokens);
    int64_t made = 0;
    scores.fill([&] {
      ++made;
      return made % 7 == 0 ? NAN : made % 11 == 0 ? -INFINITY : std::round(random.normal() * 2);
    });
    for (const int64_t count : {int64_t{0}, int64_t{1}, tokens / 3, tokens - 1, tokens}) {
      for (const int64_t tail : {0, 1, 8}) {
        Array out(DType::kI32, 3, count + tail);
        backend->top_k(scores.tensor, count, tail, out.tensor);
        for (int64_t r = 0; r < 3; ++r) {
          const int32_t* got = out.tensor.ptr<int32_t>(0, r);
          EXPECT_EQ(std::vector<int32_t>(got, got + count + tail), naive_top_k(scores, r, count, tail))
              << tokens << " tokens, " << count << " kept";
        }
      }
    }
  }
}

TEST_P(HostOps, TopKOfManyDistinctScores) {
  Array scores(DType::kF32, 2, 5000);
  scores.fill([&] { return random.normal() * std::exp(8 * random.normal()); });
  for (const int64_t count : {1, 7, 500, 4999}) {
    Array out(DType::kI32, 2, count);
    backend->top_k(scores.tensor, count, 0, out.tensor);
    for (int64_t r = 0; r < 2; ++r) {
      const int32_t* got = out.tensor.ptr<int32_t>(0, r);
      EXPECT_EQ(std::vector<int32_t>(got, got + count), naive_top_k(scores, r, count, 0)) << count << " kept";
    }
  }
}

TEST_P(HostOps, Gathers) {
  Array x(DType::kF32, 7, 5), rows(DType::kF32, 3, 5);
  x.fill(random.source());
  std::vector<int32_t> index = {0, 3, 6};
  backend->gather_rows(x.tensor, Tensor::matrix(index.data(), DType::kI32, 1, 3), rows.tensor);
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 5; ++c) EXPECT_EQ(rows.get(0, r, c), x.get(0, index[usize(r)], c));
  }

  Array k(dtype, 2, 9, 6), v(dtype, 2, 9, 6);
  k.fill(random.source()), v.fill(random.source());
  std::vector<int32_t> per_head = {1, 2, 7, 0, 3, 6}, shared = {0, 4, 6};
  const std::vector<Tensor> sets = {Tensor::matrix(per_head.data(), DType::kI32, 2, 3),
                                    Tensor::matrix(shared.data(), DType::kI32, 1, 3), Tensor{}};
  for (size_t s = 0; s < sets.size(); ++s) {
    Array to_k(dtype, 2, 11, 6), to_v(dtype, 2, 11, 6);
    const int64_t count = s == 2 ? 8 : 3;
    backend->gather_kv({k.tensor, v.tensor, 8}, sets[s], {to_k.tensor, to_v.tensor, count});
    for (int64_t i = 0; i < 2 * count * 6; ++i) {
      const int64_t head = i / (count * 6), slot = i / 6 % count, column = i % 6;
      const int64_t from = s == 0 ? per_head[usize(head * 3 + slot)] : s == 1 ? shared[usize(slot)] : slot;
      EXPECT_EQ(to_k.get(head, slot, column), k.get(head, from, column)) << "set " << s;
      EXPECT_EQ(to_v.get(head, slot, column), v.get(head, from, column)) << "set " << s;
    }
  }
}

// More slots than one thread copies at a time.
TEST_P(HostOps, GatherKvOfManySlots) {
  constexpr int64_t kFrom = 700, kTo = 600;
  Array k(dtype, 3, kFrom, 4), v(dtype, 3, kFrom, 4), to_k(dtype, 3, kTo, 4), to_v(dtype, 3, kTo, 4);
  k.fill(random.source()), v.fill(random.source());
  std::vector<int32_t> shared(kTo);
  for (size_t i = 0; i < shared.size(); ++i) shared[i] = static_cast<int32_t>(i + i / 6);
  for (const bool chosen : {true, false}) {
    const Tensor indices = chosen ? Tensor::matrix(shared.data(), DType::kI32, 1, kTo) : Tensor{};
    backend->gather_kv({k.tensor, v.tensor, kFrom}, indices, {to_k.tensor, to_v.tensor, kTo});
    for (int64_t head = 0; head < 3; ++head) {
      for (int64_t slot = 0; slot < kTo; ++slot) {
        const int64_t from = chosen ? shared[usize(slot)] : slot;
        ASSERT_EQ(to_k.get(head, slot, 3), k.get(head, from, 3)) << head << ", " << slot;
        ASSERT_EQ(to_v.get(head, slot, 0), v.get(head, from, 0)) << head << ", " << slot;
      }
    }
  }
}

TEST_P(HostOps, MemoryAndDescription) {
  const Buffer buffer = backend->allocate(100);
  EXPECT_EQ(buffer.bytes(), 100u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
  const std::string sent = "0123456789";
  std::string received(10, ' ');
  backend->upload(sent.data(), 10, buffer.data());
  backend->download(buffer.data(), 10, received.data());
  EXPECT_EQ(received, sent);
  EXPECT_NE(backend->allocate(0).data(), nullptr);
  EXPECT_THROW(backend->allocate(size_t{1} << 60), Error);
  EXPECT_EQ(backend->dtype(), dtype);
  EXPECT_NE(backend->description().find(dtype_name(dtype)), std::string::npos);
  EXPECT_GT(backend->traits().chunk_rows, 0);
}

TEST(MakeBackend, RefusesWhatThereIsNot) {
  EXPECT_THROW(make_backend({"tpu", DType::kF32, 1, ""}), Error);
  EXPECT_THROW(make_backend({"cpu", DType::kF32, 1, "sse"}), Error);
  EXPECT_EQ(best_dtype({"reference", DType::kF32, 1, ""}), DType::kF32);
  EXPECT_EQ(best_dtype({"cpu", DType::kF32, 1, "avx2"}), DType::kF32);
  EXPECT_STREQ(make_backend({"reference", DType::kBF16, 1, ""})->name(), "reference");
  EXPECT_STREQ(make_backend({"cpu", DType::kBF16, 1, "avx2"})->name(), "cpu");
}

// The bf16 kernels read pairs of bf16 where f32 values lie.
TEST(MakeBackend, Bf16KernelsAreForBf16Alone) {
  EXPECT_EQ(make_backend({"cpu", DType::kF32, 1, ""})->description().find("avx512bf16"), std::string::npos);
  EXPECT_EQ(make_backend({"cpu", DType::kBF16, 1, "avx512"})->description().find("avx512bf16"),
            std::string::npos);
}

CLAA_EVERY_DEVICE(HostOps);

}  // namespace
}  // namespace claa
