#include "model/config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/check.h"
#include "core/usize.h"
#include "model/architectures.h"
#include "model/metadata.h"

namespace claa {
namespace {

const Architecture& find_architecture(const gguf::File& file, const std::string& name,
                                      std::span<const Architecture* const> known) {
  std::vector<std::string_view> names;
  for (const Architecture* architecture : known) {
    if (architecture->name == name) return *architecture;
    names.push_back(architecture->name);
  }
  fail(ErrorCode::kUnsupported, "{}: architecture '{}' is not supported; this build runs {}", file.name(),
       name.substr(0, 60), fmt::join(names, ", "));
}

void read_sizes(const gguf::File& file, const Metadata& metadata, ModelConfig& config) {
  config.layers = metadata.required("block_count", 1024);
  config.hidden = metadata.required("embedding_length", 65536);
  // Files whose layers all have experts may lack it.
  constexpr const char* kExpertWidth = "expert_feed_forward_length";
  const bool has_experts = file.get_uint(fmt::format("{}.{}", config.architecture, kExpertWidth)).has_value();
  config.ffn = has_experts ? metadata.optional("feed_forward_length",
                                               metadata.required(kExpertWidth, 1 << 20), 1 << 20)
                           : metadata.required("feed_forward_length", 1 << 20);
  config.heads = metadata.required("attention.head_count", 1024);
  config.kv_heads = metadata.optional("attention.head_count_kv", config.heads, 1024);
  config.context = metadata.required("context_length", 1 << 27);
  config.head_size = metadata.optional("attention.key_length", config.hidden / config.heads, 1024);
  config.norm_eps = static_cast<float>(metadata.number("attention.layer_norm_rms_epsilon", 1e-5));
  if (!(config.norm_eps >= 0 && config.norm_eps < 1)) {
    fail(ErrorCode::kCorruptFile, "{}: attention.layer_norm_rms_epsilon is {}, outside 0..1", file.name(),
         config.norm_eps);
  }
  if (config.heads % config.kv_heads != 0 || config.head_size < 2 || config.head_size % 2 != 0) {
    fail(ErrorCode::kUnsupported,
         "{}: {} query heads, {} KV heads, head size {}: the heads must divide and the size be "
         "even",
         file.name(), config.heads, config.kv_heads, config.head_size);
  }
  if (metadata.optional("attention.value_length", config.head_size, 1024) != config.head_size) {
    fail(ErrorCode::kUnsupported, "{}: value heads of another size than the key heads are not supported",
         file.name());
  }
}

// Of an architecture whose models have none.
void check_no_experts(const gguf::File& file, const ModelConfig& config) {
  const uint64_t experts = file.get_uint(config.architecture + ".expert_count").value_or(0);
  if (experts == 0 || config.specs.front().experts > 0) return;
  fail(ErrorCode::kUnsupported,
       "{}: the model has {} experts in a layer; of architecture '{}' this build runs models without experts",
       file.name(), experts, config.architecture);
}

// Files that are no model say so.
void check_whole(const gguf::File& file) {
  if (const auto type = file.get_string("general.type"); type && *type != "model") {
    fail(ErrorCode::kUnsupported, "{}: general.type is '{}'; give the file of a whole model", file.name(),
         type->substr(0, 60));
  }
}

// A tensor that nothing reads would change what the model computes.
void check_all_used(const gguf::File& file, const ModelConfig& config) {
  std::set<std::string, std::less<>> used(config.family->described_by.begin(),
                                          config.family->described_by.end());
  const auto add = [&used](const std::vector<WeightSpec>& weights) {
    for (const WeightSpec& weight : weights) {
      for (const TensorRows& part : weight.tensors) used.insert(part.name);
    }
  };
  add(config.family->model_weights(config));
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    add(config.family->layer_weights(config, layer));
    if (config.family->unused == nullptr) continue;
    const std::vector<std::string> unused = config.family->unused(config, layer);
    used.insert(unused.begin(), unused.end());
  }
  const auto skipped = [&config](const std::string& name) {
    for (int64_t block = config.layers; block < config.layers + config.skipped_blocks; ++block) {
      if (name.starts_with(fmt::format("blk.{}.", block))) return true;
    }
    return false;
  };
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (used.contains(tensor.name) || skipped(tensor.name)) continue;
    fail(ErrorCode::kUnsupported,
         "{}: tensor '{}' has no place in a model of architecture '{}' with {} layers; the model needs an "
         "engine that knows it",
         file.name(), tensor.name.substr(0, 60), config.architecture, config.layers);
  }
}

}  // namespace

int64_t ModelConfig::recurrent_layers() const {
  return std::count_if(specs.begin(), specs.end(), [](const LayerSpec& layer) { return layer.recurrent; });
}

bool ModelConfig::is_kv_source(int64_t layer) const {
  return std::any_of(specs.begin(), specs.end(),
                     [layer](const LayerSpec& spec) { return spec.kv_source == layer; });
}

int64_t ModelConfig::last_kv_layer() const {
  int64_t last = layers - 1;
  while (last > 0 && !has_own_kv(last)) --last;
  return last;
}

std::span<const Architecture* const> architectures() {
  static constexpr std::array<const Architecture*, 18> kAll{
      &kLlama,   &kMistral, &kMistral3, &kQwen2, &kQwen3,   &kQwen3Moe, &kGemma2, &kGemma3, &kGemma4,
      &kSmolLm3, &kGranite, &kSeedOss,  &kOlmo2, &kExaone4, &kPhi3,     &kGptOss, &kQwen35, &kQwen35Moe};
  return kAll;
}

ModelConfig read_config(const gguf::File& file, std::span<const Architecture* const> known) {
  check_whole(file);
  ModelConfig config;
  config.architecture = std::string(file.get_string("general.architecture").value_or(""));
  if (config.architecture.empty()) {
    fail(ErrorCode::kCorruptFile,
         "{}: metadata key 'general.architecture' is missing; give the file of a model", file.name());
  }
  config.name = std::string(file.get_string("general.name").value_or(""));
  config.family = &find_architecture(file, config.architecture, known);
  read_sizes(file, Metadata(file, config.architecture, config.family->layers_differ), config);
  config.specs.resize(usize(config.layers));
  config.family->describe(file, config);
  check_no_experts(file, config);
  const gguf::TensorInfo* embedding = file.find_tensor("token_embd.weight");
  if (file.tensors().empty()) {
    fail(ErrorCode::kUnsupported,
         "{}: the file has no tensors, a vocabulary at most; give the file of a whole model", file.name());
  }
  if (embedding == nullptr)
    fail(ErrorCode::kCorruptFile, "{}: tensor 'token_embd.weight' is missing; convert the model anew",
         file.name());
  config.vocabulary = static_cast<int64_t>(embedding->shape.size() > 1 ? embedding->shape[1] : 0);
  config.tied_output = file.find_tensor("output.weight") == nullptr;
  check_all_used(file, config);
  return config;
}

}  // namespace claa
