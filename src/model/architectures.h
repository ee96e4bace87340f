// The architectures that this build runs, by their names in files.
#pragma once

#include "model/spec.h"

namespace claa {

extern const Architecture kLlama, kMistral, kQwen2;  // llama_family.cc
extern const Architecture kQwen3;
extern const Architecture kGemma3;
extern const Architecture kSmolLm3;
extern const Architecture kGranite;
extern const Architecture kSeedOss;

}  // namespace claa
