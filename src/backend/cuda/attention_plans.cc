#include "backend/cuda/attention_plans.h"

#include <cmath>

#include "backend/cuda/check.h"
#include "backend/cuda_traits.h"
#include "core/usize.h"

namespace claa::cuda {

namespace fe = cudnn_frontend;

namespace {

constexpr int kPromptsBeforePlanning = 3;  // one prompt of a method may take two passes

AttentionPlan make_plan(cudnnHandle_t handle, const AttentionShape& s) {
  auto graph = std::make_shared<fe::graph::Graph>();
  graph->set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  const auto tensor = [&](const char* name, int64_t uid, std::vector<int64_t> dim,
                          std::vector<int64_t> stride) {
    return graph->tensor(
        fe::graph::Tensor_attributes().set_name(name).set_uid(uid).set_dim(dim).set_stride(stride));
  };
  const auto length = [&](const char* name, int64_t uid) {
    return graph->tensor(fe::graph::Tensor_attributes()
                             .set_name(name)
                             .set_uid(uid)
                             .set_dim({1, 1, 1, 1})
                             .set_stride({1, 1, 1, 1})
                             .set_data_type(fe::DataType_t::INT32));
  };
  const int64_t d = s.head_size;
  const auto q = tensor("q", kQ, {1, s.heads, s.rows, d}, {s.rows * s.q_stride, d, s.q_stride, 1});
  const auto k = tensor("k", kK, {1, s.kv_heads, s.keys, d}, {s.kv_heads * s.k_plane, s.k_plane, d, 1});
  const auto v = tensor("v", kV, {1, s.kv_heads, s.keys, d}, {s.kv_heads * s.v_plane, s.v_plane, d, 1});
  auto attributes = fe::graph::SDPA_attributes()
                        .set_name("attention")
                        .set_generate_stats(false)
                        .set_attn_scale(1.0f / std::sqrt(static_cast<float>(d)))
                        .set_diagonal_alignment(s.from_start ? fe::DiagonalAlignment_t::TOP_LEFT
                                                             : fe::DiagonalAlignment_t::BOTTOM_RIGHT)
                        .set_diagonal_band_right_bound(0);
  if (!s.exact) {
    attributes.set_padding_mask(true)
        .set_seq_len_q(length("rows", kLengthQ))
        .set_seq_len_kv(length("keys", kLengthKv));
  }
  const auto results = graph->sdpa(q, k, v, attributes);
  results[0]
      ->set_output(true)
      .set_uid(kOut)
      .set_dim({1, s.heads, s.rows, d})
      .set_stride({s.rows * s.out_stride, d, s.out_stride, 1});
  if (graph->build(handle, {fe::HeurMode_t::A}).is_bad()) return {};
  int64_t workspace = 0;
  if (graph->get_workspace_size(workspace).is_bad()) return {};
  return {graph, usize(workspace)};
}

}  // namespace

AttentionPlans::AttentionPlans(cudaStream_t stream) {
  const cudnnStatus_t created = cudnnCreate(&handle_);
  if (created != CUDNN_STATUS_SUCCESS)
    fail(ErrorCode::kUnsupported, "cuDNN: {}", cudnnGetErrorString(created));
  cudnnSetStream(handle_, stream);
}

AttentionPlans::~AttentionPlans() {
  stop_ = true;
  if (ahead_.joinable()) ahead_.join();
  plans_.clear();
  cudnnDestroy(handle_);
}

const AttentionPlan* AttentionPlans::find(const AttentionShape& shape) {
  const std::lock_guard lock(mutex_);
  const auto found = plans_.find(shape);
  return found == plans_.end() ? nullptr : &found->second;
}

const AttentionPlan& AttentionPlans::get(const AttentionShape& shape) {
  const AttentionPlan* plan = find(shape);
  if (plan == nullptr) {
    AttentionPlan made = make_plan(handle_, shape);
    const std::lock_guard lock(mutex_);
    plan = &plans_.emplace(shape, std::move(made)).first->second;
  }
  const bool whole = shape.from_start && shape.rows == shape.keys && plan->graph != nullptr;
  if (whole && prompts_ >= kPromptsBeforePlanning && !ahead_.joinable())
    ahead_ = std::thread([this, shape] { plan_ahead(shape); });
  return *plan;
}

void AttentionPlans::prompt_begins() {
  ++prompts_;
}

void AttentionPlans::plan_ahead(AttentionShape shape) {
  cudnnHandle_t own = nullptr;  // a handle serves one thread at a time
  if (cudnnCreate(&own) != CUDNN_STATUS_SUCCESS) return;
  for (const bool exact : {false, true}) {
    for (int64_t rows = padded_rows(1); rows <= kChunkRows && !stop_; rows = padded_rows(rows + 1)) {
      shape.rows = shape.keys = rows;
      shape.k_plane = shape.v_plane = rows * shape.head_size;  // a layer's K and V have room for the bucket
      shape.exact = exact;
      if (find(shape) != nullptr) continue;
      try {
        AttentionPlan plan = make_plan(own, shape);
        const std::lock_guard lock(mutex_);
        plans_.emplace(shape, std::move(plan));
      } catch (const std::exception&) {
        break;  // the caller that needs the plan will meet the failure and report it
      }
    }
  }
  cudnnDestroy(own);
}

}  // namespace claa::cuda
