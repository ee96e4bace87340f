#include "backend/cuda/step_graph.h"

#include <algorithm>
#include <utility>

namespace claa::cuda {

StepGraph::StepGraph(cudaStream_t stream)
    : stream_(stream), device_numbers_(allocate_async(kMostNumbers * sizeof(int32_t), stream)) {
  check(cudaMallocHost(reinterpret_cast<void**>(&staged_), kMostNumbers * sizeof(int32_t)),
        "page-locked memory");
  check(cudaEventCreateWithFlags(&uploaded_, cudaEventDisableTiming), "event");
}

StepGraph::~StepGraph() {
  cudaStreamSynchronize(stream_);
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
  cudaEventDestroy(uploaded_);
  cudaFreeHost(staged_);
}

const int32_t* StepGraph::numbers(std::span<const int32_t> values) {
  const auto* memory = static_cast<const int32_t*>(device_numbers_.data());
  if (mode_ == Mode::kRecord) {
    const size_t at = std::exchange(used_, used_ + values.size());
    require(used_ <= values_.size(), "a recorded series asked for other numbers than before");
    return memory + at;
  }
  add(values.size());
  values_.insert(values_.end(), values.begin(), values.end());
  return memory;  // nothing is launched with it
}

void StepGraph::run(const std::function<void()>& work) {
  require(mode_ == Mode::kOff, "a series inside a series");
  walk(work);
  const bool fits = !refused_ && values_.size() <= kMostNumbers;
  const bool again = signature_ == previous_;
  previous_ = signature_;
  if (fits && (signature_ == recorded_ || (again && record(work)))) {
    upload();
    check(cudaGraphLaunch(graph_, stream_), "graph");
    return;
  }
  work();
}

void StepGraph::walk(const std::function<void()>& work) {
  signature_.clear();
  values_.clear();
  mode_ = Mode::kWalk;
  try {
    work();
  } catch (...) {
    mode_ = Mode::kOff;
    throw;
  }
  mode_ = Mode::kOff;
}

bool StepGraph::record(const std::function<void()>& work) {
  recorded_.clear();
  used_ = 0;
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "graph");
  mode_ = Mode::kRecord;
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    mode_ = Mode::kOff;
    cudaStreamEndCapture(stream_, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  mode_ = Mode::kOff;
  bool good = cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph != nullptr;
  if (good && graph_ != nullptr) {
    // The next prompt's steps differ only in addresses, and an update costs less than a new graph.
    cudaGraphExecUpdateResultInfo why{};
    if (cudaGraphExecUpdate(graph_, graph, &why) != cudaSuccess) {
      cudaGraphExecDestroy(std::exchange(graph_, nullptr));
    }
  }
  if (good && graph_ == nullptr) good = cudaGraphInstantiate(&graph_, graph, 0) == cudaSuccess;
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();  // after a failure, operations are launched one by one
  refused_ = !good;
  if (good) recorded_ = signature_;
  return good;
}

void StepGraph::upload() {
  check(cudaEventSynchronize(uploaded_), "graph");  // the last copy has left the staging memory
  std::copy(values_.begin(), values_.end(), staged_);
  check(cudaMemcpyAsync(device_numbers_.data(), staged_, values_.size() * sizeof(int32_t),
                        cudaMemcpyHostToDevice, stream_),
        "graph");
  check(cudaEventRecord(uploaded_, stream_), "graph");
}

}  // namespace claa::cuda
