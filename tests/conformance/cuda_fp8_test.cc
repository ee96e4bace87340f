// Linear layers in FP8 against exact products: every factor is off by at most half a unit of three mantissa
// bits. Also the FP8 outputs of norms and of the gated activation, and products of these.
#include <cmath>

#include "conformance/backend_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;

// The value of an E4M3 number.
float decoded(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  const float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                    : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return bits & 0x80 ? -value : value;
}

// [rows, columns] in FP8 on the device.
class Fp8Rows {
 public:
  Fp8Rows(Backend& device, int64_t rows, int64_t columns)
      : device_(device),
        values_(device.allocate(usize(rows * columns))),
        scales_(device.allocate(usize(rows) * sizeof(float))) {
    tensor = Tensor::matrix(values_.data(), DType::kF8, rows, columns);
    tensor.scales = static_cast<float*>(scales_.data());
    device.clear(values_.data(), values_.bytes());
  }
  std::vector<float> to_host() const {
    std::vector<uint8_t> bits(values_.bytes());
    std::vector<float> scales(usize(tensor.rows())), values;
    device_.download(values_.data(), bits.size(), bits.data());
    device_.download(scales_.data(), scales_.bytes(), scales.data());
    for (size_t i = 0; i < bits.size(); ++i)
      values.push_back(decoded(bits[i]) * scales[i / usize(tensor.columns())]);
    return values;
  }
  Tensor tensor;

 private:
  Backend& device_;
  Buffer values_, scales_;
};

class Fp8 : public testing::Test {
 protected:
  Fp8() : random(4) {
    BackendOptions options{"cuda", DType::kBF16, 0, ""};
    options.fp8 = true;
    backend = std::make_unique<test::StagedBackend>(make_backend(options));
    device = make_backend(options);
    reference = test::make_reference(DType::kF32);
  }
  Buffer on_device(const Array& array) {
    Buffer memory = device->allocate(array.tensor.bytes());
    device->upload(array.tensor.data, array.tensor.bytes(), memory.data());
    return memory;
  }
  static void expect_rounded(const Array& want, const std::vector<float>& got, const std::string& what);
  void check_product(int64_t rows, int64_t first, int64_t outputs, int64_t inputs);
  void check(int64_t rows, int64_t outputs, int64_t inputs, DType out_type, bool accumulate);
  std::unique_ptr<Backend> backend, device, reference;  // `device` copies no tensors
  test::Random random;
};

// Half a unit of three mantissa bits, and of the smallest number beside the row's largest.
void Fp8::expect_rounded(const Array& want, const std::vector<float>& got, const std::string& what) {
  const int64_t rows = want.tensor.rows(), columns = want.tensor.columns();
  for (int64_t r = 0; r < rows; ++r) {
    float largest = 0;
    for (int64_t c = 0; c < columns; ++c) largest = std::max(largest, std::abs(want.get(0, r, c)));
    for (int64_t c = 0; c < columns; ++c) {
      const float value = want.get(0, r, c), bound = std::abs(value) / 15 + largest / 448 * 0x1p-9f;
      ASSERT_NEAR(got[usize(r * columns + c)], value, bound) << what << " at " << r << ", " << c;
    }
  }
}

void Fp8::check(int64_t rows, int64_t outputs, int64_t inputs, DType out_type, bool accumulate) {
  std::vector<float> weights(usize(outputs * inputs));
  for (float& value : weights) value = random.normal();
  const auto packed = backend->prepare({outputs, inputs, false, [&](int64_t first, int64_t count, float* to) {
                                          std::copy_n(weights.begin() + first * inputs, count * inputs, to);
                                        }});
  Array x(DType::kBF16, rows, inputs), out(out_type, rows, outputs), before(out_type, rows, outputs);
  x.fill(random.source());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      const float value = random.normal();
      out.set(0, r, o, value), before.set(0, r, o, value);
    }
  }
  backend->linear(x.tensor, *packed, out.tensor, accumulate);
  double squares = 0, errors = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0, magnitude = 0;
      for (int64_t i = 0; i < inputs; ++i) {
        const double product = double{x.get(0, r, i)} * weights[usize(o * inputs + i)];
        sum += product, magnitude += std::abs(product);
      }
      if (accumulate) sum += before.get(0, r, o);
      const double error = std::abs(out.get(0, r, o) - sum);
      // Two roundings of 2^-4, their product, and numbers so small beside the row's largest that they lose
      // more.
      EXPECT_LE(error, 0.14 * magnitude + 0.02 * std::sqrt(static_cast<double>(inputs)) + test::bf16_ulp(sum))
          << rows << " x " << outputs << " x " << inputs << " at " << r << ", " << o;
      squares += sum * sum, errors += error * error;
    }
  }
  EXPECT_LE(std::sqrt(errors / squares), 0.06) << rows << " x " << outputs << " x " << inputs;
}

