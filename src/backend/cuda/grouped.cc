#include "backend/cuda/grouped.h"

#include <numeric>

#include "core/usize.h"

namespace claa::cuda {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;

// Groups that have any rows, as cuBLAS takes them.
struct Listed {
  std::vector<const void*> weights, in, out;
  std::vector<int> rows;
};

Listed list_groups(const GroupedCall& call, const std::vector<int32_t>& counts) {
  Listed listed;
  const auto begin = counts.begin() + call.first;
  int64_t first = std::accumulate(counts.begin(), begin, int64_t{0});
  for (size_t g = 0; g < call.host_weights.size(); first += begin[static_cast<int64_t>(g++)]) {
    const int32_t rows = begin[static_cast<int64_t>(g)];
    if (rows == 0) continue;
    listed.weights.push_back(call.host_weights[g]);
    listed.in.push_back(static_cast<const char*>(call.x) + usize(first * call.inputs) * 2);
    listed.out.push_back(static_cast<const char*>(call.out) + usize(first * call.outputs) * 2);
    listed.rows.push_back(rows);
  }
  return listed;
}

}  // namespace

GroupedProducts::GroupedProducts(cudaStream_t stream)
    : stream_(stream), sm90_(have_grouped_sm90()), scratch_(stream) {}

GroupedProducts::~GroupedProducts() {
  if (handle_ != nullptr) cublasDestroy(handle_);
}

void GroupedProducts::run(const GroupedCall& call, GroupCounts& counts, UploadRing& ring) {
  if (!run_on_device(call, counts)) run_by_cublas(call, counts, ring);
}

bool GroupedProducts::run_on_device(const GroupedCall& call, const GroupCounts& counts) {
  if (!sm90_ || call.inputs % 8 != 0 || call.outputs % 8 != 0) return false;
  const auto groups = static_cast<int64_t>(call.host_weights.size());
  return grouped_sm90(
      {counts.device, call.weights, call.first, groups, call.x, call.out, call.inputs, call.outputs},
      scratch_.get(grouped_sm90_bytes(groups)), stream_);
}

// The library's matrices are column-major: out^T [outputs, rows] = W x^T with W stored transposed.
void GroupedProducts::run_by_cublas(const GroupedCall& call, GroupCounts& counts, UploadRing& ring) {
  constexpr const char* kWhat = "grouped products";
  if (handle_ == nullptr) {
    check(cublasCreate(&handle_), kWhat);
    workspace_ = allocate_async(kWorkspace, stream_);
    check(cublasSetStream(handle_, stream_), kWhat);
    check(cublasSetWorkspace(handle_, workspace_.data(), kWorkspace), kWhat);
  }
  if (counts.host.empty()) {
    counts.host.resize(usize(counts.groups));
    check(cudaMemcpyAsync(counts.host.data(), counts.device, counts.host.size() * sizeof(int32_t),
                          cudaMemcpyDeviceToHost, stream_),
          kWhat);
    check(cudaStreamSynchronize(stream_), kWhat);
  }
  const Listed groups = list_groups(call, counts.host);
  if (groups.rows.empty()) return;
  const size_t count = groups.rows.size(), bytes = count * sizeof(void*);
  const auto* a = static_cast<const void* const*>(ring.upload(groups.weights.data(), bytes));
  const auto* b = static_cast<const void* const*>(ring.upload(groups.in.data(), bytes));
  const auto* c = static_cast<void* const*>(ring.upload(groups.out.data(), bytes));
  const std::vector<cublasOperation_t> transposed(count, CUBLAS_OP_T), plain(count, CUBLAS_OP_N);
  const std::vector<int> m(count, static_cast<int>(call.outputs)), k(count, static_cast<int>(call.inputs)),
      one(count, 1);
  const std::vector<float> alpha(count, 1.0f), beta(count, 0.0f);
  check(cublasGemmGroupedBatchedEx(handle_, transposed.data(), plain.data(), m.data(), groups.rows.data(),
                                   k.data(), alpha.data(), a, CUDA_R_16BF, k.data(), b, CUDA_R_16BF, k.data(),
                                   beta.data(), c, CUDA_R_16BF, m.data(), static_cast<int>(count), one.data(),
                                   CUBLAS_COMPUTE_32F),
        kWhat);
}

}  // namespace claa::cuda
