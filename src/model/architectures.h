// The architectures that this build runs, by their names in files.
#pragma once

#include "model/spec.h"

namespace claa {

extern const Architecture kLlama, kMistral, kQwen2;  // llama_family.cc
extern const Architecture kQwen3, kQwen3Moe;         // qwen3.cc
extern const Architecture kGemma2, kGemma3;          // gemma.cc
extern const Architecture kGemma4;
extern const Architecture kGemma4;
extern const Architecture kSmolLm3;
extern const Architecture kGranite;
extern const Architecture kSeedOss;
extern const Architecture kMistral3;
extern const Architecture kOlmo2;
extern const Architecture kExaone4;
extern const Architecture kPhi3;
extern const Architecture kGptOss;
extern const Architecture kQwen35, kQwen35Moe;

}  // namespace claa
