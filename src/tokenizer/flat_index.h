// Two small hash indexes with open addressing: string to token id, and pair of ids to merge. They are built
// once and then only read; the tokenizer spends most of its time here.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/usize.h"

namespace claa {

// Maps strings to the ids under which they stand in some list of strings. The index holds only ids and
// hashes; the caller passes the list on each call.
class StringIndex {
 public:
  explicit StringIndex(size_t capacity) : slots_(std::bit_ceil(2 * capacity + 2)), mask_(slots_.size() - 1) {}

  // Returns false when an equal string is already there.
  template <typename Strings>
  bool insert(const Strings& strings, int32_t id) {
    const std::string_view key = strings[usize(id)];
    const size_t hash = hash_of(key);
    size_t i = hash & mask_;
    for (; slots_[i].id >= 0; i = (i + 1) & mask_) {
      if (matches(slots_[i], hash, key, strings)) return false;
    }
    slots_[i] = {static_cast<uint32_t>(hash >> 32), id};
    return true;
  }

  // Returns -1 when absent.
  template <typename Strings>
  int32_t find(const Strings& strings, std::string_view key) const {
    const size_t hash = hash_of(key);
    for (size_t i = hash & mask_; slots_[i].id >= 0; i = (i + 1) & mask_) {
      if (matches(slots_[i], hash, key, strings)) return slots_[i].id;
    }
    return -1;
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  static size_t hash_of(std::string_view key) { return std::hash<std::string_view>{}(key); }
  template <typename Strings>
  static bool matches(const Slot& slot, size_t hash, std::string_view key, const Strings& strings) {
    return slot.tag == static_cast<uint32_t>(hash >> 32) && strings[usize(slot.id)] == key;
  }

  std::vector<Slot> slots_;
  size_t mask_;
};

struct Merge {
  uint32_t rank;  // lower is earlier
  int32_t result;
};

class MergeIndex {
 public:
  explicit MergeIndex(size_t capacity) : slots_(std::bit_ceil(2 * capacity + 2)), mask_(slots_.size() - 1) {}

  // Returns false when the pair is already there.
  bool insert(int32_t left, int32_t right, Merge merge) {
    const uint64_t key = key_of(left, right);
    size_t i = place_of(key);
    for (; slots_[i].key != kEmpty; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return false;
    }
    slots_[i] = {key, merge};
    return true;
  }

  const Merge* find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t i = place_of(key); slots_[i].key != kEmpty; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return &slots_[i].merge;
    }
    return nullptr;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};  // two ids of -1: never a pair
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{};
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t place_of(uint64_t key) const {
    key *= 0x9E3779B97F4A7C15ull;
    return usize(key >> 32 ^ key >> 8) & mask_;
  }

  std::vector<Slot> slots_;
  size_t mask_;
};

}  // namespace claa
