// What a layer does with inputs of its own, and the scale of its output, against the reference backend.
#include <cstring>

#include "conformance/backend_support.h"

namespace claa {
namespace {

using test::Array;

class LayerInputs : public test::BackendTest {};

// A gate and what it multiplies may lie apart.
TEST_P(LayerInputs, GateApart) {
  for (const Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kClamped}) {
    for (const int64_t columns : {1, 7, 64, 131}) {
      Array gate_up(DType::kF32, 5, 2 * columns), gate(DType::kF32, 5, columns), up(DType::kF32, 5, columns);
      Array want(dtype, 5, columns), got(dtype, 5, columns);
      gate_up.fill(random.source(6));
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t c = 0; c < columns; ++c) {
          gate.set(0, r, c, gate_up.get(0, r, c));
          up.set(0, r, c, gate_up.get(0, r, columns + c));
        }
      }
      for (Backend* one : {backend.get(), reference.get()}) {
        one->gate(gate_up.tensor, activation, want.tensor);
        one->gate_apart(gate.tensor, up.tensor, activation, got.tensor);
        EXPECT_EQ(std::memcmp(want.tensor.data, got.tensor.data, want.tensor.bytes()), 0) << columns;
      }
    }
  }
}

TEST_P(LayerInputs, Scale) {
  for (const int64_t columns : {1, 7, 64, 300}) {
    Array want(DType::kF32, 5, columns), got(DType::kF32, 5, columns), factor(DType::kF32, 1, 1);
    got.fill(random.source(3)), factor.set(0, 0, 0, 0.37f);
    std::memcpy(want.tensor.data, got.tensor.data, got.tensor.bytes());
    reference->scale(want.tensor, factor.tensor);
    backend->scale(got.tensor, factor.tensor);
    EXPECT_EQ(std::memcmp(want.tensor.data, got.tensor.data, want.tensor.bytes()), 0) << columns;
    EXPECT_NE(got.get(0, 4, columns - 1), 0);
  }
}

CLAA_EVERY_DEVICE(LayerInputs);

}  // namespace
}  // namespace claa
