#include "backend/cuda/linear.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "backend/cuda/convert.h"
#include "backend/cuda/fp8.h"
#include "backend/cuda/products.h"
#include "backend/cuda_traits.h"
#include "core/usize.h"

namespace claa::cuda {
namespace {

constexpr size_t kWorkspace = size_t{64} << 20;
constexpr int kSuggestions = 16;
constexpr int kTimedRuns = 3;
constexpr int64_t kTimedRows = 256;  // for fewer rows, products end before a choice could pay

// For FP8 with one scale per row the library suggests one algorithm. This one is of the same family, with
// another tile, walk over tiles and pair of blocks that share their loads; it needs 6 to 20 % less time for
// the products of an 8B model with 819 to 3,277 rows on an H100. Returns false where the algorithm has no
// such setting.
bool use_other_tile(cublasLtMatmulAlgo_t& algorithm) {
  const auto set = [&](cublasLtMatmulAlgoConfigAttributes_t attribute, const auto& value) {
    return cublasLtMatmulAlgoConfigSetAttribute(&algorithm, attribute, &value, sizeof(value)) ==
           CUBLAS_STATUS_SUCCESS;
  };
  return set(CUBLASLT_ALGO_CONFIG_TILE_ID, uint32_t{CUBLASLT_MATMUL_TILE_128x208}) &&
         set(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, uint32_t{5}) &&
         set(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, uint16_t{CUBLASLT_CLUSTER_SHAPE_2x1x1});
}

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F;
}

// Row counts that share a choice: an eighth of a power of two apart.
int64_t bucket_of(int64_t rows) {
  const int64_t step =
      std::max<int64_t>(1, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows))) / 8);
  return (rows + step - 1) / step * step;
}

struct Layout {
  Layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t stride) {
    check(cublasLtMatrixLayoutCreate(&value, type, static_cast<uint64_t>(rows),
                                     static_cast<uint64_t>(columns), stride),
          "matrix layout");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(value); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t value = nullptr;
};

// Largest power of two, up to 16, that divides both an address and the bytes of a row.
uint32_t alignment_of(const void* data, int64_t row_bytes) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>(row_bytes) | 16;
  return 1u << std::countr_zero(bits);
}

// One operand: [rows, columns] of a row-major matrix.
struct Operand {
  const void* data = nullptr;
  cudaDataType_t type = CUDA_R_32F;
  int64_t rows = 0, columns = 0, stride = 0;
  const float* scales = nullptr;  // one per row, for FP8

  uint32_t alignment() const {
    const int64_t bytes = type == CUDA_R_32F ? 4 : type == CUDA_R_16BF ? 2 : 1;
    return alignment_of(data, stride * bytes);
  }
};

// True if x is read as it is: FP8 with scales where the library may read them.
bool ready(const Tensor& x) {
  return x.dtype == DType::kF8 && reinterpret_cast<uintptr_t>(x.scales) % 16 == 0;
}
// Bytes that are missing for x in FP8: its scales, and its values unless they exist.
size_t fp8_scratch(const Tensor& x) {
  const int64_t values = x.dtype == DType::kF8 ? 0 : x.rows() * x.columns();
  return whole_lines(usize(values)) + usize(x.rows()) * sizeof(float);
}
Fp8Row fp8_row(const Tensor& x) {
  return {x.data, x.scales};
}
// True if one kernel multiplies a single row by a weight in FP8.
bool is_row_for_fp8(const Tensor& x, const void* weight, int64_t inputs) {
  return x.rows() == 1 && gemv_fp8_fits(fp8_row(x), weight, inputs);
}
BlockInput block_input(const Tensor& x) {
  return {x.data, value_type(x.dtype), x.dtype == DType::kF8 ? x.scales : nullptr};
}
bool is_row_for_blocks(const Tensor& x) {
  return x.rows() == 1 && gemv_blocks_fits(block_input(x), x.columns());
}
// The outputs that are unpacked at a time: a whole number of tiles, in memory that stays small beside a
// model.
int64_t unpacked_rows(const CudaWeight& weight, DType type) {
  constexpr int64_t kTile = 256;
  const size_t row = usize(weight.inputs) * dtype_bytes(type);
  const auto rows = static_cast<int64_t>(kUnpackedBytes / row) / kTile * kTile;
  return std::min(std::max(rows, kTile), weight.outputs);
}

