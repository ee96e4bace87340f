#include "backend/cuda/grouped_sm90.h"

#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/group_array_problem_shape.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

namespace claa::cuda {
namespace {

using cute::Shape;
using Value = cutlass::bfloat16_t;
using RowMajor = cutlass::layout::RowMajor;
using ColumnMajor = cutlass::layout::ColumnMajor;
using Arch = cutlass::arch::Sm90;
using Tensors = cutlass::arch::OpClassTensorOp;
// The fastest of six tiles and schedules for the experts of Qwen3-30B-A3B at 1,638 to 8,192 tokens on an
// H200.
using Tile = Shape<cute::_128, cute::_256, cute::_64>;
using Cluster = Shape<cute::_1, cute::_1, cute::_1>;
constexpr int kAligned = 8;  // values in 16 bytes

using Epilogue = cutlass::epilogue::collective::CollectiveBuilder<
    Arch, Tensors, Tile, Cluster, cutlass::epilogue::collective::EpilogueTileAuto, float, float, void,
    RowMajor*, kAligned, Value, RowMajor*, kAligned, cutlass::epilogue::PtrArrayTmaWarpSpecializedCooperative,
    cutlass::epilogue::fusion::LinearCombination<Value, float, void, float>>::CollectiveOp;
using Mainloop = cutlass::gemm::collective::CollectiveBuilder<
    Arch, Tensors, Value, RowMajor*, kAligned, Value, ColumnMajor*, kAligned, float, Tile, Cluster,
    cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(sizeof(Epilogue::SharedStorage))>,
    cutlass::gemm::KernelPtrArrayTmaWarpSpecializedCooperative>::CollectiveOp;
using Problem = cutlass::gemm::GroupProblemShape<Shape<int, int, int>>;
using Kernel = cutlass::gemm::kernel::GemmUniversal<Problem, Mainloop, Epilogue>;
using Gemm = cutlass::gemm::device::GemmUniversalAdapter<Kernel>;
using StrideX = Kernel::InternalStrideA;
using StrideW = Kernel::InternalStrideB;
using StrideOut = Kernel::InternalStrideD;

// What the library reads of each group, in device memory.
struct Description {
  Problem::UnderlyingProblemShape* shapes;
  const Value** x;
  const Value** weights;
  Value** out;
  StrideX* x_strides;
  StrideW* weight_strides;
  StrideOut* out_strides;
};

// Places the arrays one after another from `memory` on; returns the bytes of all.
size_t place(Description& to, void* memory, int64_t groups) {
  char* next = static_cast<char*>(memory);
  const auto take = [&](auto*& array) {
    array = reinterpret_cast<std::remove_reference_t<decltype(array)>>(next);
    next += whole_lines(static_cast<size_t>(groups) * sizeof(*array));
  };
  take(to.shapes), take(to.x), take(to.weights), take(to.out);
  take(to.x_strides), take(to.weight_strides), take(to.out_strides);
  return static_cast<size_t>(next - static_cast<char*>(memory));
}

// One thread per group.
__global__ void describe_kernel(DeviceGroups call, Description to) {
  const int g = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (g >= call.groups) return;
  const int64_t group = call.first + g;
  int64_t first = 0;
  for (int64_t before = 0; before < group; ++before) first += call.counts[before];
  to.shapes[g] = {call.counts[group], static_cast<int>(call.outputs), static_cast<int>(call.inputs)};
  to.x[g] = static_cast<const Value*>(call.x) + first * call.inputs;
  to.weights[g] = static_cast<const Value*>(call.weights[g].values);
  to.out[g] = static_cast<Value*>(call.out) + first * call.outputs;
  cute::get<0>(to.x_strides[g]) = call.inputs;
  cute::get<0>(to.weight_strides[g]) = call.inputs;
  cute::get<0>(to.out_strides[g]) = call.outputs;
}

Gemm::Arguments arguments(const DeviceGroups& call, const Description& groups) {
  Gemm::Arguments result{cutlass::gemm::GemmUniversalMode::kGrouped,
                         {static_cast<int>(call.groups), groups.shapes, nullptr},
                         {groups.x, groups.x_strides, groups.weights, groups.weight_strides},
                         {{}, nullptr, groups.out_strides, groups.out, groups.out_strides}};
  auto& thread = result.epilogue.thread;
  thread.alpha = 1.0f, thread.beta = 0.0f;
  thread.dAlpha = {cute::_0{}, cute::_0{}, 0}, thread.dBeta = {cute::_0{}, cute::_0{}, 0};
  static const int multiprocessors = cutlass::KernelHardwareInfo::query_device_multiprocessor_count(0);
  result.hw_info.sm_count = multiprocessors;
  return result;
}

}  // namespace

bool have_grouped_sm90() {
  int device = 0, major = 0, minor = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess &&
         major == 9 && minor == 0;
}

size_t grouped_sm90_bytes(int64_t groups) {
  Description unused;
  DeviceGroups call;
  call.groups = groups;
  return place(unused, nullptr, groups) + Gemm::get_workspace_size(arguments(call, unused));
}

bool grouped_sm90(const DeviceGroups& call, void* memory, cudaStream_t stream) {
  constexpr unsigned kThreads = 128;
  Description groups;
  void* workspace = static_cast<char*>(memory) + place(groups, memory, call.groups);
  describe_kernel<<<static_cast<unsigned>((call.groups + kThreads - 1) / kThreads), kThreads, 0, stream>>>(
      call, groups);
  Gemm gemm;
  const Gemm::Arguments all = arguments(call, groups);
  return gemm.can_implement(all) == cutlass::Status::kSuccess &&
         gemm.initialize(all, workspace, stream) == cutlass::Status::kSuccess &&
         gemm.run(stream) == cutlass::Status::kSuccess;
}

}  // namespace claa::cuda
