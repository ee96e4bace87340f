// Vectors that start on a cache line: loads of 64 bytes that cross one take twice as long, and the allocator
// of large blocks starts all of them 16 bytes behind a line. New elements are not set, so that memory is
// first touched by the thread that fills it.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace claa::cpu {

constexpr size_t kLine = 64;  // bytes of a cache line, and of the widest vector

template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class U>
  explicit LineAllocator(const LineAllocator<U>&) {}
  T* allocate(size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(kLine)));
  }
  template <class U>
  void construct(U* element) noexcept {
    ::new (static_cast<void*>(element)) U;
  }
  void deallocate(T* memory, size_t) { ::operator delete(memory, std::align_val_t(kLine)); }
  template <class U>
  bool operator==(const LineAllocator<U>&) const {
    return true;
  }
};

template <class T>
using AlignedVector = std::vector<T, LineAllocator<T>>;

}  // namespace claa::cpu
