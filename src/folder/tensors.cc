#include "folder/tensors.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "core/check.h"
#include "folder/settings.h"
#include "gguf/quants.h"
#include "gguf/scales.h"
#include "text/visible.h"

namespace claa {
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr size_t kMaxTensors = 65536;
constexpr uint64_t kMaxElements = uint64_t{1} << 62;

// The names of the safetensors files, and which tensor is in which of them where an index says it.
struct FileList {
  std::vector<std::string> names;
  std::map<std::string, std::string, std::less<>> places;
};

FileList list_files(const std::filesystem::path& folder) {
  FileList list;
  std::set<std::string> names;
  if (file_exists(folder / kIndex)) {
    const SettingsFile index = read_settings((folder / kIndex).string());
    const Json* map = index.root().find("weight_map");
    if (map == nullptr || !map->is(Json::Kind::kObject)) index.root().corrupt("weight_map", "an object");
    for (size_t i = 0; i < map->items.size(); ++i) {
      const std::string& name = map->items[i].text;
      // A name alone: the index must not reach outside the folder.
      if (!map->items[i].is(Json::Kind::kString) || !name.ends_with(".safetensors") ||
          name.find('/') != std::string::npos) {
        index.root().corrupt("weight_map", "an object of the names of safetensors files in the folder");
      }
      names.insert(name);
      list.places.emplace(map->names[i], name);
    }
  } else {
    std::error_code error;
    std::filesystem::directory_iterator entry(folder, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
      if (entry->path().extension() == ".safetensors") names.insert(entry->path().filename().string());
    if (error) fail(ErrorCode::kIo, "cannot list '{}': {}", folder.string(), error.message());
  }
  if (names.empty()) {
    fail(ErrorCode::kNotFound,
         "'{}' holds no *.safetensors; weights of other kinds (*.bin, *.pth) are not read: save the model as "
         "safetensors, or give a GGUF file",
         folder.string());
  }
  list.names.assign(names.begin(), names.end());
  return list;
}

void check_places(const FileList& list, const std::map<std::string, std::string, std::less<>>& found,
                  const std::filesystem::path& folder) {
  for (const auto& [tensor, file] : list.places) {
    const auto place = found.find(tensor);
    if (place != found.end() && place->second == file) continue;
    fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' is to be in {}, but is {}; fetch the folder anew",
         (folder / kIndex).string(), visible_bytes(tensor), visible_bytes(file),
         place == found.end() ? "not there" : "in " + visible_bytes(place->second));
  }
  if (list.places.empty()) return;
  for (const auto& [tensor, file] : found) {
    if (list.places.contains(tensor)) continue;
    fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' of {} is not in the index; fetch the folder anew",
         (folder / kIndex).string(), visible_bytes(tensor), visible_bytes(file));
  }
}

// A name without the part that all names of a model may begin with.
std::string_view without_prefix(std::string_view name) {
  for (const std::string_view prefix :
       {"model.language_model.", "language_model.model.", "language_model.", "model."})
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  return name;
}

std::optional<gguf::TensorType> type_of(std::string_view dtype) {
  if (dtype == "F32") return gguf::TensorType::kF32;
  if (dtype == "F16") return gguf::TensorType::kF16;
  if (dtype == "BF16") return gguf::TensorType::kBF16;
  if (dtype == "F8_E4M3") return gguf::TensorType::kF8E4M3;
  return std::nullopt;
}

std::optional<uint32_t> number_of(std::string_view digits) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

class Namer {
 public:
  Namer(const ModelSettings& settings, const std::string& folder, TensorMemory& memory)
      : settings_(settings), folder_(folder), memory_(memory) {}

  std::vector<gguf::TensorInfo> run(const std::vector<SafeTensor>& tensors) {
    for (const SafeTensor& tensor : tensors) by_name_.emplace(tensor.name, &tensor);
    bool has_output = false;
    for (const SafeTensor& tensor : tensors) {
      if (is_left_out(tensor.name) || take_expert(tensor) || take_part(tensor)) continue;
      gguf::TensorInfo info = info_of(tensor);
      const bool output = info.name == "output.weight";
      // transformers takes the embedding then, whatever this tensor holds.
      if (output && settings_.tied.value_or(false)) continue;
      has_output |= output;
      add(std::move(info));
    }
    if (!settings_.tied.value_or(true) && !has_output) {
      fail(ErrorCode::kCorruptFile,
           "'{}': tensor 'lm_head.weight' is missing, and tie_word_embeddings is false", folder_);
    }
    for (const auto& [name, experts] : experts_) add(join(name, experts));
    for (const auto& [name, values] : settings_.vectors) add(vector_of(name, values));
    if (settings_.expert_scales) gguf::take_scales(infos_, folder_);
    return std::move(infos_);
  }

