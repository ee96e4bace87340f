// Attention against the reference backend, and its independence from what a row does not see.
#include <array>
#include <cstring>
#include <numeric>

#include "conformance/backend_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;
using test::kU;

struct Shape {
  int64_t kv_heads, group, head_size, length, rows;
  int64_t capacity = 0;  // slots of a plane beyond the length
  std::string text() const {
    return fmt::format("attention {} KV heads x {}, head size {}, {} keys, {} rows", kv_heads, group,
                       head_size, length, rows);
  }
};

// Q, K and V of one case.
struct Inputs {
  Inputs(const Shape& shape, DType dtype, test::Random& random)
      : q(dtype, shape.rows, shape.kv_heads * shape.group * shape.head_size),
        k(dtype, shape.kv_heads, shape.length + shape.capacity, shape.head_size),
        v(dtype, shape.kv_heads, shape.length + shape.capacity, shape.head_size),
        view{k.tensor, v.tensor, shape.length} {
    for (Array* array : {&q, &k, &v}) array->fill(random.source());
  }
  Array q, k, v;
  KvView view;
};

// Per output: p |v| (2 D + (keys + 16) u + exp), D the worst error of a logit: head_size products, then
// scale, maximum and base change, each u of its magnitude. Native bf16 also rounds each probability.
std::function<double(int64_t, int64_t, int64_t)> attention_bound(const Shape& shape, const Inputs& in,
                                                                 const Array& want, bool native,
                                                                 const SoftmaxRule& rule) {
  double largest_v = 0, largest_logit = 0;
  for (int64_t h = 0; h < shape.kv_heads; ++h) {
    for (int64_t j = 0; j < shape.length; ++j) {
      for (int64_t i = 0; i < shape.head_size; ++i) {
        largest_v = std::max<double>(largest_v, std::abs(in.v.get(h, j, i)));
      }
    }
  }
  // sum|q k| <= |q| |k|; both norms of 6-sigma values.
  const double d = static_cast<double>(shape.head_size);
  largest_logit = std::sqrt(d) * 4 + 16;
  const double logit_error = (d + 6) * kU * largest_logit + test::cap_error(rule);
  const double relative = 4 * logit_error + (static_cast<double>(shape.length) + 16) * kU + 2 * test::kExp +
                          (native ? test::kBf16Round : 0);
  return [&want, relative, largest_v](int64_t p, int64_t r, int64_t c) {
    return test::with_output(want, p, r, c, relative * largest_v);
  };
}

class Attention : public test::BackendTest {
 protected:
  void run(Backend& on, const Inputs& in, const VisibleSlots& visible, bool pack, Array& out) {
    std::unique_ptr<PackedKv> packed;
    if (pack) on.pack_kv(in.view, rule, packed);
    on.attention(in.q.tensor, in.view, packed.get(), visible, rule, out.tensor);
  }
  void check(const Shape& shape, const VisibleSlots& visible, bool pack = true) {
    Inputs in(shape, dtype, random);
    Array want(dtype, shape.rows, in.q.tensor.columns()), got(dtype, shape.rows, in.q.tensor.columns());
    run(*reference, in, visible, pack, want);
    run(*backend, in, visible, pack, got);
    test::expect_close(shape.text(), want, got,
                       attention_bound(shape, in, want, test::native_bf16(*backend), rule));
  }
  SoftmaxRule rule;
  void check_causal(Shape shape) {
    shape.rows = shape.length;
    std::vector<int32_t> visible(usize(shape.length));
    std::iota(visible.begin(), visible.end(), 1);
    check(shape, visible);
  }
};

TEST_P(Attention, CausalOverHeadSizes) {
  for (const int64_t head_size : {2, 6, 24, 40, 64, 80, 128, 256, 512}) {
    for (const int64_t group : {1, 3, 4}) check_causal({2, group, head_size, 67, 0});
  }
}

TEST_P(Attention, CausalOverLengths) {
  for (const int64_t length : {1, 2, 7, 16, 33, 127, 128, 129, 300}) {
    for (const int64_t group : {1, 3, 4}) check_causal({1, group, 24, length, 0});
  }
}

TEST_P(Attention, GappyRowsAndSpareSlots) {
  const std::vector<int32_t> visible = {1, 2, 5, 64, 127, 128, 129, 200, 256, 257, 299};
  for (const int64_t group : {1, 3, 4}) {
    check({2, group, 40, 300, static_cast<int64_t>(visible.size()), 13}, visible);
  }
  const std::vector<int32_t> late = {130, 290, 291, 292, 300};
  check({1, 3, 128, 300, 5}, late);
}

