// Checks shared by the reader of model files and the constructor of Tokenizer.
#pragma once

#include "tokenizer/tokenizer.h"

namespace claa {

// Throws kUnsupported or kCorruptFile unless model and pre-tokenizer are known, the counts fit and every id
// is inside the vocabulary. `source` begins the message: a file name, or "tokenizer".
void check_tokenizer_data(const TokenizerData& data, const std::string& source);

}  // namespace claa
