#include "folder/folder.h"

#include <filesystem>

#include "core/check.h"
#include "folder/model_settings.h"
#include "folder/tensors.h"
#include "folder/tokenizer_settings.h"

namespace claa {
namespace {

gguf::File open_folder(const std::string& folder) {
  const std::filesystem::path path(folder);
  if (!file_exists(path / "config.json")) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' is a directory without config.json; give a GGUF file, or a folder of config.json, "
         "tokenizer.json and "
         "*.safetensors",
         folder);
  }
  const SettingsFile config = read_settings((path / "config.json").string());
  gguf::Writer writer;
  std::error_code ignored;
  writer.add("general.name", std::filesystem::absolute(path, ignored).lexically_normal().filename().string());
  const ModelSettings settings = describe_model(config.root(), writer);
  const TokenizerFiles files = read_tokenizer_files(folder);
  auto memory = std::make_shared<TensorMemory>();
  const std::vector<SafeTensor> tensors = open_tensors(folder, *memory);
  std::vector<gguf::TensorInfo> infos = name_tensors(tensors, settings, folder, *memory);
  uint64_t rows = 0;  // of the embedding, which may have more than there are tokens
  for (const gguf::TensorInfo& info : infos)
    if (info.name == "token_embd.weight" && info.shape.size() == 2) rows = info.shape[1];
  describe_tokenizer(files, rows, writer);
  return gguf::File::assemble(folder, writer.to_bytes(), std::move(infos), std::move(memory));
}

}  // namespace

gguf::File open_model(const std::string& path) {
  const std::filesystem::path where(path);
  std::error_code ignored;
  if (std::filesystem::is_directory(where, ignored)) {
    // Without a slash at the end, so that names of files beside it can be made from it.
    std::string folder = path;
    while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
    return open_folder(folder);
  }
  if (where.filename() == "config.json")
    return open_folder(where.has_parent_path() ? where.parent_path().string() : ".");
  return gguf::File::open(path);
}

}  // namespace claa
