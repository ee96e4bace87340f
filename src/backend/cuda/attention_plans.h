// Plans of cuDNN's attention. Making one takes tens of milliseconds, so a process that sees several prompts
// makes those that later lengths will want while it does other work.
#pragma once

#include <cudnn_frontend.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace claa::cuda {

// What the tensors of a plan are called in its variant pack.
enum AttentionUid : int64_t { kQ = 1, kK, kV, kOut, kLengthQ, kLengthKv };

struct AttentionShape {
  int64_t heads, kv_heads, head_size, rows, keys;  // rows and keys: of the bucket
  int64_t q_stride, out_stride, k_plane, v_plane;  // elements
  bool from_start;                                 // row 0 sees one key
  bool exact;  // the lengths are the bucket's: no mask of lengths is needed
  auto operator<=>(const AttentionShape&) const = default;
};

// A plan with the workspace it needs; no graph when the library refuses the shape.
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
  // The plan of a shape, made if there is none yet. Valid as long as this.
  const AttentionPlan& get(const AttentionShape& shape);
  // Counts prompts: a process that answers one question alone need not plan ahead.
  void prompt_begins();

 private:
  const AttentionPlan* find(const AttentionShape& shape);
  // Plans for prompts of every bucket up to a chunk, whose heads and strides are those of `model`.
  void plan_ahead(AttentionShape model);

  cudnnHandle_t handle_ = nullptr;
  int prompts_ = 0;
  std::mutex mutex_;
  std::map<AttentionShape, AttentionPlan> plans_;  // under the mutex; what is in it stays
  std::atomic<bool> stop_ = false;
  std::thread ahead_;
};

}  // namespace claa::cuda
