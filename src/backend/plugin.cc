#include "backend/plugin.h"

#include <dlfcn.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace claa {
namespace {

// Where the library may lie: beside the program or the shared library that this code is part of, as built or
// as installed, then wherever the loader looks.
std::vector<std::string> candidates() {
  std::vector<std::string> paths;
  const auto add = [&paths](const std::filesystem::path& file) {
    const std::filesystem::path folder = file.parent_path();
    for (const auto& place : {folder, folder / "../lib", folder / ".."})
      paths.push_back(place / kCudaLibrary);
  };
  std::error_code ignored;
  add(std::filesystem::read_symlink("/proc/self/exe", ignored));
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&make_cuda_backend), &self) != 0) add(self.dli_fname);
  std::erase_if(paths, [](const std::string& path) { return !std::filesystem::exists(path); });
  paths.push_back(kCudaLibrary);
  return paths;
}

struct Library {
  CudaEntry* make = nullptr;
  CudaProbe* usable = nullptr;
  std::string reason;  // why there is none
};

// Never closed: its memory outlives every backend. dlerror() names the library that is missing.
Library open_library() {
  Library result;
  for (const std::string& path : candidates()) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      result.reason = dlerror();
      if (path != kCudaLibrary) break;  // it is there, and something that it needs is not
      continue;
    }
    auto* contract = reinterpret_cast<CudaContract*>(dlsym(library, kCudaContract));
    if (contract == nullptr || std::string_view(contract()) != CLAA_CONTRACT) {
      result.reason = fmt::format("{} is of another build of claa", path);
      break;
    }
    result.make = reinterpret_cast<CudaEntry*>(dlsym(library, kCudaEntry));
    result.usable = reinterpret_cast<CudaProbe*>(dlsym(library, kCudaProbe));
    break;
  }
  return result;
}

const Library& library() {
  static const Library opened = open_library();
  return opened;
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  if (library().make == nullptr) {
    fail(ErrorCode::kUnsupported, "device cuda: {}; build with `cmake --preset cuda`, or choose --device cpu",
         library().reason);
  }
  return std::unique_ptr<Backend>(library().make(options));
}

bool cuda_usable() {
  return library().usable != nullptr && library().usable();
}

}  // namespace claa