Operand operand(const Tensor& t) {
  return {t.data, type_of(t.dtype), t.rows(), t.columns(), t.stride[1], nullptr};
}

}  // namespace

// out = x W^T (+ out). The library's matrices are column-major: out^T [outputs, rows] = W x^T with W stored
// transposed.
struct Linear::Problem {
  Problem(const Operand& input, const Operand& w, const Operand& output, bool add)
      : x(input),
        weight(w),
        out(output),
        accumulate(add),
        a(w.type, w.columns, w.rows, w.stride),
        b(x.type, x.columns, x.rows, x.stride),
        c(out.type, out.columns, out.rows, out.stride) {
    check(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "matrix product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    if (x.scales == nullptr) return;
    set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, weight.scales);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, x.scales);
    set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});
  }
  ~Problem() { cublasLtMatmulDescDestroy(operation); }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)), "matrix product");
  }
  ProductKey key() const {
    return {
        weight.rows, weight.columns, bucket_of(x.rows), static_cast<int>(x.type), static_cast<int>(out.type),
        accumulate};
  }
  cublasStatus_t run(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& algorithm, void* to,
                     const Buffer& workspace, cudaStream_t stream) const {
    const float one = 1, beta = accumulate ? 1 : 0;
    return cublasLtMatmul(handle, operation, &one, weight.data, a.value, x.data, b.value, &beta, to, c.value,
                          to, c.value, &algorithm, workspace.data(), kWorkspace, stream);
  }

  Operand x, weight, out;
  bool accumulate;
  Layout a, b, c;
  cublasLtMatmulDesc_t operation = nullptr;
};

Linear::Linear(cudaStream_t stream, const std::string& cache_folder)
    : stream_(stream),
      workspace_(allocate_async(kWorkspace, stream)),
      scratch_(stream),
      unpacked_(stream),
      stored_(cache_folder) {
  check(cublasLtCreate(&handle_), "cuBLASLt");
  check(cublasLtMatmulPreferenceCreate(&preference_), "cuBLASLt");
  const size_t workspace = kWorkspace;
  check(cublasLtMatmulPreferenceSetAttribute(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace, sizeof(workspace)),
        "cuBLASLt");
  check(cudaEventCreate(&start_), "event");
  check(cudaEventCreate(&stop_), "event");
}

Linear::~Linear() {
  cudaEventDestroy(start_);
  cudaEventDestroy(stop_);
  cublasLtMatmulPreferenceDestroy(preference_);
  cublasLtDestroy(handle_);
}

float Linear::time(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm, void* scratch) {
  if (problem.run(handle_, algorithm, scratch, workspace_, stream_) != CUBLAS_STATUS_SUCCESS)
    return std::numeric_limits<float>::infinity();
  check(cudaEventRecord(start_, stream_), "event");
  for (int i = 0; i < kTimedRuns; ++i) problem.run(handle_, algorithm, scratch, workspace_, stream_);
  check(cudaEventRecord(stop_, stream_), "event");
  check(cudaEventSynchronize(stop_), "matrix product");
  float ms = 0;
  check(cudaEventElapsedTime(&ms, start_, stop_), "event");
  return ms;
}

