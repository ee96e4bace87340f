// Scales of a tensor that are tensors of their own, as NVFP4 has them: NAME.weight is multiplied by
// NAME.scale.
#pragma once

#include <string>
#include <vector>

#include "gguf/file.h"

namespace claa::gguf {

// Takes the scales out of the list and gives them to the tensors that they belong to; also takes out what
// says how activations would be rounded (NAME.input_scale), which no product here does. Throws kCorruptFile
// for a scale of another shape or type. `name` is the file's.
void take_scales(std::vector<TensorInfo>& tensors, const std::string& name);

}  // namespace claa::gguf
