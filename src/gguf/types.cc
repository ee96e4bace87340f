// The table of tensor types.
#include <array>
#include <utility>

#include "core/check.h"
#include "gguf/quants.h"

namespace claa::gguf {
namespace {

struct TypeTraits {
  TensorType type;
  std::string_view name;
  uint32_t elements;  // per block
  uint32_t bytes;     // per block
};

constexpr std::array kSupported{
    TypeTraits{TensorType::kF32, "F32", 1, 4},
    TypeTraits{TensorType::kF16, "F16", 1, 2},
    TypeTraits{TensorType::kBF16, "BF16", 1, 2},
    TypeTraits{TensorType::kQ8_0, "Q8_0", 32, 34},
    TypeTraits{TensorType::kQ4_0, "Q4_0", 32, 18},
    TypeTraits{TensorType::kQ4_1, "Q4_1", 32, 20},
    TypeTraits{TensorType::kQ5_0, "Q5_0", 32, 22},
    TypeTraits{TensorType::kQ5_1, "Q5_1", 32, 24},
    TypeTraits{TensorType::kQ2_K, "Q2_K", 256, 84},
    TypeTraits{TensorType::kQ3_K, "Q3_K", 256, 110},
    TypeTraits{TensorType::kQ4_K, "Q4_K", 256, 144},
    TypeTraits{TensorType::kQ5_K, "Q5_K", 256, 176},
    TypeTraits{TensorType::kQ6_K, "Q6_K", 256, 210},
    TypeTraits{TensorType::kIQ1_S, "IQ1_S", 256, 50},
    TypeTraits{TensorType::kIQ1_M, "IQ1_M", 256, 56},
    TypeTraits{TensorType::kIQ2_XXS, "IQ2_XXS", 256, 66},
    TypeTraits{TensorType::kIQ2_XS, "IQ2_XS", 256, 74},
    TypeTraits{TensorType::kIQ2_S, "IQ2_S", 256, 82},
    TypeTraits{TensorType::kIQ3_XXS, "IQ3_XXS", 256, 98},
    TypeTraits{TensorType::kIQ3_S, "IQ3_S", 256, 110},
    TypeTraits{TensorType::kIQ4_NL, "IQ4_NL", 32, 18},
    TypeTraits{TensorType::kIQ4_XS, "IQ4_XS", 256, 136},
    TypeTraits{TensorType::kMXFP4, "MXFP4", 32, 17},
    TypeTraits{TensorType::kNVFP4, "NVFP4", 64, 36},
    TypeTraits{TensorType::kTQ1_0, "TQ1_0", 256, 54},
    TypeTraits{TensorType::kTQ2_0, "TQ2_0", 256, 66},
};

// Not in GGUF files, so that a file which names it is refused.
constexpr TypeTraits kFp8{TensorType::kF8E4M3, "F8_E4M3", 1, 1};

constexpr auto kTypes = [] {
  std::array<TensorType, kSupported.size()> types{};
  for (size_t i = 0; i < types.size(); ++i) types[i] = kSupported[i].type;
  return types;
}();

// Needed only to name the type of a tensor that is refused.
constexpr std::array<std::pair<uint32_t, std::string_view>, 16> kRefused{{
    {4, "Q4_2"},
    {5, "Q4_3"},
    {9, "Q8_1"},
    {15, "Q8_K"},
    {24, "I8"},
    {25, "I16"},
    {26, "I32"},
    {27, "I64"},
    {28, "F64"},
    {31, "Q4_0_4_4"},
    {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"},
    {36, "IQ4_NL_4_4"},
    {37, "IQ4_NL_4_8"},
    {38, "IQ4_NL_8_8"},
    {41, "Q1_0"},
}};

const TypeTraits* find_traits(uint32_t raw_type) {
  for (const TypeTraits& traits : kSupported) {
    if (static_cast<uint32_t>(traits.type) == raw_type) return &traits;
  }
  return nullptr;
}

const TypeTraits& traits_of(TensorType type) {
  const TypeTraits* traits = type == kFp8.type ? &kFp8 : find_traits(static_cast<uint32_t>(type));
  require(traits != nullptr, "a tensor type outside the table");
  return *traits;
}

}  // namespace

bool is_supported(uint32_t raw_type) {
  return find_traits(raw_type) != nullptr;
}
std::string_view type_name(TensorType type) {
  return traits_of(type).name;
}
uint32_t block_elements(TensorType type) {
  return traits_of(type).elements;
}
uint32_t block_bytes(TensorType type) {
  return traits_of(type).bytes;
}
std::span<const TensorType> all_types() {
  return kTypes;
}

std::string_view raw_type_name(uint32_t raw_type) {
  if (const TypeTraits* traits = find_traits(raw_type)) return traits->name;
  for (const auto& [number, name] : kRefused) {
    if (number == raw_type) return name;
  }
  return "unknown";
}

std::string supported_types() {
  std::string list;
  for (const TypeTraits& traits : kSupported) {
    if (!list.empty()) list += ", ";
    list += traits.name;
  }
  return list;
}

}  // namespace claa::gguf