 private:
  void add(gguf::TensorInfo info) {
    if (!names_.insert(info.name).second) {
      fail(ErrorCode::kCorruptFile, "'{}': two tensors stand for '{}'; fetch the folder anew", folder_,
           visible_bytes(info.name));
    }
    infos_.push_back(std::move(info));
  }

  // Parts for images, tables that transformers computes itself, and scales, which go with their tensors.
  bool is_left_out(std::string_view name) const {
    for (const std::string& prefix : settings_.left_out)
      if (name.starts_with(prefix)) return true;
    if (name.ends_with(".rotary_emb.inv_freq")) return true;
    for (const std::string_view ending : {"_scale_inv", "_scale"}) {
      if (!name.ends_with(ending)) continue;
      const auto weight = by_name_.find(std::string(name.substr(0, name.size() - ending.size())));
      if (weight != by_name_.end() && weight->second->dtype == "F8_E4M3") return true;
    }
    // How activations of eight bits would be scaled: they are not rounded so.
    constexpr std::string_view kInput = "input_scale";
    if (!name.ends_with(kInput)) return false;
    const auto weight = by_name_.find(std::string(name.substr(0, name.size() - kInput.size())) + "weight");
    return weight != by_name_.end() && weight->second->dtype == "F8_E4M3";
  }

  // Takes the tensor of one expert, which is joined to the others later; false for other tensors.
  bool take_expert(const SafeTensor& tensor) {
    constexpr std::string_view kLayers = "layers.", kExperts = ".mlp.experts.", kWeight = ".weight";
    std::string_view name = without_prefix(tensor.name);
    const size_t at = name.find(kExperts);
    if (settings_.experts == 0 || !name.starts_with(kLayers) || at == std::string_view::npos ||
        !name.ends_with(kWeight))
      return false;
    const std::optional<uint32_t> layer = number_of(name.substr(kLayers.size(), at - kLayers.size()));
    name = name.substr(at + kExperts.size(), name.size() - at - kExperts.size() - kWeight.size());
    const size_t dot = name.find('.');
    if (dot == std::string_view::npos) return false;
    const std::optional<uint32_t> expert = number_of(name.substr(0, dot));
    const auto part = settings_.expert_names.find(name.substr(dot + 1));
    if (!layer || !expert || part == settings_.expert_names.end()) return false;
    gguf::TensorInfo info = info_of(tensor);
    info.name = fmt::format("blk.{}.{}.weight", *layer, part->second);
    if (!experts_[info.name].emplace(*expert, info).second) refuse_experts(info.name, "one of them twice");
    return true;
  }

  // Takes a tensor that lies otherwise in GGUF files; false for other tensors.
  bool take_part(const SafeTensor& tensor) {
    constexpr std::string_view kLayers = "layers.", kBlocks = "_blocks", kScales = "_scales";
    std::string_view name = without_prefix(tensor.name);
    if (settings_.rules.empty() || !name.starts_with(kLayers)) return false;
    name.remove_prefix(kLayers.size());
    const size_t dot = name.find('.');
    const std::optional<uint32_t> layer = number_of(name.substr(0, dot));
    if (!layer || dot == std::string_view::npos) return false;
    // Scales go with the blocks that they belong to.
    if (name.ends_with(kScales) && by_name_.contains(beside(tensor.name, kScales, kBlocks))) return true;
    const auto rule =
        std::find_if(settings_.rules.begin(), settings_.rules.end(),
                     [&](const PartRule& candidate) { return candidate.part == name.substr(dot + 1); });
    if (rule == settings_.rules.end()) return false;
    const bool blocks = name.ends_with(kBlocks);
    const auto scales = by_name_.find(blocks ? beside(tensor.name, kBlocks, kScales) : "");
    const gguf::TensorInfo as_is = blocks ? gguf::TensorInfo{} : info_of(tensor);
    for (gguf::TensorInfo& info :
         rearranged(tensor, as_is, scales == by_name_.end() ? nullptr : scales->second, *rule,
                    settings_.heads, folder_, memory_.copies)) {
      info.name = fmt::format("blk.{}.{}", *layer, info.name);
      add(std::move(info));
    }
    return true;
  }

  static std::string beside(std::string_view name, std::string_view ending, std::string_view other) {
    return std::string(name.substr(0, name.size() - ending.size())) + std::string(other);
  }

