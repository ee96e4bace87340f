// Sizes and indices of tensors are signed, those of containers are not: the one place where they meet.
#pragma once

#include <cstddef>
#include <type_traits>

namespace claa {

// A size or an index that is not negative, or an enumerator that is one, as a container takes it.
template <typename T>
requires std::is_integral_v<T> || std::is_enum_v<T>
constexpr size_t usize(T value) noexcept {
  return static_cast<size_t>(value);
}

}  // namespace claa
