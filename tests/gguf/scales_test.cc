// Scales that are tensors of their own, as in files of NVFP4.
#include "gguf/scales.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "claa/error.h"
#include "gguf/quants.h"
#include "gguf/writer.h"

namespace claa::gguf {
namespace {

using Data = std::vector<std::byte>;

Data floats(const std::vector<float>& values) {
  Data data(4 * values.size());
  std::memcpy(data.data(), values.data(), data.size());
  return data;
}

// A row of NVFP4: scales 1 (0x38 is 1 as E4M3) and the 16 values of the table, over and over.
Data nvfp4_row() {
  Data data(36, std::byte{0x38});
  for (size_t i = 0; i < 32; ++i) data[4 + i] = static_cast<std::byte>((i % 8) | (8 + i % 8) << 4);
  return data;
}

Writer with_scale(const std::vector<float>& scale) {
  Writer writer;
  Data rows = nvfp4_row();
  const Data row = nvfp4_row();
  rows.insert(rows.end(), row.begin(), row.end());
  writer.add_tensor("blk.0.ffn_up.weight", {64, 2}, TensorType::kNVFP4, rows);
  writer.add_tensor("blk.0.ffn_up.scale", {scale.size()}, TensorType::kF32, floats(scale));
  writer.add_tensor("blk.0.ffn_up.input_scale", {1}, TensorType::kF32, floats({3}));
  return writer;
}

TEST(Scales, MultiplyTheirTensor) {
  const Data bytes = with_scale({0.25f}).to_bytes();
  const File file = File::parse(bytes, "scaled.gguf");
  ASSERT_EQ(file.tensors().size(), 1u);
  const TensorInfo& tensor = file.tensors()[0];
  std::vector<float> plain(128), scaled(128);
  dequantize(tensor.type, tensor.data, plain);
  dequantize_rows(tensor, 0, scaled);
  EXPECT_EQ(plain[1], 0.5f);
  EXPECT_EQ(plain[7], 6.0f);
  EXPECT_EQ(plain[15], -6.0f);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(scaled[i], plain[i] * 0.25f) << i;
  std::vector<float> second(64);
  dequantize_rows(tensor, 1, second);
  EXPECT_EQ(second[7], 1.5f);
}

TEST(Scales, OneForEachExpert) {
  Writer writer;
  writer.add_tensor("e.weight", {2, 1, 3}, TensorType::kF32, floats({1, 2, 3, 4, 5, 6}));
  writer.add_tensor("e.scale", {3}, TensorType::kF32, floats({1, 10, 100}));
  const Data bytes = writer.to_bytes();
  const File file = File::parse(bytes, "experts.gguf");
  std::vector<float> values(6);
  dequantize_rows(file.tensors()[0], 0, values);
  EXPECT_THAT(values, testing::ElementsAre(1, 2, 30, 40, 500, 600));
}

TEST(Scales, TilesMayEndEarly) {
  auto scales = std::make_shared<TensorScales>();
  scales->tile_rows = 2;
  scales->tile_columns = 2;
  scales->tiles_per_row = 2;
  scales->values = {1, 2, 3, 4};
  const Data ones = floats({1, 1, 1, 1, 1, 1, 1, 1, 1});
  const TensorInfo tensor{"t", {3, 3}, TensorType::kF32, ones, scales};
  std::vector<float> values(9);
  dequantize_rows(tensor, 0, values);
  EXPECT_THAT(values, testing::ElementsAre(1, 1, 2, 1, 1, 2, 3, 3, 4));
  values.resize(3);
  dequantize_rows(tensor, 2, values);
  EXPECT_THAT(values, testing::ElementsAre(3, 3, 4));
}

TEST(Slices, AreReadAsOneTensor) {
  const Data first = floats({1, 2, 3, 4}), second = floats({5, 6, 7, 8});
  auto scales = std::make_shared<TensorScales>();
  scales->tile_rows = 2;
  scales->tile_columns = 2;
  scales->values = {1, 10};
  TensorInfo tensor{"t", {2, 2, 2}, TensorType::kF32, {}, scales};
  tensor.slices = {first, second};
  std::vector<float> values(8);
  dequantize_rows(tensor, 0, values);
  EXPECT_THAT(values, testing::ElementsAre(1, 2, 3, 4, 50, 60, 70, 80));
  values.resize(4);
  dequantize_rows(tensor, 1, values);
  EXPECT_THAT(values, testing::ElementsAre(3, 4, 50, 60));
  EXPECT_EQ(tensor.rows(3, 1).data(), second.data() + 8);
  EXPECT_THROW(tensor.rows(1, 2), Error);
  EXPECT_EQ(tensor.head(100).size(), 16u);
  EXPECT_EQ(tensor.tail(4).data(), second.data() + 12);
}

TEST(Scales, OfNoTensorStayInTheList) {
  Writer writer;
  writer.add_tensor("lonely.scale", {1}, TensorType::kF32, floats({1}));
  writer.add_tensor("a.weight", {1}, TensorType::kF32, floats({1}));
  writer.add_tensor("a.input_scale", {1}, TensorType::kF32, floats({1}));
  const Data bytes = writer.to_bytes();
  const File file = File::parse(bytes, "lonely.gguf");
  EXPECT_EQ(file.tensors().size(), 3u);
  EXPECT_NE(file.find_tensor("lonely.scale"), nullptr);
  EXPECT_NE(file.find_tensor("a.input_scale"), nullptr);
}

// A router multiplies its input by a number for each column; its weights stay as they are.
TEST(Scales, OfColumnsStayInTheList) {
  Writer writer;
  writer.add_tensor("router.weight", {3, 2}, TensorType::kF32, floats({1, 2, 3, 4, 5, 6}));
  writer.add_tensor("router.scale", {3}, TensorType::kF32, floats({7, 8, 9}));
  const Data bytes = writer.to_bytes();
  const File file = File::parse(bytes, "router.gguf");
  EXPECT_NE(file.find_tensor("router.scale"), nullptr);
  EXPECT_EQ(file.find_tensor("router.weight")->scales, nullptr);
}

TEST(Scales, OfAnotherFormAreRefused) {
  const auto refused = [](const Writer& writer, const char* part) {
    const Data bytes = writer.to_bytes();
    try {
      File::parse(bytes, "wrong.gguf");
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
      EXPECT_THAT(error.what(),
                  testing::AllOf(testing::HasSubstr("blk.0.ffn_up.scale"), testing::HasSubstr(part)));
    }
  };
  refused(with_scale({1, 2}), "has 2 values of type F32; 1 of type F32 are needed");
  refused(with_scale({INFINITY}), "holds inf");
}

}  // namespace
}  // namespace claa::gguf
