// Tensor: a non-owning view of up to three dimensions, last one contiguous. It does no arithmetic. Buffer
// owns memory of one backend.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/check.h"
#include "core/usize.h"

namespace claa {

// kF8 is E4M3 with one scale per row. kI8 is 8 bits, stored plus 128, with one scale per fixed number of
// values in a row.
enum class DType : uint8_t { kF32, kBF16, kI32, kF8, kI8 };

constexpr size_t dtype_bytes(DType dtype) {
  return dtype == DType::kF8 || dtype == DType::kI8 ? 1 : dtype == DType::kBF16 ? 2 : 4;
}
constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kBF16:
      return "bf16";
    case DType::kI32:
      return "i32";
    case DType::kF8:
      return "fp8";
    case DType::kI8:
      return "int8";
  }
  return "";
}

// bfloat16: the upper half of an f32. Rounding is to nearest even; NaN stays NaN.
struct Bf16 {
  uint16_t bits = 0;
};
inline float to_float(Bf16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
inline Bf16 to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return {static_cast<uint16_t>(bits >> 16)};
}

// Memory of one backend; the function that allocated it frees it.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, size_t bytes, std::function<void(void*)> release)
      : data_(data, std::move(release)), bytes_(bytes) {}
  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, std::function<void(void*)>> data_{nullptr, [](void*) {}};
  size_t bytes_ = 0;
};

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::kF32;
  std::array<int64_t, 3> shape{1, 1, 1};  // [planes, rows, columns]
  std::array<int64_t, 2> stride{0, 0};    // elements between planes and between rows; columns are contiguous
  float* scales = nullptr;  // one per row of a kF8 or kI8 matrix, or several: value = scale * stored
  int64_t row_scales = 1;   // scales per row

  static Tensor matrix(void* data, DType dtype, int64_t rows, int64_t columns) {
    return {data, dtype, {1, rows, columns}, {rows * columns, columns}};
  }
  static Tensor cube(void* data, DType dtype, int64_t planes, int64_t rows, int64_t columns) {
    return {data, dtype, {planes, rows, columns}, {rows * columns, columns}};
  }
  int64_t planes() const { return shape[0]; }
  int64_t rows() const { return shape[1]; }
  int64_t columns() const { return shape[2]; }
  size_t bytes() const { return usize(shape[0] * shape[1] * shape[2]) * dtype_bytes(dtype); }
  template <typename T>
  T* ptr(int64_t plane = 0, int64_t row = 0) const {
    return static_cast<T*>(data) + plane * stride[0] + row * stride[1];
  }
  // Address of an element, whatever its type.
  void* address(int64_t plane, int64_t row, int64_t column = 0) const {
    return static_cast<char*>(data) +
           usize(plane * stride[0] + row * stride[1] + column) * dtype_bytes(dtype);
  }
  // Rows [first, first + count) of every plane.
  Tensor slice_rows(int64_t first, int64_t count) const {
    require(first >= 0 && count >= 0 && first + count <= shape[1], "slice_rows: range outside the tensor");
    Tensor view = *this;
    view.data = static_cast<char*>(data) + usize(first * stride[1]) * dtype_bytes(dtype);
    view.shape[1] = count;
    if (scales != nullptr) view.scales += first * row_scales;
    return view;
  }
  // Columns [first, first + count) of every row, of a type without scales.
  Tensor slice_columns(int64_t first, int64_t count) const {
    require(first >= 0 && count >= 0 && first + count <= shape[2] && scales == nullptr,
            "slice_columns: range outside the tensor");
    Tensor view = *this;
    view.data = static_cast<char*>(data) + usize(first) * dtype_bytes(dtype);
    view.shape[2] = count;
    return view;
  }
};

}  // namespace claa