  [[noreturn]] void refuse_experts(const std::string& name, const std::string& what) const {
    fail(ErrorCode::kCorruptFile,
         "'{}': the experts of '{}' are not {} of one shape and type: {}; fetch the folder anew", folder_,
         name, settings_.experts, what);
  }

  // One tensor of the experts that lie apart.
  gguf::TensorInfo join(const std::string& name, const std::map<uint32_t, gguf::TensorInfo>& experts) const {
    if (experts.size() != settings_.experts || experts.rbegin()->first + uint64_t{1} != settings_.experts)
      refuse_experts(name, fmt::format("there are {}", experts.size()));
    gguf::TensorInfo joined = experts.begin()->second;
    auto scales = joined.scales == nullptr ? nullptr : std::make_shared<gguf::TensorScales>(*joined.scales);
    if (scales != nullptr) scales->values.clear();
    for (const auto& [expert, info] : experts) {
      if (info.shape != joined.shape || info.type != joined.type || info.shape.size() != 2)
        refuse_experts(name, fmt::format("number {} differs", expert));
      joined.slices.push_back(info.data);
      if (scales == nullptr) continue;
      if (info.scales->tile_rows != scales->tile_rows || info.shape[1] % scales->tile_rows != 0)
        refuse_experts(name, fmt::format("tiles of scales do not end with number {}", expert));
      scales->values.insert(scales->values.end(), info.scales->values.begin(), info.scales->values.end());
    }
    joined.data = {};
    joined.scales = scales;
    joined.shape.push_back(settings_.experts);
    return joined;
  }

  // "blk.3.attn_q.weight" of "model.layers.3.self_attn.q_proj.weight"; the name itself where nothing is known
  // of it.
  std::string name_of(const std::string& full) const {
    const std::string_view name = without_prefix(full);
    if (full == "lm_head.weight" || full == "language_model.lm_head.weight") return "output.weight";
    if (name == "embed_tokens.weight") return "token_embd.weight";
    if (name == "norm.weight") return "output_norm.weight";
    if (const auto known = settings_.model_names.find(name); known != settings_.model_names.end())
      return known->second;
    constexpr std::string_view kLayers = "layers.";
    if (!name.starts_with(kLayers)) return full;
    const std::string_view rest = name.substr(kLayers.size());
    const size_t dot = rest.find('.'), last = rest.rfind('.');
    const std::optional<uint32_t> layer = number_of(rest.substr(0, dot));
    if (dot == std::string_view::npos || dot == last || !layer) return full;
    const auto part = settings_.layer_names.find(rest.substr(dot + 1, last - dot - 1));
    const std::string_view kind = rest.substr(last + 1);
    if (part == settings_.layer_names.end() || (kind != "weight" && kind != "bias")) return full;
    return fmt::format("blk.{}.{}.{}", *layer, part->second, kind);
  }

  gguf::TensorInfo info_of(const SafeTensor& tensor) {
    gguf::TensorInfo info;
    info.name = name_of(tensor.name);
    const std::optional<gguf::TensorType> type = type_of(tensor.dtype);
    if (!type) {
      fail(ErrorCode::kUnsupported,
           "'{}': tensor '{}' has type {}; folders are read with F32, F16, BF16 and F8_E4M3: convert the "
           "model to GGUF",
           folder_, visible_bytes(tensor.name), visible_bytes(tensor.dtype));
    }
    info.type = *type;
    info.shape.assign(tensor.shape.rbegin(), tensor.shape.rend());
    if (info.shape.empty()) info.shape = {1};
    info.data = aligned(tensor.data, gguf::block_bytes(info.type));
    if (tensor.data.empty() || info.elements() > kMaxElements)
      fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' is empty", folder_, visible_bytes(tensor.name));
    if (info.type == gguf::TensorType::kF8E4M3) info.scales = scales_of(tensor, info);
    // A norm that keeps its name is none of the family's, or has a rule of its own.
    const bool known = info.name != tensor.name;
    if (settings_.shifted_norms && known && info.name.ends_with("norm.weight")) return shifted(info);
    return info;
  }

  // Files are written so that data are aligned, which those who read weights in place rely on. Others are
  // copied.
  std::span<const std::byte> aligned(std::span<const std::byte> data, uintptr_t size) {
    if (reinterpret_cast<uintptr_t>(data.data()) % size == 0) return data;
    memory_.copies.push_back(std::make_unique<std::vector<std::byte>>(data.begin(), data.end()));
    return *memory_.copies.back();
  }

