// Checks shared by the reader of model files and the constructor of Tokenizer.
#pragma once

#include "tokenizer/tokenizer.h"

namespace claa {

// Throws kUnsupported or kCorruptFile unless model and pre-tokenizer are known, the counts fit and every id
// is inside the vocabulary.
void check_tokenizer_data(const TokenizerData& data);

}  // namespace claa
