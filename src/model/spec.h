// A model as its architecture describes it: what each layer does, and which tensors it has. Loading, random
// weights, the memory plan, the equaliser and the tests' models all read the same table.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/ops.h"
#include "core/usize.h"
#include "gguf/file.h"

namespace claa {

struct ModelConfig;

// What the recurrent layers of a model have in common.
struct DeltaSpec {
  int64_t width = 0;  // rows that the convolution before the rule sees, the row's own included
  DeltaHeads heads;
};

struct LayerSpec {
  int64_t window = 0;       // positions that a query sees, its own included; 0: all up to its own
  int rope = 0;             // which of ModelConfig::ropes turns keys, and queries
  int query_rope = -1;      // which of them turns queries, where it is another one
  bool qkv_bias = false;    // biases on Q, K and V
  bool head_norms = false;  // a norm of every head of Q and K before RoPE
  bool wide_norms = false;  // a norm over all heads of Q together, and one over those of K
  float query_scale = 1;    // that queries are multiplied by, in the weights that make them last
  bool pre_norms = true;    // a norm of what attention and feed-forward read
  bool post_norms = false;  // a norm of what attention and feed-forward give, before it is added
  bool fused_qkv = false;   // the file has Q, K and V in one tensor
  bool fused_gate = false;  // the file has gate and up in one tensor
  Activation activation = Activation::kSilu;
  bool output_bias = false;  // a bias on what attention gives
  // Experts instead of one feed-forward: how many there are, how many serve a row, and how wide they are.
  int64_t experts = 0, experts_used = 0, expert_width = 0;
  bool expert_bias = false;  // biases on the router and on the experts
  // The width of an expert that serves every row, times the logistic function of a gate; 0: there is none.
  int64_t shared_width = 0;
  // The experts stand beside a feed-forward: both read the same rows, through norms of their own, and each
  // has a norm after it.
  bool beside_experts = false;
  float soft_cap = 0;  // of attention's logits; 0: none
  bool sinks = false;  // a sink for every head
  // The layer's own shape, where layers differ; 0: the model's.
  int64_t kv_heads = 0, head_size = 0, ffn = 0;
  bool value_norm = false;    // a norm of every head of V, without weights
  bool value_is_key = false;  // V comes from K's matrix, which is all that the file has
  int64_t kv_source = -1;     // the earlier layer whose K and V are read here; -1: the layer has its own
  bool output_scale = false;  // all of the residual stream times a number of the file, at the layer's end
  // Width of what the layer looks up again for each token, gates and adds at its end; 0: nothing.
  int64_t input_width = 0;
  bool output_gate = false;  // what attention gives is multiplied by the logistic function of a gate
  // The gated delta rule (ModelConfig::delta) in place of attention: no K and V, no RoPE and no scores.
  bool recurrent = false;
  bool has_qk_norms() const { return head_norms || wide_norms; }
};

// The weights of a model by what they do: first those outside the layers, then those of a layer in the order
// in which it uses them, and in which they are loaded.
enum class Role : uint8_t {
  kEmbedding,
  kOutput,
  kFinalNorm,
  kTokenInputs,
  kAttentionNorm,
  kQuery,
  kKeyValue,
  kAttentionOutput,
  kQueryBias,
  kKeyValueBias,
  kQueryNorm,
  kKeyNorm,
  kValueNorm,
  kSinks,
  kAttentionOutputBias,
  kAttentionPostNorm,
  kOutputGate,
  kDeltaInput,  // queries, keys and values before the convolution
  kDeltaGate,
  kDeltaRates,  // the inputs of forgetting and of taking in
  kDeltaConvolution,
  kDeltaDecay,
  kDeltaStep,
  kDeltaNorm,
  kFfnNorm,
  kGateUp,
  kDown,
  kDensePostNorm,
  kRouterNorm,
  kRouter,
  kRouterBias,
  kExpertNorm,
  kExpertGateUp,
  kExpertGateUpBias,
  kExpertDown,
  kExpertDownBias,
  kExpertPostNorm,
  kSharedGate,  // of the expert that serves every row
  kSharedGateUp,
  kSharedDown,
  kFfnPostNorm,
  kInputProjection,
  kInputNorm,
  kInputGate,
  kInputOutput,
  kInputPostNorm,
  kLayerScale,
};
constexpr size_t kRoles = usize(Role::kLayerScale) + 1;

enum class WeightKind : uint8_t { kMatrix, kExperts, kNorm, kBias };  // sinks are biases, scales norms
WeightKind kind_of(Role role);
// True for weights that the first half of a layer uses, up to the residual stream after attention.
bool in_attention_half(Role role);
// True for norms whose channels may be divided by factors, which the columns of the matrices that read them
// are multiplied by; `reads` says which matrices those are.
bool is_read_by_matrices(Role norm);
bool reads(Role matrix, Role norm);

// A tensor of the file, or some of its rows: of its values for norms and biases.
struct TensorRows {
  TensorRows(std::string tensor, int64_t first_row = 0, int64_t all_rows = 0)
      : name(std::move(tensor)), first(first_row), all(all_rows) {}
  TensorRows(const char* tensor) : name(tensor) {}
  std::string name;
  int64_t first = 0;  // of the rows that count
  int64_t all = 0;    // that the tensor has; 0: no more than those that count
};

// One weight: a tensor of the file, or several of one shape whose rows lie one after another. The weights of
// experts, and their biases, have those of each expert one after another. A norm or bias of several rows is
// kept column by column. A norm without tensors is all ones.
struct WeightSpec {
  Role role;
  std::vector<TensorRows> tensors;
  int64_t outputs = 1;  // rows of each; 1 for most norms and biases
  int64_t inputs = 0;   // columns of a row
  float factor = 1;     // that the file's values are multiplied by
  int64_t experts = 0;  // 0: not of experts; else rows and tensors are those of one
  int64_t rows() const { return outputs * std::max<int64_t>(1, std::ssize(tensors)); }
};

// An architecture: its name in files, what it makes of a file's metadata, and its table of tensors.
struct Architecture {
  std::string_view name;
  // Fills ropes and layers of a config whose common numbers are read already. Throws kUnsupported or
  // kCorruptFile.
  void (*describe)(const gguf::File& file, ModelConfig& config);
  // The weights outside the layers, and those of a layer, in the order of Role.
  std::vector<WeightSpec> (*model_weights)(const ModelConfig& config);
  std::vector<WeightSpec> (*layer_weights)(const ModelConfig& config, int64_t layer);
  // Tensors that describe() reads, if they are there; all others of a file must be in the table.
  std::array<std::string_view, 2> described_by = {};
  // Lists of numbers by layer may differ: the common numbers are the largest, and describe() reads the lists.
  bool layers_differ = false;
  // Tensors that files may have without any use, by the names that a layer would have for them; may be null.
  std::vector<std::string> (*unused)(const ModelConfig& config, int64_t layer) = nullptr;
};

}  // namespace claa
