// Llama, Mistral and Qwen2: pre-norms, one RoPE, SwiGLU. Qwen2 has biases on Q, K and V.
#pragma once

#include "model/spec.h"

namespace claa {

extern const Architecture kLlama, kMistral, kQwen2;

}  // namespace claa