  // Norms multiply by 1 + w in f32, as transformers computes it.
  gguf::TensorInfo shifted(const gguf::TensorInfo& info) {
    std::vector<float> values(info.elements());
    gguf::dequantize(info.type, info.data, values);
    for (float& value : values) value += 1;
    gguf::TensorInfo moved = vector_of(info.name, values);
    moved.shape = info.shape;
    return moved;
  }

  gguf::TensorInfo vector_of(const std::string& name, const std::vector<float>& values) {
    memory_.values.push_back(std::make_unique<std::vector<float>>(values));
    return {name,
            {values.size()},
            gguf::TensorType::kF32,
            std::as_bytes(std::span(*memory_.values.back())),
            nullptr};
  }

  std::shared_ptr<const gguf::TensorScales> scales_of(const SafeTensor& tensor,
                                                      const gguf::TensorInfo& info) const {
    const auto tiled = by_name_.find(tensor.name + "_scale_inv"),
               plain = by_name_.find(tensor.name + "_scale");
    const bool is_tiled = tiled != by_name_.end();
    if (!is_tiled && plain == by_name_.end()) {
      fail(ErrorCode::kCorruptFile,
           "'{}': tensor '{}' has eight bits but no tensor of scales, '{}_scale_inv'", folder_,
           visible_bytes(tensor.name), visible_bytes(tensor.name));
    }
    const SafeTensor& scale = is_tiled ? *tiled->second : *plain->second;
    const uint64_t columns = info.shape[0], rows = info.elements() / columns;
    auto scales = std::make_shared<gguf::TensorScales>();
    scales->tile_rows = is_tiled && settings_.scale_rows > 0 ? settings_.scale_rows : 128;
    scales->tile_columns = is_tiled && settings_.scale_columns > 0 ? settings_.scale_columns : 128;
    const std::optional<gguf::TensorType> type = type_of(scale.dtype);
    uint64_t count = 1;
    for (const uint64_t extent : scale.shape) count *= extent;  // the data are there
    if (!is_tiled) {                                            // one for all, or one for each row
      scales->tile_rows = count == 1 ? rows : 1;
      scales->tile_columns = columns;
    }
    scales->tiles_per_row = (columns - 1) / scales->tile_columns + 1;
    const uint64_t needed = scales->tiles_per_row * ((rows - 1) / scales->tile_rows + 1);
    if (!type || count != needed || *type == gguf::TensorType::kF8E4M3) {
      fail(ErrorCode::kCorruptFile,
           "'{}': tensor '{}' has {} values of type {}; {} for tiles of {} x {} are needed", folder_,
           visible_bytes(scale.name), count, visible_bytes(scale.dtype), needed, scales->tile_rows,
           scales->tile_columns);
    }
    scales->values.resize(count);
    gguf::dequantize(*type, scale.data, scales->values);
    return scales;
  }

  const ModelSettings& settings_;
  const std::string& folder_;
  TensorMemory& memory_;
  std::unordered_map<std::string, const SafeTensor*> by_name_;
  std::set<std::string> names_;
  std::map<std::string, std::map<uint32_t, gguf::TensorInfo>> experts_;  // by name and number
  std::vector<gguf::TensorInfo> infos_;
};

}  // namespace

std::vector<SafeTensor> open_tensors(const std::string& folder, TensorMemory& memory) {
  const std::filesystem::path path(folder);
  const FileList list = list_files(path);
  std::vector<SafeTensor> tensors;
  std::map<std::string, std::string, std::less<>> found;
  for (const std::string& name : list.names) {
    memory.maps.emplace_back((path / name).string());
    std::vector<SafeTensor> more = parse_safetensors(memory.maps.back().bytes(), (path / name).string());
    if (more.size() > kMaxTensors - tensors.size())
      fail(ErrorCode::kCorruptFile, "'{}': more than {} tensors", folder, kMaxTensors);
    for (SafeTensor& tensor : more) {
      const auto [place, is_new] = found.emplace(tensor.name, name);
      if (!is_new) {
        fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' is in {} and in {}; fetch the folder anew", folder,
             visible_bytes(tensor.name), visible_bytes(place->second), visible_bytes(name));
      }
      tensors.push_back(std::move(tensor));
    }
  }
  check_places(list, found, path);
  return tensors;
}

std::vector<gguf::TensorInfo> name_tensors(const std::vector<SafeTensor>& tensors,
                                           const ModelSettings& settings, const std::string& folder,
                                           TensorMemory& memory) {
  return Namer(settings, folder, memory).run(tensors);
}

}  // namespace claa