// As at a selection layer: rows left over from many see growing prefixes, some of them equal. There are so
// many rows and heads that a GPU takes its largest tiles, and fewer; in both cases some rows see less than
// their tile's first keys.
TEST_P(Attention, ManyRowsThatSeeUnevenPrefixes) {
  for (const int64_t head_size : {64, 128}) {
    for (const auto& [kv_heads, rows] : {std::pair<int64_t, int64_t>{8, 900}, {1, 150}}) {
      std::vector<int32_t> visible;
      for (int64_t r = 0; r < rows; ++r)
        visible.push_back(static_cast<int32_t>(1 + r * r * 199 / (rows * rows)));
      check({kv_heads, 8, head_size, 200, rows, 3}, visible);
    }
  }
}

TEST_P(Attention, FewRowsWithoutPacking) {
  for (const int64_t length : {1, 7, 129, 300}) {
    for (const int64_t head_size : {2, 24, 80, 128, 512}) {
      const std::vector<int32_t> last = {static_cast<int32_t>(length)};
      check({2, 3, head_size, length, 1, 5}, last, false);
      check({2, 3, head_size, length, 1, 5}, last, true);
    }
  }
}

// Caps far below and above the logits; sinks that hardly count, that are all that counts, and between.
TEST_P(Attention, SoftCapsAndSinks) {
  Array sinks(DType::kF32, 1, 6);
  const std::array<float, 6> values = {-30, 0, 1.5f, 3, 40, -1};
  std::copy(values.begin(), values.end(), sinks.tensor.ptr<float>());
  for (const float cap : {0.0f, 1.5f, 50.0f}) {
    for (const bool with_sinks : {false, true}) {
      rule = {cap, with_sinks ? sinks.tensor : Tensor()};
      for (const int64_t head_size : {24, 64, 128, 512}) {
        check_causal({2, 3, head_size, 150, 0});
        check({2, 3, head_size, 600, 1, 5}, std::vector<int32_t>{600}, false);
        const std::vector<int32_t> end = {3, 129, 290, 300}, first = {0, 100, 128, 299};
        check({2, 3, head_size, 300, 4}, {end, first});
        std::vector<int32_t> ends(150), firsts(150);
        std::iota(ends.begin(), ends.end(), 1);
        for (size_t r = 100; r < 150; ++r) firsts[r] = static_cast<int32_t>(r - 100);
        check({2, 3, head_size, 150, 150}, {ends, firsts});
      }
    }
  }
}

// The keys of a single row are cut into chunks of 512, whose softmaxes are joined, and its heads into groups.
TEST_P(Attention, FewRowsOverChunksAndGroups) {
  for (const int64_t length : {511, 512, 513, 1500}) {
    const std::vector<int32_t> last = {static_cast<int32_t>(length)};
    check({2, 3, 64, length, 1, 5}, last, false);
  }
  const std::vector<int32_t> rows = {3, 512, 600};  // of one call, seeing different numbers of chunks
  for (const int64_t group : {1, 2, 4, 5, 6, 7, 9}) {
    for (const int64_t head_size : {64, 72, 128}) check({2, group, head_size, 600, 3, 5}, rows, false);
  }
}

// Sliding windows: rows see ranges of slots, among them single ones and such that begin within a block of
// keys, at its edge, and many blocks before its end.
TEST_P(Attention, SlidingWindows) {
  for (const int64_t head_size : {24, 64, 128, 512}) {
    for (const int32_t window : {1, 5, 64, 130, 512}) {
      std::vector<int32_t> first, end;
      for (int32_t row = 0; row < 300; ++row)
        end.push_back(row + 1), first.push_back(std::max(0, row + 1 - window));
      check({2, 3, head_size, 300, 300}, {end, first});
    }
  }
}

// Where tokens have been dropped, windows by position hold unequal numbers of slots, and some rows share
// their first.
TEST_P(Attention, SlidingWindowsOverGaps) {
  for (const auto& [kv_heads, rows] : {std::pair<int64_t, int64_t>{8, 900}, {1, 150}}) {
    std::vector<int32_t> first, end;
    for (int64_t r = 0; r < rows; ++r) {
      end.push_back(static_cast<int32_t>(1 + r * 199 / rows));
      first.push_back(static_cast<int32_t>(r * r * 190 / (rows * rows)));
      first.back() = std::min(first.back(), end.back() - 1);
    }
    check({kv_heads, 8, 64, 200, rows, 3}, {end, first});
  }
}

