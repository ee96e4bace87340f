// Checks shared by the reader of model files and the constructor of Tokenizer.
#pragma once

#include "tokenizer/tokenizer.h"

namespace claa {

// In place of a pre-tokenizer's name: the data have the steps of a tokenizer.json.
inline constexpr const char* kExpressions = "tokenizer.json";
// The name of Gemma 4's tokenizer: BPE of characters whose steps before merging files do not say.
inline constexpr const char* kGemma4Bpe = "gemma4";

// The type of a token. Without a list of types those named by an id are control tokens, and all others
// normal.
TokenType token_type(const TokenizerData& data, size_t id);

// Throws kUnsupported or kCorruptFile unless model and pre-tokenizer are known, the counts fit and every id
// is inside the vocabulary.
void check_tokenizer_data(const TokenizerData& data);

}  // namespace claa
