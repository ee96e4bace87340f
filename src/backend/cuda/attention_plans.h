// Plans of cuDNN's attention. Making one takes tens of milliseconds, so a process that sees several prompts
// makes the plans of later lengths while it does other work.
#pragma once

#include <cudnn_frontend.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace claa::cuda {

// Names of a plan's tensors in its variant pack.
enum AttentionUid : int64_t { kQ = 1, kK, kV, kOut, kLengthQ, kLengthKv };

struct AttentionShape {
  int64_t heads, kv_heads, head_size, rows, keys;  // rows and keys are the bucket's
  int64_t q_stride, out_stride, k_plane, v_plane;  // elements
  bool from_start;                                 // row 0 sees one key
  bool exact;  // the lengths equal the bucket's, so no mask of lengths is needed
  auto operator<=>(const AttentionShape&) const = default;
};

// A plan with the workspace it needs; it has no graph when the library refuses the shape.
struct AttentionPlan {
  std::shared_ptr<cudnn_frontend::graph::Graph> graph;
  size_t workspace = 0;
};

class AttentionPlans {
 public:
  explicit AttentionPlans(cudaStream_t stream);
  ~AttentionPlans();
  AttentionPlans(const AttentionPlans&) = delete;
  AttentionPlans& operator=(const AttentionPlans&) = delete;

  cudnnHandle_t handle() const { return handle_; }
  // The plan of a shape, made if there is none yet. It stays valid as long as this object.
  const AttentionPlan& get(const AttentionShape& shape);
  // Counts prompts: a process that answers only one question need not plan ahead.
  void prompt_begins();

 private:
  const AttentionPlan* find(const AttentionShape& shape);
  // Makes plans for prompts of every bucket up to a chunk, whose heads and strides are those of `model`.
  void plan_ahead(AttentionShape model);

  cudnnHandle_t handle_ = nullptr;
  int prompts_ = 0;
  std::mutex mutex_;
  std::map<AttentionShape, AttentionPlan> plans_;  // guarded by the mutex; entries stay
  std::atomic<bool> stop_ = false;
  std::thread ahead_;
};

}  // namespace claa::cuda
