// Folders of models as transformers saves them, seen as the GGUF file that they could be converted to:
// config.json, safetensors files, tokenizer.json. Nothing is converted but names, settings and small vectors;
// weights stay in their mapped files.
#pragma once

#include <string>

#include "gguf/file.h"

namespace claa {

// Opens a model: a GGUF file, the first file of a split one, or a folder of transformers, or that folder's
// config.json.
gguf::File open_model(const std::string& path);

}  // namespace claa
