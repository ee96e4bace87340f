// Tensors that lie otherwise in folders than in GGUF files: the order of their values, and shapes that do not
// fit.
#include "folder/parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "claa/error.h"
#include "gguf/quants.h"

namespace claa {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

class Part : public testing::Test {
 protected:
  // A tensor of F32 numbers, which count up, or of bytes that do.
  SafeTensor tensor(const std::vector<uint64_t>& shape, const std::string& dtype = "F32") {
    uint64_t count = 1;
    for (const uint64_t extent : shape) count *= extent;
    auto bytes = std::make_unique<std::vector<std::byte>>(count * (dtype == "F32" ? 4 : 1));
    for (uint64_t i = 0; i < count; ++i) {
      const auto value = static_cast<float>(i);
      if (dtype == "F32") {
        std::memcpy(bytes->data() + 4 * i, &value, 4);
      } else {
        (*bytes)[i] = static_cast<std::byte>(i);
      }
    }
    owned_.push_back(std::move(bytes));
    return {"layers.0.part", dtype, shape, *owned_.back()};
  }
  static gguf::TensorInfo as_is(const SafeTensor& tensor) {
    gguf::TensorInfo info;
    info.shape.assign(tensor.shape.rbegin(), tensor.shape.rend());
    info.data = tensor.data;
    return info;
  }
  std::vector<gguf::TensorInfo> make(const SafeTensor& from, PartForm form, const HeadOrder& heads = {},
                                     const SafeTensor* scales = nullptr) {
    const bool two = form == PartForm::kHalves || form == PartForm::kEveryOther ||
                     form == PartForm::kTransposedInTurn || form == PartForm::kMxfp4InTurn;
    const PartRule rule{"part", form, "first", two ? "second" : ""};
    return rearranged(from, as_is(from), scales, rule, heads, "folder", copies_);
  }
  static std::vector<float> values(const gguf::TensorInfo& info) {
    std::vector<float> all(info.elements());
    const uint64_t rows = info.elements() / info.shape[0];
    for (uint64_t row = 0; row < rows; ++row)
      gguf::dequantize_rows(info, row, std::span(all).subspan(row * info.shape[0], info.shape[0]));
    return all;
  }
  std::string refusal(const SafeTensor& from, PartForm form, const HeadOrder& heads = {},
                      const SafeTensor* scales = nullptr) {
    try {
      make(from, form, heads, scales);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  std::vector<std::unique_ptr<std::vector<std::byte>>> owned_, copies_;
};

constexpr HeadOrder kHeads{2, 6, 2};  // three value heads for each key head, of two values

// The first value head of each key head comes first: 0, 3, 1, 4, 2, 5.
TEST_F(Part, ValueHeadsAreTiled) {
  EXPECT_THAT(values(make(tensor({6}), PartForm::kHeads, kHeads)[0]), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(values(make(tensor({6, 2}), PartForm::kHeads, kHeads)[0]),
              ElementsAre(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11));
  EXPECT_THAT(values(make(tensor({12, 1}), PartForm::kHeadRows, kHeads)[0]),
              ElementsAre(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11));
  const gguf::TensorInfo convolution = make(tensor({20, 1, 1}), PartForm::kRowsBehindKeys, kHeads)[0];
  EXPECT_THAT(convolution.shape, ElementsAre(1, 20));
  EXPECT_THAT(values(convolution),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 10, 11, 16, 17, 12, 13, 18, 19));
  EXPECT_THAT(
      values(make(tensor({2, 12}), PartForm::kHeadColumns, kHeads)[0]),
      ElementsAre(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, 12, 13, 18, 19, 14, 15, 20, 21, 16, 17, 22, 23));
  const gguf::TensorInfo decay = make(tensor({6}), PartForm::kDecay, kHeads)[0];
  EXPECT_EQ(decay.type, gguf::TensorType::kF32);
  EXPECT_FLOAT_EQ(values(decay)[1], -std::exp(3.0f));
}

TEST_F(Part, AsManyKeyHeadsNeedNoCopy) {
  const SafeTensor from = tensor({8, 3});
  EXPECT_EQ(make(from, PartForm::kHeadRows, {4, 4, 2})[0].data.data(), from.data.data());
  EXPECT_TRUE(copies_.empty());
}

TEST_F(Part, ExpertsOfTwoTensors) {
  const auto halves = make(tensor({2, 4, 1}), PartForm::kHalves);
  EXPECT_THAT(halves[0].shape, ElementsAre(1, 2, 2));
  EXPECT_THAT(values(halves[0]), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(values(halves[1]), ElementsAre(2, 3, 6, 7));
  const auto biases = make(tensor({2, 4}), PartForm::kEveryOther);
  EXPECT_THAT(values(biases[0]), ElementsAre(0, 2, 4, 6));
  EXPECT_THAT(values(biases[1]), ElementsAre(1, 3, 5, 7));
  const auto turned = make(tensor({2, 2, 4}), PartForm::kTransposedInTurn);
  EXPECT_THAT(turned[0].shape, ElementsAre(2, 2, 2));
  EXPECT_THAT(values(turned[0]), ElementsAre(0, 4, 2, 6, 8, 12, 10, 14));
  EXPECT_THAT(values(turned[1]), ElementsAre(1, 5, 3, 7, 9, 13, 11, 15));
  EXPECT_EQ(turned[1].name, "second");
  EXPECT_THAT(values(make(tensor({1, 2, 3}), PartForm::kTransposed)[0]), ElementsAre(0, 3, 1, 4, 2, 5));
}

// Byte b holds the values b & 15, then b >> 4.
TEST_F(Part, BlocksOfFourBits) {
  constexpr float kValues[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0f, -0.5, -1, -1.5, -2, -3, -4, -6};
  const SafeTensor from = tensor({1, 2, 2, 16}, "U8");
  SafeTensor scales = tensor({1, 2, 2}, "U8");
  const std::vector<std::byte> exponents{std::byte{127}, std::byte{128}, std::byte{126}, std::byte{127}};
  scales.data = exponents;
  constexpr float kFactors[] = {1, 2, 0.5, 1};
  std::vector<float> expected;
  for (size_t block = 0; block < 4; ++block) {
    for (size_t i = 16 * block; i < 16 * (block + 1); ++i) {
      expected.push_back(kFactors[block] * kValues[i % 16]);
      expected.push_back(kFactors[block] * kValues[i / 16]);
    }
  }
  const gguf::TensorInfo whole = make(from, PartForm::kMxfp4, {}, &scales)[0];
  EXPECT_EQ(whole.type, gguf::TensorType::kMXFP4);
  EXPECT_THAT(whole.shape, ElementsAre(64, 2, 1));
  EXPECT_THAT(values(whole), ElementsAreArray(expected));
  const auto rows = make(from, PartForm::kMxfp4InTurn, {}, &scales);
  EXPECT_THAT(values(rows[0]), ElementsAreArray(expected.begin(), expected.begin() + 64));
  EXPECT_THAT(values(rows[1]), ElementsAreArray(expected.begin() + 64, expected.end()));
}

TEST_F(Part, NumbersLoseDimensionsOfOne) {
  EXPECT_THAT(make(tensor({1, 3}), PartForm::kNumbers)[0].shape, ElementsAre(3));
  EXPECT_THAT(make(tensor({1}), PartForm::kNumbers)[0].shape, ElementsAre(1));
}

TEST_F(Part, ShapesThatDoNotFitAreRefused) {
  EXPECT_THAT(refusal(tensor({5}), PartForm::kHeads, kHeads), HasSubstr("has the shape [5]; one of 6 rows"));
  EXPECT_THAT(refusal(tensor({6, 2}), PartForm::kHeadRows, kHeads), HasSubstr("one of 12 rows"));
  EXPECT_THAT(refusal(tensor({12, 2}), PartForm::kRowsBehindKeys, kHeads), HasSubstr("one of 20 rows"));
  EXPECT_THAT(refusal(tensor({12, 2}), PartForm::kHeadColumns, kHeads), HasSubstr("one of 12 columns"));
  EXPECT_THAT(refusal(tensor({12}), PartForm::kHeadColumns, kHeads), HasSubstr("two dimensions"));
  EXPECT_THAT(refusal(tensor({7}), PartForm::kDecay, kHeads), HasSubstr("one of 6 rows"));
  EXPECT_THAT(refusal(tensor({2, 3, 1}), PartForm::kHalves), HasSubstr("an even second"));
  EXPECT_THAT(refusal(tensor({2, 4}), PartForm::kHalves), HasSubstr("three dimensions"));
  EXPECT_THAT(refusal(tensor({2, 3}), PartForm::kEveryOther), HasSubstr("an even second"));
  EXPECT_THAT(refusal(tensor({2, 2, 3}), PartForm::kTransposedInTurn), HasSubstr("an even third"));
  EXPECT_THAT(refusal(tensor({4}), PartForm::kTransposed), HasSubstr("three dimensions"));
  const SafeTensor blocks = tensor({1, 2, 2, 16}, "U8");
  const SafeTensor few = tensor({1, 2, 1}, "U8"), floats = tensor({1, 2, 2});
  EXPECT_THAT(refusal(blocks, PartForm::kMxfp4),
              HasSubstr("tensor of scales of type U8 and shape [1, 2, 2]"));
  EXPECT_THAT(refusal(blocks, PartForm::kMxfp4, {}, &few), HasSubstr("tensor of scales"));
  EXPECT_THAT(refusal(blocks, PartForm::kMxfp4, {}, &floats), HasSubstr("tensor of scales"));
  EXPECT_THAT(refusal(tensor({1, 2, 2, 8}, "U8"), PartForm::kMxfp4), HasSubstr("the last of 16"));
  EXPECT_THAT(refusal(tensor({1, 3, 1, 16}, "U8"), PartForm::kMxfp4InTurn), HasSubstr("the last of 16"));
  EXPECT_THAT(refusal(tensor({0, 2, 1, 16}, "U8"), PartForm::kMxfp4), HasSubstr("the last of 16"));
}

}  // namespace
}  // namespace claa
