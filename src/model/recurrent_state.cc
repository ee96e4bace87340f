#include "model/recurrent_state.h"

#include "core/usize.h"

namespace claa {

size_t recurrent_state_bytes(const DeltaSpec& delta) {
  const DeltaHeads& heads = delta.heads;
  if (heads.values() == 0) return 0;  // no layer is recurrent
  return usize(heads.values() * heads.size + (delta.width - 1) * heads.channels()) * sizeof(float);
}

RecurrentState make_recurrent_state(const DeltaSpec& delta, Backend& backend) {
  const DeltaHeads& heads = delta.heads;
  const size_t bytes = recurrent_state_bytes(delta);
  RecurrentState state{backend.allocate(bytes), {}};
  backend.clear(state.memory.data(), bytes);
  auto* values = static_cast<float*>(state.memory.data());
  state.view.memory = Tensor::cube(values, DType::kF32, heads.value_heads, heads.size, heads.size);
  state.view.columns =
      Tensor::matrix(values + heads.values() * heads.size, DType::kF32, delta.width - 1, heads.channels());
  return state;
}

}  // namespace claa
