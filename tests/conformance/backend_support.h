// Shared by the backend conformance tests: arrays of both activation types, devices, and a comparison that
// names the worst element.
//
// Error bounds. u = 2^-24 is the unit roundoff of f32, n the number of summed terms.
//  - A sum of n products in f32, in any order: n u sum|a b| (Higham, Accuracy and Stability, eq. 3.5). The
//  reference
//    sums in f64 and rounds once, which the same bound covers.
//  - exp as used by the kernels: 4e-7 relative, plus what its argument's rounding costs: e^(x + d) = e^x (1 +
//  d).
//  - An output in bf16: both sides round what differs by at most the f32 bound, so that they end at most one
//  bf16 ulp
//    further apart.
// bf16 inputs are the same bits on both sides and widen exactly; products of two are exact in f32.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "conformance/devices.h"
#include "conformance/staged_backend.h"
#include "core/usize.h"

namespace claa::test {

inline constexpr double kU = 0x1p-24;  // unit roundoff of f32
inline constexpr double kExp = 4e-7;   // relative error of the kernels' exp
// Error of a logit from its soft cap, as cap * (1 - 2 / (1 + e^2u)).
inline double cap_error(const SoftmaxRule& rule) {
  return static_cast<double>(rule.soft_cap) * (8 * kU + kExp);
}
inline constexpr double kBf16Round = 0x1p-8;  // unit roundoff of bf16

struct Device {
  std::string isa;  // of the cpu, or "cuda"
  DType dtype;
};

inline std::string device_name(const Device& device) {
  const std::string name =
      device.isa == "cuda" ? "cuda" : "cpu_" + (device.isa.empty() ? "best" : device.isa);
  return fmt::format("{}_{}", name, dtype_name(device.dtype));
}
inline std::unique_ptr<Backend> make_device(const Device& device) {
  if (device.isa == "cuda")
    return std::make_unique<StagedBackend>(make_backend({"cuda", device.dtype, 0, ""}));
  return make_backend({"cpu", device.dtype, 2, device.isa});
}
inline std::unique_ptr<Backend> make_reference(DType dtype) {
  return make_backend({"reference", dtype, 0, ""});
}
inline const std::vector<Device>& all_devices() {
#ifdef CLAA_TEST_CUDA
  static const std::vector<Device> devices = {{"cuda", DType::kF32}, {"cuda", DType::kBF16}};
#else
  static const std::vector<Device> devices = [] {
    std::vector<Device> listed = {
        {"", DType::kF32},       {"", DType::kBF16},       {"avx2", DType::kF32},     {"avx2", DType::kBF16},
        {"avx512", DType::kF32}, {"avx512", DType::kBF16}, {"avx2bf16", DType::kBF16}};
    std::erase_if(listed, [](const Device& d) {
      return !is_a_device_of_its_own({"cpu", d.dtype, 1, d.isa});
    });
    return listed;
  }();
#endif
  return devices;
}
// True if the backend multiplies pairs of bf16, and so rounds probabilities to bf16.
inline bool native_bf16(const Backend& backend) {
  const std::string description = backend.description();
  return backend.dtype() == DType::kBF16 &&
         (description.find("avx512bf16") != std::string::npos ||
          description.find("avx2bf16") != std::string::npos || description.find("cuda") != std::string::npos);
}

// The distance of neighbouring bf16 values at |x|.
inline double bf16_ulp(double x) {
  return x == 0 ? 0x1p-126 : std::ldexp(1.0, std::ilogb(x) - 7);
}

// A tensor with its memory. New ones hold NaN, so that an element which an operation forgets is noticed.
class Array {
 public:
  Array(DType dtype, int64_t planes, int64_t rows, int64_t columns)
      : words_(usize(planes * rows * columns) + 16, 0xffffffffu) {
    tensor = Tensor::cube(words_.data(), dtype, planes, rows, columns);
  }
  Array(DType dtype, int64_t rows, int64_t columns) : Array(dtype, 1, rows, columns) {}
  // The tensor points into the memory: movable only with it.
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  float get(int64_t plane, int64_t row, int64_t column) const {
    if (tensor.dtype == DType::kBF16) return to_float(tensor.ptr<Bf16>(plane, row)[column]);
    return tensor.ptr<float>(plane, row)[column];
  }
  void set(int64_t plane, int64_t row, int64_t column, float value) {
    if (tensor.dtype == DType::kBF16) {
      tensor.ptr<Bf16>(plane, row)[column] = to_bf16(value);
    } else {
      tensor.ptr<float>(plane, row)[column] = value;
    }
  }
  void fill(const std::function<float()>& next) {
    for (int64_t p = 0; p < tensor.planes(); ++p) {
      for (int64_t r = 0; r < tensor.rows(); ++r) {
        for (int64_t c = 0; c < tensor.columns(); ++c) set(p, r, c, next());
      }
    }
  }
  const void* bytes() const { return words_.data(); }

  Tensor tensor;

 private:
  std::vector<uint32_t> words_;
};

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  float normal() { return normal_(engine_); }
  std::function<float()> source(float scale = 1) {
    return [this, scale] { return scale * normal(); };
  }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<float> normal_;
};

// Fails with the worst element when any |want - got| exceeds bound(plane, row, column). Equal infinities
// agree.
inline void expect_close(const std::string& what, const Array& want, const Array& got,
                         const std::function<double(int64_t, int64_t, int64_t)>& bound) {
  double worst = 0;
  std::string where;
  for (int64_t p = 0; p < want.tensor.planes(); ++p) {
    for (int64_t r = 0; r < want.tensor.rows(); ++r) {
      for (int64_t c = 0; c < want.tensor.columns(); ++c) {
        const double x = want.get(p, r, c), y = got.get(p, r, c);
        if (x == y) continue;
        const double limit = bound(p, r, c) + 1e-37;
        const double excess = std::abs(x - y) / limit;
        if (!(excess <= 1) && !(excess < worst)) {
          worst = std::isnan(excess) ? HUGE_VAL : excess;
          where = fmt::format("[{}, {}, {}]: reference {}, got {}, bound {}", p, r, c, x, y, limit);
        }
      }
    }
  }
  EXPECT_TRUE(where.empty()) << what << ": worst element, " << worst << " bounds off: " << where;
}

// A bound with the rounding of the output's type added.
inline double with_output(const Array& want, int64_t p, int64_t r, int64_t c, double bound) {
  return want.tensor.dtype == DType::kBF16 ? bound + bf16_ulp(want.get(p, r, c)) : bound;
}

class BackendTest : public testing::TestWithParam<Device> {
 protected:
  BackendTest()
      : dtype(GetParam().dtype),
        backend(make_device(GetParam())),
        reference(make_reference(dtype)),
        random(1) {}
  DType dtype;
  std::unique_ptr<Backend> backend, reference;
  Random random;
};

// attention() of all rows of q, `step` rows per call.
inline void attention_in_parts(Backend& backend, const Tensor& q, const KvView& kv, const PackedKv& packed,
                               std::span<const int32_t> visible, int64_t step, const Tensor& out) {
  for (int64_t row = 0; row < q.rows(); row += step) {
    const int64_t rows = std::min(step, q.rows() - row);
    backend.attention(q.slice_rows(row, rows), kv, &packed, visible.subspan(usize(row), usize(rows)), {},
                      out.slice_rows(row, rows));
  }
}

#define CLAA_EVERY_DEVICE(Suite)                                                   \
  INSTANTIATE_TEST_SUITE_P(Devices, Suite, testing::ValuesIn(test::all_devices()), \
                           [](const auto& info) { return test::device_name(info.param); })

}  // namespace claa::test