// A choice from a file is used only when the library agrees.
bool Linear::usable(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm) {
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(handle_, problem.operation, problem.a.value, problem.b.value,
                                 problem.c.value, problem.c.value, &algorithm,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
         result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kWorkspace;
}

Linear::Choice Linear::choose(const Problem& problem) {
  if (problem.x.rows >= kTimedRows) {
    // Timing takes longer than a neighbour's choice can cost.
    for (const cublasLtMatmulAlgo_t* known : {stored_.find(problem.key()), stored_.nearest(problem.key())}) {
      if (known != nullptr && usable(problem, *known)) return {true, *known};
    }
  }
  const auto limit = [this](cublasLtMatmulPreferenceAttributes_t attribute, const Operand& operand) {
    const uint32_t bytes = operand.alignment();
    check(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &bytes, sizeof(bytes)), "cuBLASLt");
  };
  limit(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, problem.weight);
  limit(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, problem.x);
  limit(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, problem.out);
  limit(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, problem.out);
  cublasLtMatmulHeuristicResult_t suggestions[kSuggestions];
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, problem.operation, problem.a.value, problem.b.value, problem.c.value, problem.c.value,
      preference_, kSuggestions, suggestions, &found);
  if (status != CUBLAS_STATUS_SUCCESS || found == 0) return {};
  if (problem.x.rows < kTimedRows) return {true, suggestions[0].algo};
  std::vector<cublasLtMatmulAlgo_t> candidates;
  for (int i = 0; i < found; ++i) candidates.push_back(suggestions[i].algo);
  if (problem.x.scales != nullptr) {
    cublasLtMatmulAlgo_t other = suggestions[0].algo;
    if (use_other_tile(other) && usable(problem, other)) candidates.push_back(other);
  }
  return choose_among(problem, candidates);
}

Linear::Choice Linear::choose_among(const Problem& problem,
                                    std::span<const cublasLtMatmulAlgo_t> candidates) {
  Choice best{true, candidates[0]};
  const size_t bytes = usize(problem.out.rows * problem.out.stride) * sizeof(float);
  const Buffer scratch = allocate_async(bytes, stream_);
  check(cudaMemsetAsync(scratch.data(), 0, bytes, stream_), "scratch");
  float best_ms = std::numeric_limits<float>::infinity();
  for (const cublasLtMatmulAlgo_t& candidate : candidates) {
    const float ms = time(problem, candidate, scratch.data());
    if (ms < best_ms) best_ms = ms, best.algorithm = candidate;
  }
  stored_.add(problem.key(), best.algorithm);
  return best;
}

bool Linear::run_library(const Problem& problem) {
  // Unaligned views, which tests make, must not share a choice with aligned ones.
  if (problem.x.alignment() != 16) return false;
  auto found = choices_.find(problem.key());
  if (found == choices_.end()) found = choices_.emplace(problem.key(), choose(problem)).first;
  return found->second.supported &&
         problem.run(handle_, found->second.algorithm, const_cast<void*>(problem.out.data), workspace_,
                     stream_) == CUBLAS_STATUS_SUCCESS;
}

void Linear::reserve(const Tensor& x, const CudaWeight& weight) {
  if (weight.parts.empty()) {
    if (!weight.fp8 || is_row_for_fp8(x, weight.memory.data(), weight.inputs)) return;
  } else {
    if (is_row_for_blocks(x)) return;
    const DType type = weight.fp8 ? DType::kF8 : x.dtype;
    unpacked_.get(usize(unpacked_rows(weight, type) * weight.inputs) * dtype_bytes(type));
  }
  if (weight.fp8 && !ready(x)) scratch_.get(fp8_scratch(x));
}

Tensor Linear::rounded(const Tensor& x) {
  if (ready(x)) return x;
  auto* scratch = static_cast<char*>(scratch_.get(fp8_scratch(x)));
  Tensor result = Tensor::matrix(x.data, DType::kF8, x.rows(), x.columns());
  if (x.dtype == DType::kF8) {
    result.scales = reinterpret_cast<float*>(scratch);
    check(cudaMemcpyAsync(scratch, x.scales, usize(x.rows()) * sizeof(float), cudaMemcpyDeviceToDevice,
                          stream_),
          "linear");
    return result;
  }
  result.data = scratch;
  result.scales = reinterpret_cast<float*>(scratch + whole_lines(usize(x.rows() * x.columns())));
  quantize_rows(view_of(x), result.data, result.scales, stream_);
  return result;
}

