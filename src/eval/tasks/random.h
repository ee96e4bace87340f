// Random numbers of an example. They are the same on every machine: the C++ standard fixes the generator, and
// the draws are made here because the standard's distributions are not fixed.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/usize.h"

namespace claa::eval {

class Random {
 public:
  // Examples that differ in any of the four have unrelated numbers, so that an example does not depend on
  // which others are made.
  Random(uint64_t seed, std::string_view task, int64_t length, int64_t index) {
    uint64_t state = 14695981039346656037ull;
    const auto mix = [&state](uint64_t value) { state = (state ^ value) * 1099511628211ull; };
    for (const char c : task) mix(static_cast<unsigned char>(c));
    for (const uint64_t value : {seed, static_cast<uint64_t>(length), static_cast<uint64_t>(index)}) {
      for (int byte = 0; byte < 8; ++byte) mix((value >> (8 * byte)) & 255);
    }
    bits_.seed(state);
  }

  // 0 to n - 1, evenly; n > 0. Rejecting the tail makes it even.
  int64_t below(int64_t n) {
    require(n > 0, "a draw from nothing");
    const uint64_t bound = static_cast<uint64_t>(n), limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value = bits_();
    while (value >= limit) value = bits_();
    return static_cast<int64_t>(value % bound);
  }
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }  // both included

  template <typename T>
  const T& choice(const std::vector<T>& items) {
    return items[usize(below(static_cast<int64_t>(items.size())))];
  }

  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[usize(below(static_cast<int64_t>(i)))]);
    }
  }

  // `count` different numbers of 0 to n - 1, in the order drawn; count <= n.
  std::vector<int64_t> sample(int64_t n, int64_t count) {
    require(count <= n, "a sample larger than what it is drawn from");
    std::vector<int64_t> all(usize(n));
    std::iota(all.begin(), all.end(), int64_t{0});
    for (int64_t i = 0; i < count; ++i) {
      std::swap(all[usize(i)], all[usize(i + below(n - i))]);
    }
    all.resize(usize(count));
    return all;
  }

  std::string letters(int64_t count, char first) {
    std::string text;
    for (int64_t i = 0; i < count; ++i) text += static_cast<char>(first + below(26));
    return text;
  }

  // A version 4 UUID.
  std::string uuid() {
    const uint64_t high = (bits_() & ~0xF000ull) | 0x4000ull;
    const uint64_t low = (bits_() & ~(3ull << 62)) | (2ull << 62);
    return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xFFFF,
                       high & 0xFFFF, low >> 48, low & 0xFFFFFFFFFFFFull);
  }

 private:
  std::mt19937_64 bits_;
};

}  // namespace claa::eval
