#include "core/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace claa {
namespace {

TEST(Bf16Test, RoundsToNearestEven) {
  EXPECT_EQ(to_bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808000u)).bits, 0x3f80) << "a tie goes to the even one";
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f818000u)).bits, 0x3f82);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808001u)).bits, 0x3f81);
  EXPECT_EQ(to_bf16(-0.0f).bits, 0x8000);
  EXPECT_TRUE(std::isinf(to_float(to_bf16(std::numeric_limits<float>::max()))));
  EXPECT_TRUE(std::isinf(to_float(to_bf16(std::numeric_limits<float>::infinity()))));
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001u))))) << "NaN stays NaN";
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7fffffffu)))));
}

TEST(Bf16Test, EveryValueSurvives) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = to_float(Bf16{static_cast<uint16_t>(bits)});
    if (!std::isnan(value)) {
      ASSERT_EQ(to_bf16(value).bits, bits);
    }
  }
}

TEST(TensorTest, ViewsOfRowsAndPlanes) {
  float data[2 * 3 * 4];
  for (int i = 0; i < 24; ++i) data[i] = static_cast<float>(i);
  const Tensor cube = Tensor::cube(data, DType::kF32, 2, 3, 4);
  EXPECT_EQ(cube.ptr<float>(1, 2)[3], 23);
  EXPECT_EQ(cube.bytes(), 96u);
  const Tensor rows = cube.slice_rows(1, 2);
  EXPECT_EQ(rows.rows(), 2);
  EXPECT_EQ(rows.ptr<float>(0, 0)[0], 4);
  EXPECT_EQ(rows.ptr<float>(1, 1)[3], 23);
  EXPECT_EQ(cube.slice_rows(3, 0).rows(), 0);
  EXPECT_THROW(cube.slice_rows(2, 2), Error);
  EXPECT_THROW(cube.slice_rows(-1, 1), Error);
  EXPECT_THROW(cube.slice_rows(0, -1), Error);
  const Tensor matrix = Tensor::matrix(data, DType::kBF16, 6, 4);
  EXPECT_EQ(matrix.bytes(), 48u);
  EXPECT_EQ(dtype_bytes(DType::kI32), 4u);
  EXPECT_STREQ(dtype_name(DType::kI32), "i32");
}

TEST(TensorTest, ScalesGoWithTheirRows) {
  uint8_t data[12] = {};
  float scales[6] = {};
  Tensor rounded = Tensor::matrix(data, DType::kI8, 3, 4);
  rounded.scales = scales, rounded.row_scales = 2;
  EXPECT_EQ(rounded.slice_rows(2, 1).scales, scales + 4);
  EXPECT_EQ(rounded.slice_rows(2, 1).ptr<uint8_t>(), data + 8);
  EXPECT_EQ(rounded.slice_rows(2, 1).row_scales, 2);
}

TEST(BufferTest, IsReleasedOnce) {
  int released = 0, value = 0;
  {
    Buffer first(&value, 4, [&](void* p) { released += p == &value; });
    const Buffer second = std::move(first);
    EXPECT_EQ(second.data(), &value);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
  EXPECT_EQ(Buffer{}.data(), nullptr);
}

}  // namespace
}  // namespace claa