void Linear::run_fp8(const Tensor& x, const Matrix& weight, const Tensor& out, bool accumulate) {
  require(x.dtype != DType::kF8 || x.stride[1] == x.columns(), "linear: FP8 rows with gaps");
  if (is_row_for_fp8(x, weight.data, weight.inputs)) {
    gemv_fp8(fp8_row(x), weight.data, weight.scales, weight.inputs, view_of(out), accumulate, stream_);
    return;
  }
  const Tensor in = rounded(x);
  const Operand input{in.data, CUDA_R_8F_E4M3, in.rows(), in.columns(), in.columns(), in.scales};
  const Operand matrix{weight.data,   CUDA_R_8F_E4M3, weight.outputs,
                       weight.inputs, weight.inputs,  weight.scales};
  if (run_library({input, matrix, operand(out), accumulate})) return;
  linear_fp8_naive(in.data, in.scales, weight.data, weight.scales, weight.inputs, view_of(out), accumulate,
                   stream_);
}

void Linear::run_matrix(const Tensor& x, const Matrix& weight, const Tensor& out, bool accumulate) {
  if (weight.fp8) {
    run_fp8(x, weight, out, accumulate);
    return;
  }
  require(x.dtype != DType::kF8, "linear: FP8 rows for a weight of another type");
  const View rows{const_cast<void*>(weight.data),
                  x.dtype == DType::kBF16,
                  1,
                  weight.outputs,
                  weight.inputs,
                  0,
                  weight.inputs};
  if (gemv_fits(view_of(x), rows)) {
    gemv(view_of(x), rows, view_of(out), accumulate, stream_);
    return;
  }
  const Operand matrix{weight.data, type_of(x.dtype), weight.outputs, weight.inputs, weight.inputs, nullptr};
  if (run_library({operand(x), matrix, operand(out), accumulate})) return;
  linear_naive(view_of(x), rows, view_of(out), accumulate, stream_);
}

void Linear::run_block_row(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate) {
  int64_t first = 0;
  for (const BlockPart& part : weight.parts) {
    gemv_blocks(block_input(x), part, view_of(out.slice_columns(first, part.rows)), accumulate, stream_);
    first += part.rows;
  }
}

Linear::Matrix Linear::unpack(const CudaWeight& weight, DType type, int64_t first, int64_t count) {
  const size_t row_bytes = usize(weight.inputs) * dtype_bytes(type);
  auto* to = static_cast<char*>(unpacked_.get(usize(unpacked_rows(weight, type)) * row_bytes));
  const auto* scales = static_cast<const float*>(weight.scales.data());
  int64_t begin = 0;
  for (const BlockPart& part : weight.parts) {
    const int64_t from = std::max(first, begin), end = std::min(first + count, begin + part.rows);
    if (from < end) {
      unpack_blocks(
          part, from - begin, end - from,
          {to + usize(from - first) * row_bytes, value_type(type), weight.fp8 ? scales + from : nullptr},
          stream_);
    }
    begin += part.rows;
  }
  return {to, weight.fp8 ? scales + first : nullptr, count, weight.inputs, weight.fp8};
}

void Linear::run_blocks(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate) {
  if (is_row_for_blocks(x)) return run_block_row(x, weight, out, accumulate);
  const DType type = weight.fp8 ? DType::kF8 : x.dtype;
  const Tensor in = weight.fp8 ? rounded(x) : x;
  const int64_t step = unpacked_rows(weight, type);
  for (int64_t first = 0; first < weight.outputs; first += step) {
    const int64_t count = std::min(step, weight.outputs - first);
    run_matrix(in, unpack(weight, type, first, count), out.slice_columns(first, count), accumulate);
  }
}

void Linear::run(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate) {
  if (!weight.parts.empty()) return run_blocks(x, weight, out, accumulate);
  run_matrix(x,
             {weight.memory.data(), static_cast<const float*>(weight.scales.data()), weight.outputs,
              weight.inputs, weight.fp8},
             out, accumulate);
}

}  // namespace claa::cuda
