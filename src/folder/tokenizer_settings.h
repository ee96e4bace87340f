// tokenizer.json and its neighbours as the metadata that a GGUF file of the same tokenizer has, with the
// expressions of the pre-tokenizer in place of its name.
#pragma once

#include <cstdint>
#include <string>

#include "gguf/writer.h"

namespace claa {

// The texts of a folder's files; empty where there is none. `folder` is for messages.
struct TokenizerFiles {
  std::string folder;
  std::string tokenizer;          // tokenizer.json
  std::string tokenizer_config;   // tokenizer_config.json
  std::string generation_config;  // generation_config.json
  std::string chat_template;      // chat_template.jinja
};
TokenizerFiles read_tokenizer_files(const std::string& folder);

// Writes the tokenizer.* keys; ids up to `rows`, those of the embedding, that no token has get one that no
// text becomes. Throws kCorruptFile for files that contradict themselves, and kUnsupported, by name, for a
// part that would make other tokens than the Python package makes.
void describe_tokenizer(const TokenizerFiles& files, uint64_t rows, gguf::Writer& writer);

}  // namespace claa
