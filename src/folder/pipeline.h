// The steps of a tokenizer.json before and in its merging: normaliser, pre-tokenizer and options of the
// model.
#pragma once

#include <string>
#include <vector>

#include "folder/settings.h"
#include "gguf/writer.h"

namespace claa {

struct Pipeline {
  bool nfc = false;                      // normalisation form C first
  bool byte_level = false;               // merging starts from bytes; otherwise from characters
  std::vector<std::string> expressions;  // each cuts the pieces of one before it, at matches and between them
  bool ignore_merges = false;            // a word that is a token becomes it
  // From characters: spaces are U+2581.
  std::string space_prefix = "never";  // where a space is put before a text: "never", "first", "always"
  bool cut_at_spaces = false;          // a word ends before every space
  bool byte_fallback = false;          // a character without a token becomes its bytes
  bool fuse_unknown = false;           // neighbouring ones that stay unknown are one
  std::string unknown;                 // the token that they become; empty: none
};

// Throws kUnsupported, by name, for a step that this build does not do.
Pipeline read_pipeline(const Settings& root, const Settings& model);

// Writes the keys tokenizer.json.*, which read_tokenizer_data() reads.
void write_pipeline(const Pipeline& pipeline, gguf::Writer& writer);

}  // namespace claa
