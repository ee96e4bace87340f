// Counts as people read them.
#pragma once

#include <concepts>
#include <string>

namespace claa {

// "-12345" becomes "-12,345".
std::string group_decimal(std::string digits);

// 12,345. Every sentence, note and report writes its counts of tokens, bytes, prompts and results so. JSON,
// CSV and columns of measurements hold plain digits, and so do ids, offsets and values quoted from a file.
template <std::integral T>
std::string group_digits(T value) {
  return group_decimal(std::to_string(value));
}

}  // namespace claa
