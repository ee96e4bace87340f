#include "backend/cuda/fused_attention.h"

#include <cudnn_frontend.h>

#include <bit>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>

namespace claa::cuda {

namespace fe = cudnn_frontend;

int64_t padded_rows(int64_t rows) {
  const int64_t step = std::max<int64_t>(
      64, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(rows, 1)))) / 8);
  return (rows + step - 1) / step * step;
}

namespace {

enum Uid : int64_t { kQ = 1, kK, kV, kOut, kLengthQ, kLengthKv };

struct Shape {
  int64_t heads, kv_heads, head_size, rows, keys;  // rows and keys: of the bucket
  int64_t q_stride, out_stride, k_plane, v_plane;  // elements
  bool from_start;                                 // row 0 sees one key
  bool exact;  // the lengths are the bucket's: no mask of lengths is needed
  auto operator<=>(const Shape&) const = default;
};

// A plan with the workspace it needs; no graph when the library refuses the shape.
struct Plan {
  std::shared_ptr<fe::graph::Graph> graph;
  size_t workspace = 0;
};

Plan make_plan(cudnnHandle_t handle, const Shape& s) {
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
  return {graph, static_cast<size_t>(workspace)};
}

}  // namespace

struct FusedAttention::Library {
  cudaStream_t stream = nullptr;
  cudnnHandle_t handle = nullptr;
  std::map<Shape, Plan> plans;
};

FusedAttention::FusedAttention(cudaStream_t stream) : library_(std::make_unique<Library>()) {
  library_->stream = stream;
  const cudnnStatus_t created = cudnnCreate(&library_->handle);
  if (created != CUDNN_STATUS_SUCCESS)
    fail(ErrorCode::kUnsupported, "cuDNN: {}", cudnnGetErrorString(created));
  cudnnSetStream(library_->handle, stream);
}

FusedAttention::~FusedAttention() {
  library_->plans.clear();
  cudnnDestroy(library_->handle);
}

bool FusedAttention::run(const Tensor& q, const KvView& kv, int64_t first, UploadRing& ring,
                         const Tensor& out) {
  const int64_t d = kv.k.columns(), slots = kv.k.stride[0] / d, keys = first + q.rows();
  const int64_t row_bucket = padded_rows(q.rows()), key_bucket = std::min(slots, padded_rows(keys));
  const Shape shape{q.columns() / d,
                    kv.k.planes(),
                    d,
                    row_bucket,
                    key_bucket,
                    q.stride[1],
                    out.stride[1],
                    kv.k.stride[0],
                    kv.v.stride[0],
                    first == 0,
                    row_bucket == q.rows() && key_bucket == keys};
  auto found = library_->plans.find(shape);
  if (found == library_->plans.end())
    found = library_->plans.emplace(shape, make_plan(library_->handle, shape)).first;
  const Plan& plan = found->second;
  if (plan.graph == nullptr) return false;
  const Buffer workspace = allocate_async(plan.workspace, library_->stream);
  std::unordered_map<int64_t, void*> pack = {
      {kQ, q.data}, {kK, kv.k.data}, {kV, kv.v.data}, {kOut, out.data}};
  if (!shape.exact) {
    const int32_t lengths[] = {static_cast<int32_t>(q.rows()), static_cast<int32_t>(keys)};
    // The library takes pointers to what it reads as to what it writes.
    pack[kLengthQ] = const_cast<void*>(ring.upload(&lengths[0], sizeof(int32_t)));
    pack[kLengthKv] = const_cast<void*>(ring.upload(&lengths[1], sizeof(int32_t)));
  }
  auto status = plan.graph->execute(library_->handle, pack, workspace.data());
  if (status.is_bad()) fail(ErrorCode::kInternal, "attention: {}", status.get_message());
  return true;
}

}  // namespace claa::cuda
