// Device memory in the order of one stream: an allocation never waits, and freed memory is reused by later
// launches.
#pragma once

#include <list>
#include <vector>

#include "backend/cuda/check.h"
#include "core/tensor.h"

namespace claa::cuda {

// Throws kOutOfMemory with the requested size and what the device has.
[[noreturn]] void out_of_memory(size_t bytes);
// Throws the same.
Buffer allocate_async(size_t bytes, cudaStream_t stream);

// Memory that operations use one after another: it grows and never shrinks.
class Scratch {
 public:
  explicit Scratch(cudaStream_t stream) : stream_(stream) {}
  void* get(size_t bytes) {
    if (bytes > memory_.bytes()) memory_ = allocate_async(bytes, stream_);
    return memory_.data();
  }
  void* data() const { return memory_.data(); }

 private:
  cudaStream_t stream_;
  Buffer memory_;
};

// Page-locked memory through which small host arrays are copied, so that their upload waits for nothing. A
// piece is reused only after the copies out of it are done. The last few arrays stay on the device, because
// every layer asks for the same positions.
class UploadRing {
 public:
  explicit UploadRing(cudaStream_t stream);
  ~UploadRing();
  UploadRing(const UploadRing&) = delete;
  UploadRing& operator=(const UploadRing&) = delete;
  // A copy of `bytes` bytes of the host on the device; it must not be written to.
  const void* upload(const void* host, size_t bytes);

 private:
  struct Entry {
    std::vector<char> content;
    Buffer memory;
  };
  void copy(const Entry& entry);

  static constexpr int kHalves = 2;
  static constexpr size_t kHalfBytes = size_t{8} << 20;
  static constexpr size_t kEntries = 8;
  cudaStream_t stream_;
  char* memory_ = nullptr;
  cudaEvent_t done_[kHalves] = {};
  int half_ = 0;
  size_t used_ = 0;
  std::list<Entry> entries_;  // the latest first
};

}  // namespace claa::cuda
