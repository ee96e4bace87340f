// The tensors of a folder under the names of GGUF files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/file_map.h"
#include "folder/model_settings.h"
#include "folder/safetensors.h"
#include "gguf/file.h"

namespace claa {

// What tensors view: mapped files, and values that are in no file.
struct TensorMemory {
  std::vector<FileMap> maps;
  std::vector<std::unique_ptr<std::vector<float>>> values;
  std::vector<std::unique_ptr<std::vector<std::byte>>>
      copies;  // of tensors that are not aligned in their file
};

// The safetensors files of a folder: those of its index, or all that it has. Throws kNotFound without any,
// and kCorruptFile where index and files disagree.
std::vector<SafeTensor> open_tensors(const std::string& folder, TensorMemory& memory);

// The same tensors as a GGUF file of the model has them. Those that have no place keep their names, by which
// they are refused. `folder` is for messages.
std::vector<gguf::TensorInfo> name_tensors(const std::vector<SafeTensor>& tensors,
                                           const ModelSettings& settings, const std::string& folder,
                                           TensorMemory& memory);

}  // namespace claa