// As in decoding: chunks of keys that lie before the window count nothing.
TEST_P(Attention, FewRowsWithSlidingWindows) {
  const std::vector<int32_t> end = {600, 1300, 1500}, first = {599, 3, 1024};
  for (const int64_t group : {1, 2, 3, 4, 8}) {
    for (const int64_t head_size : {24, 64, 128})
      check({2, group, head_size, 1500, 3, 5}, {end, first}, false);
  }
}

// One tile holds many rows and heads; more rows than fit in any tile must not differ.
TEST_P(Attention, ManyHeadsOfAGroup) {
  check_causal({1, 16, 16, 50, 0});
}

#ifndef CLAA_TEST_CUDA  // a GPU chooses its kernels by the number of rows
// Bit for bit: with many rows in a call tiles are large, with few they are small and start elsewhere.
TEST_P(Attention, NoRowDependsOnTheOthersOfItsCall) {
  constexpr int64_t kRows = 400;
  const Shape shape{3, 3, 32, kRows, kRows};
  Inputs in(shape, dtype, random);
  std::vector<int32_t> visible(kRows);
  std::iota(visible.begin(), visible.end(), 1);
  Array whole(dtype, kRows, in.q.tensor.columns()), parts(dtype, kRows, in.q.tensor.columns());
  std::unique_ptr<PackedKv> packed;
  backend->pack_kv(in.view, {}, packed);
  backend->attention(in.q.tensor, in.view, packed.get(), visible, {}, whole.tensor);
  test::attention_in_parts(*backend, in.q.tensor, in.view, *packed, visible, 37, parts.tensor);
  EXPECT_EQ(std::memcmp(whole.bytes(), parts.bytes(), whole.tensor.bytes()), 0);
}
#endif

// Large logits: the running maximum must keep the softmax finite.
TEST_P(Attention, HugeLogitsStayFinite) {
  const Shape shape{1, 1, 64, 200, 8};
  Inputs in(shape, dtype, random);
  in.q.fill([this] { return 300 * random.normal(); });
  std::vector<int32_t> visible(8, 200);
  Array out(dtype, 8, 64);
  run(*backend, in, visible, true, out);
  for (int64_t r = 0; r < 8; ++r) {
    for (int64_t c = 0; c < 64; ++c) EXPECT_TRUE(std::isfinite(out.get(0, r, c))) << r << ", " << c;
  }
}

// Changing Q, K and V from position `first` on never changes a bit of an earlier row.
TEST_P(Attention, LaterTokensNeverChangeEarlierRows) {
  for (const int64_t group : {1, 3}) {
    const Shape shape{2, group, 24, 300, 300};
    Inputs in(shape, dtype, random);
    std::vector<int32_t> visible(300);
    std::iota(visible.begin(), visible.end(), 1);
    const int64_t columns = in.q.tensor.columns();
    Array before(dtype, 300, columns), after(dtype, 300, columns);
    run(*backend, in, visible, true, before);
    for (const int64_t first : {299, 257, 200, 128, 127, 3}) {
      for (int64_t t = first; t < 300; ++t) {
        for (int64_t c = 0; c < columns; ++c) in.q.set(0, t, c, 50 * random.normal());
        for (int64_t i = 0; i < 48; ++i) {
          in.k.set(i / 24, t, i % 24, 50 * random.normal());
          in.v.set(i / 24, t, i % 24, 1e30f);
        }
      }
      run(*backend, in, visible, true, after);
      EXPECT_EQ(std::memcmp(before.bytes(), after.bytes(), usize(first * columns) * dtype_bytes(dtype)), 0)
          << "group " << group << ": a row before " << first << " changed";
    }
  }
}

// Packed memory is reused from layer to layer: a shorter layer must not see the longer one's keys.
TEST_P(Attention, ReusedPackingForgetsTheLongerLayer) {
  std::unique_ptr<PackedKv> packed;
  Inputs longer({2, 2, 40, 300, 5}, dtype, random);
  backend->pack_kv(longer.view, {}, packed);
  const Shape shape{2, 2, 40, 37, 5};
  Inputs in(shape, dtype, random);
  const std::vector<int32_t> visible = {1, 9, 33, 36, 37};
  Array want(dtype, 5, 160), got(dtype, 5, 160);
  run(*reference, in, visible, true, want);
  backend->pack_kv(in.view, {}, packed);
  backend->attention(in.q.tensor, in.view, packed.get(), visible, {}, got.tensor);
  test::expect_close(shape.text(), want, got,
                     attention_bound(shape, in, want, test::native_bf16(*backend), rule));
}

CLAA_EVERY_DEVICE(Attention);

}  // namespace
}  // namespace claa
