#include "gguf/scales.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "core/check.h"
#include "gguf/quants.h"
#include "text/visible.h"

namespace claa::gguf {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kScale = ".scale";
constexpr std::string_view kInputScale = ".input_scale";

// One number for the whole tensor, or one for each expert.
std::shared_ptr<const TensorScales> scales_of(const TensorInfo& tensor, const TensorInfo& scale,
                                              const std::string& name) {
  const uint64_t experts = tensor.shape.size() > 2 ? tensor.shape[2] : 1;
  const uint64_t count = scale.elements();
  if (scale.type != TensorType::kF32 || scale.shape.size() != 1 || (count != 1 && count != experts)) {
    fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' has {} values of type {}; {} of type F32 are needed",
         name, visible_bytes(scale.name), count, type_name(scale.type),
         experts == 1 ? "1" : fmt::format("1 or {}", experts));
  }
  auto scales = std::make_shared<TensorScales>();
  scales->values.resize(count);
  dequantize(scale.type, scale.data, scales->values);
  for (const float value : scales->values) {
    if (std::isfinite(value)) continue;
    fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' holds {}; the file is damaged or was converted wrongly",
         name, visible_bytes(scale.name), value);
  }
  scales->tile_columns = tensor.shape[0];
  scales->tile_rows = tensor.elements() / tensor.shape[0] / count;
  return scales;
}

}  // namespace

void take_scales(std::vector<TensorInfo>& tensors, const std::string& name) {
  std::unordered_map<std::string_view, TensorInfo*> weights;  // by name without ".weight"
  for (TensorInfo& tensor : tensors) {
    const std::string_view text = tensor.name;
    if (text.ends_with(kWeight)) weights.emplace(text.substr(0, text.size() - kWeight.size()), &tensor);
  }
  const auto weight_of = [&](std::string_view text, std::string_view ending) {
    if (!text.ends_with(ending)) return static_cast<TensorInfo*>(nullptr);
    const auto found = weights.find(text.substr(0, text.size() - ending.size()));
    return found == weights.end() ? nullptr : found->second;
  };
  // A number for each column is no scale of the tensor: Gemma 4's routers multiply their input by it.
  const auto is_of_columns = [](const TensorInfo& weight, const TensorInfo& scale) {
    return weight.shape.size() == 2 && scale.shape.size() == 1 && scale.shape[0] > 1 &&
           scale.shape[0] == weight.shape[0];
  };
  std::vector<bool> taken(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    TensorInfo* const weight = weight_of(tensors[i].name, kScale);
    if (weight != nullptr && !is_of_columns(*weight, tensors[i])) {
      weight->scales = scales_of(*weight, tensors[i], name);
      taken[i] = true;
    }
    const TensorInfo* const rounded = weight_of(tensors[i].name, kInputScale);
    if (rounded != nullptr && rounded->type == TensorType::kNVFP4) taken[i] = true;
  }
  if (std::find(taken.begin(), taken.end(), true) == taken.end()) return;
  std::vector<TensorInfo> kept;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!taken[i]) kept.push_back(std::move(tensors[i]));
  }
  tensors = std::move(kept);
}

}  // namespace claa::gguf
