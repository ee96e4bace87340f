// Window scores over the variants of ScoreSpec against the reference backend.
#include <algorithm>
#include <array>

#include "conformance/backend_support.h"

namespace claa {
namespace {

using test::Array;
using test::kU;

std::string text(const ScoreSpec& s, int64_t length) {
  return fmt::format(
      "window_scores length {}, window {}, softmax {}, scale {}, drop {}, rows {}, pool {}, kernel {}, group "
      "{}, heads "
      "{}, only {}, normalize {}",
      length, s.window, s.softmax, s.scale, s.drop_window, static_cast<int>(s.rows), static_cast<int>(s.pool),
      s.kernel, static_cast<int>(s.group), static_cast<int>(s.heads), s.only.size(), s.normalize_heads);
}

struct Shape {
  int64_t kv_heads, group, head_size, length;
};

class WindowScores : public test::BackendTest {
 protected:
  void check(const Shape& shape, const ScoreSpec& spec);
  SoftmaxRule rule;

  // The largest magnitude of a sum of |weights| over everything that the spec adds up, in units of one entry.
  static double summed(const ScoreSpec& spec, const Shape& shape) {
    double terms = spec.rows == Reduce::kSum ? static_cast<double>(spec.window) : 1;
    const double heads = static_cast<double>(spec.only.empty() ? shape.kv_heads * shape.group
                                                               : static_cast<int64_t>(spec.only.size()));
    if (spec.group == Reduce::kSum && spec.only.empty()) terms *= static_cast<double>(shape.group);
    if (spec.heads == Reduce::kSum) terms *= heads;
    double weight = 1;
    for (const HeadWeight& entry : spec.only) weight = std::max<double>(weight, std::abs(entry.weight));
    return terms * weight;
  }
};

// Softmax: each probability is off by a factor 1 + r with r = 2 D + exp + (length + 4) u, D the error of a
// logit (head_size products, scale, maximum, base change: u of the magnitude each; |q||k|/sqrt(d) stays below
// sqrt(d) * 4 + 8 here). Every later step sums or maximises, adding at most (terms + kernel) u of the
// magnitude. The magnitude of an entry is at most the number of summed probabilities, each at most 1;
// normalising by the sum keeps it below that. Raw: D itself, per summed product.
void WindowScores::check(const Shape& shape, const ScoreSpec& spec) {
  const int64_t heads = shape.kv_heads * shape.group, tokens = score_tokens(spec, shape.length);
  const int64_t rows = score_rows(spec, heads, shape.kv_heads);
  Array q(dtype, spec.window, heads * shape.head_size);
  Array k(dtype, shape.kv_heads, shape.length + 3, shape.head_size),
      v(dtype, shape.kv_heads, shape.length + 3, shape.head_size);
  for (Array* array : {&q, &k, &v}) array->fill(random.source());
  const KvView kv{k.tensor, v.tensor, shape.length};
  Array want(DType::kF32, rows, tokens), got(DType::kF32, rows, tokens);
  std::unique_ptr<PackedKv> expected, packed;
  reference->pack_kv(kv, rule, expected);
  backend->pack_kv(kv, rule, packed);
  reference->window_scores(q.tensor, kv, expected.get(), spec, rule, want.tensor);
  const double d = static_cast<double>(shape.head_size);
  const double logit = (std::sqrt(d) * 4 + 8) * (spec.scale ? 1 : std::sqrt(d));
  const double logit_error = (d + 6) * kU * logit + test::cap_error(rule);
  const double terms = summed(spec, shape);
  const double relative = 2 * logit_error + 2 * test::kExp +
                          (static_cast<double>(shape.length + spec.kernel) + 2 * terms + 8) * kU;
  // Entries differ in size by orders of magnitude, so the bound follows the entry where all terms are of one
  // sign.
  const bool one_sign = spec.softmax && std::all_of(spec.only.begin(), spec.only.end(),
                                                    [](const HeadWeight& e) { return e.weight >= 0; });
  const double absolute = terms * (spec.softmax ? relative : logit_error + 2 * (terms + 8) * kU * logit);
  for (const PackedKv* keys :
       {static_cast<const PackedKv*>(packed.get()), static_cast<const PackedKv*>(nullptr)}) {
    backend->window_scores(q.tensor, kv, keys, spec, rule, got.tensor);
    test::expect_close(text(spec, shape.length), want, got, [&](int64_t p, int64_t r, int64_t c) {
      if (!one_sign) return absolute;
      return (spec.normalize_heads ? 3 : 1) * 2 * relative * std::abs(want.get(p, r, c));
    });
  }
}

constexpr Reduce kReductions[] = {Reduce::kKeep, Reduce::kSum, Reduce::kMax};

TEST_P(WindowScores, SoftCapsAndSinks) {
  Array sinks(DType::kF32, 1, 6);
  const std::array<float, 6> values = {-30, 0, 1.5f, 3, 10, -1};
  std::copy(values.begin(), values.end(), sinks.tensor.ptr<float>());
  ScoreSpec chosen;
  chosen.group = Reduce::kKeep;
  chosen.only = {{4, 1}, {1, 0.5f}};
  ScoreSpec raw;
  raw.softmax = raw.scale = false;
  for (const float cap : {0.0f, 1.5f, 50.0f}) {
    for (const bool with_sinks : {false, true}) {
      rule = {cap, with_sinks ? sinks.tensor : Tensor()};
      for (const int64_t head_size : {24, 64}) {
        for (const ScoreSpec& spec : {ScoreSpec(), chosen, raw}) check({2, 3, head_size, 300}, spec);
      }
    }
  }
}

TEST_P(WindowScores, EveryReduction) {
  for (const Reduce rows : kReductions) {
    for (const Reduce group : kReductions) {
      for (const Reduce heads : kReductions) {
        for (const bool softmax : {true, false}) {
          for (const bool drop : {true, false}) {
            ScoreSpec spec;
            spec.rows = rows, spec.group = group, spec.heads = heads, spec.softmax = softmax;
            spec.drop_window = drop;
            // Raw scores of the window's own columns are -inf where causality hides them: pooling would
            // spread it.
            if (!softmax && !drop) spec.pool = PoolKind::kNone;
            check({2, 3, 24, 67}, spec);
          }
        }
      }
    }
  }
}

TEST_P(WindowScores, ShapesAndWindows) {
  for (const int64_t head_size : {2, 24, 40, 64, 80, 96, 128, 256, 512}) {
    for (const int64_t group : {1, 3, 4}) check({2, group, head_size, 129}, {});
  }
  for (const int64_t length : {2, 7, 16, 127, 128, 129, 300}) {
    for (const int64_t window : {1, 2, 5, 8, 16, 33}) {
      ScoreSpec spec;
      spec.window = window;
      if (window < length) check({1, 3, 40, length}, spec);
      spec.drop_window = false;
      if (window <= length) check({1, 3, 40, length}, spec);
    }
  }
}

TEST_P(WindowScores, Pooling) {
  for (const PoolKind pool : {PoolKind::kNone, PoolKind::kAverage, PoolKind::kMax}) {
    for (const int64_t kernel : {1, 2, 3, 6, 7, 64, 65, 501}) {
      ScoreSpec spec;
      spec.pool = pool, spec.kernel = kernel;
      check({2, 1, 24, 72}, spec);
      spec.softmax = false;
      check({2, 1, 24, 72}, spec);
    }
  }
}

TEST_P(WindowScores, WithoutScale) {
  ScoreSpec spec;
  spec.softmax = false, spec.scale = false, spec.window = 1, spec.kernel = 5, spec.drop_window = false;
  spec.group = Reduce::kKeep, spec.heads = Reduce::kSum;  // gemfilter's score
  check({2, 3, 64, 131}, spec);
}

TEST_P(WindowScores, ChosenHeads) {
  for (const Reduce heads : kReductions) {
    for (const Reduce rows : kReductions) {
      for (const bool normalize : {false, true}) {
        ScoreSpec spec;
        spec.group = Reduce::kKeep, spec.heads = heads, spec.rows = rows, spec.normalize_heads = normalize;
        spec.only = {{5, 0.5f}, {0, 2.0f}, {5, 1.0f}, {3, 0.0f}};
        check({2, 3, 24, 67}, spec);
        spec.only[0].weight = -0.5f;
        check({2, 3, 24, 67}, spec);
      }
    }
  }
}

TEST_P(WindowScores, NormalizedHeads) {
  ScoreSpec spec;
  spec.normalize_heads = true;
  check({2, 3, 24, 67}, spec);
  spec.group = Reduce::kMax, spec.heads = Reduce::kSum, spec.pool = PoolKind::kMax;
  check({2, 3, 24, 67}, spec);
}

// Scores of the window do not change with what other queries of the prompt are, and columns beyond the kept
// length of a plane never leak in: NaN keys behind the length must not matter.
TEST_P(WindowScores, SpareSlotsDoNotMatter) {
  Array q(dtype, 8, 48), k(dtype, 2, 90, 24), v(dtype, 2, 90, 24);
  for (Array* array : {&q, &k, &v}) array->fill(random.source());
  Array first(DType::kF32, 2, 59), again(DType::kF32, 2, 59);
  const KvView kv{k.tensor, v.tensor, 67};
  std::unique_ptr<PackedKv> packed;
  backend->pack_kv(kv, {}, packed);
  backend->window_scores(q.tensor, kv, packed.get(), {}, {}, first.tensor);
  for (int64_t slot = 67; slot < 90; ++slot) {
    for (int64_t i = 0; i < 24; ++i) k.set(0, slot, i, NAN), v.set(1, slot, i, NAN);
  }
  backend->pack_kv(kv, {}, packed);
  backend->window_scores(q.tensor, kv, packed.get(), {}, {}, again.tensor);
  for (int64_t t = 0; t < 59; ++t) EXPECT_EQ(first.get(0, 1, t), again.get(0, 1, t));
}

TEST_P(WindowScores, RefusesSenselessSpecs) {
  Array q(dtype, 8, 48), k(dtype, 2, 20, 24), out(DType::kF32, 2, 20);
  for (Array* array : {&q, &k}) array->fill(random.source());
  const KvView kv{k.tensor, k.tensor, 20};
  std::unique_ptr<PackedKv> packed;
  backend->pack_kv(kv, {}, packed);
  ScoreSpec wide, dropped, none, kernel, head, group;
  wide.window = 21, wide.drop_window = false;
  dropped.window = 20;
  none.window = 0;
  kernel.kernel = 0;
  head.only = {{2, 1}}, head.group = Reduce::kKeep;
  group.only = {{1, 1}};
  for (const ScoreSpec& spec : {wide, dropped, none, kernel, head, group}) {
    try {
      backend->window_scores(q.tensor, kv, packed.get(), spec, {}, out.tensor);
      ADD_FAILURE() << text(spec, 20) << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << text(spec, 20);
    }
  }
}

CLAA_EVERY_DEVICE(WindowScores);

}  // namespace
}  // namespace claa
