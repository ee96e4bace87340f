#include "backend/cuda/memory.h"

#include <algorithm>
#include <cstring>

#include "core/usize.h"

namespace claa::cuda {

namespace {

// Returns small free blocks to the device, so that the driver can merge them.
void give_back_unused(cudaStream_t stream) {
  cudaGetLastError();
  cudaMemPool_t pool = nullptr;
  if (cudaStreamSynchronize(stream) == cudaSuccess && cudaDeviceGetDefaultMemPool(&pool, 0) == cudaSuccess)
    cudaMemPoolTrimTo(pool, 0);
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const char* text = cudaGetErrorString(status);
  switch (status) {
    case cudaErrorMemoryAllocation:
      fail(ErrorCode::kOutOfMemory, "{}: {}; use a shorter prompt or a smaller model", what, text);
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorInitializationError:
      fail(ErrorCode::kUnsupported, "device cuda: {}; update the NVIDIA driver, or choose --device cpu",
           text);
    default:
      fail(ErrorCode::kInternal, "{}: {} ({})", what, text, cudaGetErrorName(status));
  }
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::kOutOfMemory : ErrorCode::kInternal, "{}: {}", what,
       cublasLtGetStatusString(status));
}

void out_of_memory(size_t bytes) {
  size_t free_bytes = 0, all = 0;
  cudaMemGetInfo(&free_bytes, &all);
  fail(
      ErrorCode::kOutOfMemory,
      "cannot allocate {} bytes on the GPU, which has {} of {} free; use a shorter prompt or a smaller model",
      bytes, free_bytes, all);
}

Buffer allocate_async(size_t bytes, cudaStream_t stream) {
  void* data = nullptr;
  cudaError_t status = cudaMallocAsync(&data, std::max<size_t>(bytes, 16), stream);
  if (status != cudaSuccess) {
    give_back_unused(stream);
    status = cudaMallocAsync(&data, std::max<size_t>(bytes, 16), stream);
  }
  if (status != cudaSuccess) {
    cudaGetLastError();  // the failure is reported here, not at the next launch
    out_of_memory(bytes);
  }
  return Buffer(data, bytes, [stream](void* p) { cudaFreeAsync(p, stream); });
}

UploadRing::UploadRing(cudaStream_t stream) : stream_(stream) {
  check(cudaMallocHost(reinterpret_cast<void**>(&memory_), kHalves * kHalfBytes), "page-locked memory");
  for (cudaEvent_t& event : done_) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
}

UploadRing::~UploadRing() {
  cudaStreamSynchronize(stream_);
  for (const cudaEvent_t event : done_) cudaEventDestroy(event);
  cudaFreeHost(memory_);
}

const void* UploadRing::upload(const void* host, size_t bytes) {
  const auto* from = static_cast<const char*>(host);
  const auto same = [&](const Entry& entry) {
    return entry.content.size() == bytes && std::memcmp(entry.content.data(), from, bytes) == 0;
  };
  const auto found = std::find_if(entries_.begin(), entries_.end(), same);
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
  } else {
    entries_.push_front({{from, from + bytes}, allocate_async(bytes, stream_)});
    copy(entries_.front());
    if (entries_.size() > kEntries) entries_.pop_back();  // freed after the earlier launches
  }
  return entries_.front().memory.data();
}

void UploadRing::copy(const Entry& entry) {
  const size_t bytes = entry.content.size();
  for (size_t done = 0; done < bytes;) {
    if (used_ == kHalfBytes) {
      check(cudaEventRecord(done_[half_], stream_), "event");
      half_ = (half_ + 1) % kHalves;
      check(cudaEventSynchronize(done_[half_]), "upload");
      used_ = 0;
    }
    const size_t count = std::min(bytes - done, kHalfBytes - used_);
    char* staged = memory_ + usize(half_) * kHalfBytes + used_;
    std::memcpy(staged, entry.content.data() + done, count);
    check(cudaMemcpyAsync(static_cast<char*>(entry.memory.data()) + done, staged, count,
                          cudaMemcpyHostToDevice, stream_),
          "upload");
    done += count, used_ += count;
    used_ = std::min(kHalfBytes, (used_ + 255) / 256 * 256);
  }
}

}  // namespace claa::cuda
