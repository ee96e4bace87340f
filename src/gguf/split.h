// Models that are split into several files, as llama-gguf-split writes them: the first has the metadata of
// the model, each has its own tensors, and all say which of how many they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/file_map.h"
#include "gguf/part.h"

namespace claa::gguf {

// Of how many files the model consists whose first file this is. Throws kUnsupported for a later file,
// naming the first, and kCorruptFile for a senseless count.
uint64_t count_of_files(const Part& first);
// Throws kUnsupported unless there are as many.
void check_count_of_files(const Part& first, uint64_t given);

// The name of file `index`, counted from 0, of a model whose first file has this name. Throws
// kInvalidArgument for a name that does not end in "-00001-of-COUNT.gguf".
std::string name_of_file(const std::string& first, uint64_t index, uint64_t count);
// Throws as FileMap does, saying which file of which model it is.
FileMap map_of_file(const std::string& name, const std::string& first, uint64_t index, uint64_t count);

// The tensors of all files, which are checked against the first: number, count, architecture, and that no
// tensor is in two of them.
std::vector<TensorInfo> merge_tensors(std::vector<Part>& parts);

}  // namespace claa::gguf
