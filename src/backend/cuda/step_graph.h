// A series of operations that repeats with other numbers, such as a decode step: it is recorded once as a
// CUDA graph, then replayed. Each time the series is walked through without launching anything. The memory of
// each operation is compared with the recording, and the numbers (ids, positions, slots, lengths) are
// gathered for the device memory from which the recorded kernels read them.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

#include "backend/cuda/memory.h"
#include "core/tensor.h"

namespace claa::cuda {

class StepGraph {
 public:
  explicit StepGraph(cudaStream_t stream);
  ~StepGraph();
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;

  // Launches `work`, which is called up to twice. It is recorded when it comes the second time in a row.
  void run(const std::function<void()>& work);

  // True inside run(), except while a series is launched operation by operation.
  bool active() const { return mode_ != Mode::kOff; }
  // True if the operation must be left out, since the series is only walked through. `parts` is everything
  // that an operation depends on except numbers(): tensors, addresses, sizes.
  template <typename... Parts>
  bool skips(int operation, const Parts&... parts) {
    if (mode_ != Mode::kWalk) return false;
    add(operation);
    (add(parts), ...);
    return true;
  }
  // Device address of numbers that change from one time to the next. Call it only while active.
  const int32_t* numbers(std::span<const int32_t> values);

 private:
  enum class Mode { kOff, kWalk, kRecord };

  template <typename T>
  void add(const T& value) {
    if constexpr (std::is_same_v<T, Tensor>) {
      const auto type = static_cast<uint64_t>(value.dtype);
      signature_.insert(signature_.end(), {reinterpret_cast<uintptr_t>(value.data), type});
      for (const int64_t extent : value.shape) signature_.push_back(static_cast<uint64_t>(extent));
      for (const int64_t stride : value.stride) signature_.push_back(static_cast<uint64_t>(stride));
      signature_.push_back(reinterpret_cast<uintptr_t>(value.scales));
    } else if constexpr (std::is_pointer_v<T>) {
      signature_.push_back(reinterpret_cast<uintptr_t>(value));
    } else if constexpr (std::is_floating_point_v<T>) {
      signature_.push_back(std::bit_cast<uint32_t>(static_cast<float>(value)));
    } else {
      signature_.push_back(static_cast<uint64_t>(value));
    }
  }
  void walk(const std::function<void()>& work);
  bool record(const std::function<void()>& work);  // returns false when the driver refuses
  void upload();

  static constexpr size_t kMostNumbers = 4096;  // in all operations of a series
  cudaStream_t stream_;
  Mode mode_ = Mode::kOff;
  bool refused_ = false;  // a recording failed, so none is tried again
  std::vector<uint64_t> signature_, previous_, recorded_;
  std::vector<int32_t> values_;
  size_t used_ = 0;  // numbers that a recording has requested
  Buffer device_numbers_;
  int32_t* staged_ = nullptr;  // page-locked
  cudaEvent_t uploaded_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace claa::cuda
