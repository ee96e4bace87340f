#include "backend/activation.h"

#include <algorithm>

#include "core/usize.h"

namespace claa {
namespace {

size_t on_a_line(size_t bytes) {
  return (bytes + 255) / 256 * 256;  // a cache line, of a GPU too
}

int64_t groups_of(int64_t columns, int64_t group) {
  return (columns + group - 1) / group;
}

bool read_by_linear_layers(ActivationRole role) {
  return role == ActivationRole::kNormed || role == ActivationRole::kGated;
}

DType type_of(const DeviceTraits& device, ActivationRole role) {
  switch (role) {
    case ActivationRole::kProjected:
    case ActivationRole::kGateUp:
      return device.wide;
    case ActivationRole::kBranch:
      return DType::kF32;
    case ActivationRole::kIndices:
      return DType::kI32;
    case ActivationRole::kNormed:
    case ActivationRole::kGated:
    case ActivationRole::kQuery:
    case ActivationRole::kAttention:
      return device.dtype;
  }
  return device.dtype;
}

}  // namespace

size_t activation_bytes(const DeviceTraits& device, ActivationRole role, int64_t rows, int64_t columns) {
  const int64_t padded = device.padded(rows);
  const auto values = usize(padded * columns);
  const size_t bytes = on_a_line(values * dtype_bytes(type_of(device, role)));
  if (!read_by_linear_layers(role)) return bytes;
  const size_t scales = usize(padded * groups_of(columns, kI8GatedGroup)) * sizeof(float);
  return std::max(bytes, on_a_line(values) + on_a_line(scales));
}

Tensor activation(const DeviceTraits& device, ActivationRole role, int64_t rows, int64_t columns,
                  void* memory) {
  Tensor matrix = Tensor::matrix(memory, type_of(device, role), rows, columns);
  const bool in_fours = columns % 4 == 0;
  if (!read_by_linear_layers(role) || device.linear == device.dtype ||
      (device.linear == DType::kI8 && !in_fours))
    return matrix;
  // Values of 8 bits, then the scales of the rows on a line of their own.
  const int64_t group = role == ActivationRole::kNormed ? kI8Group : kI8GatedGroup;
  matrix.dtype = device.linear;
  matrix.row_scales = device.linear == DType::kI8 ? groups_of(columns, group) : 1;
  matrix.scales =
      reinterpret_cast<float*>(static_cast<char*>(memory) + on_a_line(usize(device.padded(rows) * columns)));
  return matrix;
}

}  // namespace claa