TEST_F(Fp8, LinearOverShapes) {
  for (const int64_t rows : {1, 5, 64, 300}) {
    for (const auto& [outputs, inputs] : {std::pair{64, 64}, {128, 256}, {96, 61}, {1024, 576}}) {
      for (const bool accumulate : {false, true}) {
        check(rows, outputs, inputs, DType::kF32, accumulate);
        check(rows, outputs, inputs, DType::kBF16, accumulate);
      }
    }
  }
}

TEST_F(Fp8, Norms) {
  for (const int64_t columns : {1, 61, 64, 576, 4096}) {
    Array x(DType::kF32, 3, columns), weight(DType::kF32, 1, columns), want(DType::kF32, 3, columns);
    x.fill(random.source()), weight.fill(random.source());
    for (int64_t c = 0; c < columns; ++c) x.set(0, 2, c, 0);
    reference->rms_norm(x.tensor, weight.tensor, 1e-5f, want.tensor);
    const Buffer from = on_device(x), scale = on_device(weight);
    Fp8Rows out(*device, 3, columns);
    device->rms_norm(Tensor::matrix(from.data(), DType::kF32, 3, columns),
                     Tensor::matrix(scale.data(), DType::kF32, 1, columns), 1e-5f, out.tensor);
    expect_rounded(want, out.to_host(), fmt::format("rms_norm of {}", columns));
  }
}

// One kernel serves up to 16,384 columns, one up to 32,768, and one the rest and odd numbers.
TEST_F(Fp8, GatedActivation) {
  for (const int64_t columns : {7, 64, 1536, 14336, 18944, 32776}) {
    Array gate_up(DType::kBF16, 3, 2 * columns), want(DType::kF32, 3, columns);
    gate_up.fill(random.source(3));
    for (int64_t c = 0; c < columns; ++c) gate_up.set(0, 1, columns + c, 0);
    reference->gate(gate_up.tensor, Activation::kSilu, want.tensor);
    const Buffer from = on_device(gate_up);
    Fp8Rows out(*device, 3, columns);
    device->gate(Tensor::matrix(from.data(), DType::kBF16, 3, 2 * columns), Activation::kSilu, out.tensor);
    expect_rounded(want, out.to_host(), fmt::format("gate of {}", columns));
  }
}

// Rows that are FP8 already, from row `first` on: only the weight is rounded.
void Fp8::check_product(int64_t rows, int64_t first, int64_t outputs, int64_t inputs) {
  std::vector<float> weights(usize(outputs * inputs));
  for (float& value : weights) value = random.normal();
  const auto packed = device->prepare({outputs, inputs, false, [&](int64_t row, int64_t count, float* to) {
                                         std::copy_n(weights.begin() + row * inputs, count * inputs, to);
                                       }});
  Array gate_up(DType::kBF16, first + rows, 2 * inputs), out(DType::kF32, rows, outputs);
  gate_up.fill(random.source(3));
  const Buffer from = on_device(gate_up), to = on_device(out);
  Fp8Rows x(*device, first + rows, inputs);
  device->gate(Tensor::matrix(from.data(), DType::kBF16, first + rows, 2 * inputs), Activation::kSilu,
               x.tensor);
  device->linear(x.tensor.slice_rows(first, rows), *packed,
                 Tensor::matrix(to.data(), DType::kF32, rows, outputs), false);
  device->download(to.data(), out.tensor.bytes(), out.tensor.data);
  const std::vector<float> values = x.to_host();
  double squares = 0, errors = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < inputs; ++i)
        sum += double{values[usize((first + r) * inputs + i)]} * weights[usize(o * inputs + i)];
      const double error = out.get(0, r, o) - sum;
      squares += sum * sum, errors += error * error;
    }
  }
  EXPECT_LE(std::sqrt(errors / squares), 0.04)
      << rows << " rows from " << first << ", " << outputs << " x " << inputs;
}

TEST_F(Fp8, ProductsOfRowsInFp8) {
  for (const auto& [outputs, inputs] : {std::pair{64, 64}, {129, 256}, {96, 61}, {128, 4096}}) {
    for (const int64_t rows : {1, 5, 300}) {
      for (const int64_t first : {0, 3}) check_product(rows, first, outputs, inputs);
    }
  }
}

TEST_F(Fp8, RowsOfZerosStayZero) {
  const auto packed = backend->prepare(
      {16, 64, false, [](int64_t, int64_t count, float* to) { std::fill_n(to, count * 64, 0.5f); }});
  Array x(DType::kBF16, 4, 64), out(DType::kF32, 4, 16);
  x.fill([] { return 0.0f; });
  backend->linear(x.tensor, *packed, out.tensor, false);
  for (int64_t o = 0; o < 16; ++o) EXPECT_EQ(out.get(0, 3, o), 0.0f);
}

}  // namespace
}  // namespace claa
