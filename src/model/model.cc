#include "model/model.h"

#include <algorithm>

#include "backend/activation.h"
#include "core/usize.h"

namespace claa {
namespace {

// The first `rows` rows of a scratch tensor, `columns` wide.
Tensor head(const Tensor& tensor, int64_t rows, int64_t columns) {
  Tensor view = Tensor::matrix(tensor.data, tensor.dtype, rows, columns);
  view.scales = tensor.scales;
  view.row_scales = tensor.row_scales;
  return view;
}

const WeightSet& layer_of(const ModelWeights& weights, int64_t layer) {
  return weights.layers[usize(layer)];
}

}  // namespace

void Model::embed(std::span<const int32_t> ids, const Tensor& hidden) const {
  backend_.embed(weights_.model.matrix(Role::kEmbedding), ids, config_.embedding_scale, hidden);
}

std::shared_ptr<const RopeTables> Model::rope(int64_t positions, int64_t tokens) const {
  require(positions <= config_.context, "rope: positions outside the context");
  return rope_->tables(config_.ropes, positions, tokens, backend_);
}

SoftmaxRule Model::softmax_rule(int64_t layer) const {
  const WeightSet& w = layer_of(weights_, layer);
  return {config_.spec(layer).soft_cap, w.has(Role::kSinks) ? w.vector(Role::kSinks) : Tensor()};
}

Tensor Model::normed(int64_t layer, Role norm, const Tensor& hidden, Workspace& work) const {
  const Tensor out = head(work.normed, hidden.rows(), config_.hidden);
  if (config_.spec(layer).pre_norms) {
    backend_.rms_norm(hidden, layer_of(weights_, layer).vector(norm), config_.norm_eps, out);
  } else {
    backend_.convert(hidden, out);
  }
  return out;
}

Tensor Model::unrounded(int64_t layer, Role norm, const Tensor& hidden, const Tensor& normed,
                        Workspace& work) const {
  if (normed.dtype == backend_.dtype()) return normed;
  const Tensor out = head(work.unrounded, hidden.rows(), config_.hidden);
  backend_.rms_norm(hidden, layer_of(weights_, layer).vector(norm), config_.norm_eps, out);
  return out;
}

Tensor Model::attention_norm(int64_t layer, const Tensor& hidden, Workspace& work) const {
  return normed(layer, Role::kAttentionNorm, hidden, work);
}

void Model::project_kv(int64_t layer, const Tensor& normed, std::span<const int32_t> positions,
                       const RopeTables& rope, const KvView& kv, int64_t slot, Workspace& work) const {
  const WeightSet& w = layer_of(weights_, layer);
  const LayerSpec& spec = config_.spec(layer);
  const PackedWeight& matrix = w.matrix(Role::kKeyValue);
  const Tensor projected = head(work.projected, normed.rows(), matrix.outputs);
  const RopeTable& table = rope[spec.rope];
  if (!spec.qkv_bias && !spec.has_qk_norms() && !spec.value_norm) {
    backend_.linear_rope_store(normed, matrix, projected, table, positions, kv, slot);
    return;
  }
  backend_.linear(normed, matrix, projected, false);
  if (spec.qkv_bias) backend_.add_bias(projected, w.vector(Role::kKeyValueBias));
  if (spec.has_qk_norms()) {
    backend_.norm_heads(projected, spec.wide_norms ? 1 : config_.kv_heads_of(layer), w.vector(Role::kKeyNorm),
                        config_.norm_eps);
  }
  if (spec.value_norm) {
    const int64_t columns = config_.kv_size(layer);
    backend_.norm_heads(projected.slice_columns(columns, columns), config_.kv_heads_of(layer),
                        w.vector(Role::kValueNorm), config_.norm_eps);
  }
  backend_.rope_store(projected, table, positions, kv, slot);
}

void Model::project_q(int64_t layer, const Tensor& normed, std::span<const int32_t> positions,
                      const RopeTables& rope, const Tensor& out, Workspace& work) const {
  const WeightSet& w = layer_of(weights_, layer);
  const LayerSpec& spec = config_.spec(layer);
  const PackedWeight& matrix = w.matrix(Role::kQuery);
  const Tensor projected = head(work.projected, out.rows(), matrix.outputs);
  const RopeTable& table = rope[spec.query_rope < 0 ? spec.rope : spec.query_rope];
  if (!spec.qkv_bias && !spec.has_qk_norms()) {
    backend_.linear_rope(normed, matrix, projected, config_.head_size_of(layer), table, positions, out);
    return;
  }
  backend_.linear(normed, matrix, projected, false);
  if (spec.qkv_bias) backend_.add_bias(projected, w.vector(Role::kQueryBias));
  if (spec.has_qk_norms()) {
    backend_.norm_heads(projected, spec.wide_norms ? 1 : config_.heads, w.vector(Role::kQueryNorm),
                        config_.norm_eps);
  }
  backend_.rope(projected, config_.head_size_of(layer), table, positions, out);
}

void Model::finish(int64_t layer, std::span<const int32_t> ids, const Tensor& q, const KvView& kv,
                   const PackedKv* packed, const VisibleSlots& visible, const Tensor& hidden,
                   Workspace& work) const {
  attend(layer, q, kv, packed, visible, hidden, work);
  feed_forward(layer, ids, hidden, work);
}

void Model::attend(int64_t layer, const Tensor& q, const KvView& kv, const PackedKv* packed,
                   const VisibleSlots& visible, const Tensor& hidden, Workspace& work) const {
  const Tensor attention = head(work.attention, hidden.rows(), q.columns());
  backend_.attention(q, kv, packed, visible, softmax_rule(layer), attention);
  if (config_.spec(layer).output_gate) {
    const Tensor gate = head(work.gate, hidden.rows(), q.columns());
    backend_.linear(attention_norm(layer, hidden, work), layer_of(weights_, layer).matrix(Role::kOutputGate),
                    gate, false);
    backend_.gate_output(gate, attention);
  }
  add_branch(layer, attention, Role::kAttentionOutput, Role::kAttentionPostNorm, hidden, work);
}

void Model::recur(int64_t layer, const DeltaState& state, const Tensor& hidden, Workspace& work) const {
  constexpr float kUnitEps = 1e-6f;  // of the keys' and queries' length, as the rule's authors have it
  const WeightSet& w = layer_of(weights_, layer);
  const DeltaHeads& heads = config_.delta.heads;
  const int64_t rows = hidden.rows();
  const Tensor x = attention_norm(layer, hidden, work);
  const Tensor input = head(work.projected, rows, heads.channels());
  const Tensor gate = head(work.gate, rows, heads.values());
  const Tensor rates = head(work.rates, rows, 2 * heads.value_heads);
  backend_.linear(x, w.matrix(Role::kDeltaInput), input, false);
  backend_.linear(x, w.matrix(Role::kDeltaGate), gate, false);
  backend_.linear(unrounded(layer, Role::kAttentionNorm, hidden, x, work), w.matrix(Role::kDeltaRates), rates,
                  false);
  const Tensor mixed = head(work.mixed, rows, heads.channels());
  backend_.convolve(input, w.vector(Role::kDeltaConvolution), state.columns, mixed);
  backend_.unit_heads(mixed, 2 * heads.key_heads, heads.size, kUnitEps);
  const Tensor recalled = head(work.recalled, rows, heads.values());
  backend_.delta_rule(mixed, heads, {rates, w.vector(Role::kDeltaDecay), w.vector(Role::kDeltaStep)},
                      state.memory, recalled);
  const Tensor out = head(work.attention, rows, heads.values());
  backend_.gated_norm_heads(recalled, gate, w.vector(Role::kDeltaNorm), config_.norm_eps, out);
  add_branch(layer, out, Role::kAttentionOutput, Role::kAttentionPostNorm, hidden, work);
}

// The router reads the activation type, also where the experts read 8 bits.
void Model::serve_by_experts(int64_t layer, const Tensor& hidden, const Tensor& out, Workspace& work) const {
  const WeightSet& w = layer_of(weights_, layer);
  const LayerSpec& spec = config_.spec(layer);
  const int64_t rows = hidden.rows();
  const Tensor x = normed(layer, spec.beside_experts ? Role::kExpertNorm : Role::kFfnNorm, hidden, work);
  Tensor routed;
  if (spec.beside_experts) {
    routed = head(work.unrounded, rows, config_.hidden);
    backend_.rms_norm(hidden, w.vector(Role::kRouterNorm), config_.norm_eps, routed);
  } else {
    routed = unrounded(layer, Role::kFfnNorm, hidden, x, work);
  }
  const Tensor router = head(work.router, rows, spec.experts);
  backend_.linear(routed, w.matrix(Role::kRouter), router, false);
  if (spec.expert_bias) backend_.add_bias(router, w.vector(Role::kRouterBias));
  const ExpertChoice choice{head(work.choice.ids, rows, spec.experts_used),
                            head(work.choice.weights, rows, spec.experts_used)};
  backend_.choose_experts(router, choice);
  Experts experts{w.experts(Role::kExpertGateUp), w.experts(Role::kExpertDown), spec.activation};
  if (spec.expert_bias) {
    experts.gate_up_bias = w.vector(Role::kExpertGateUpBias);
    experts.down_bias = w.vector(Role::kExpertDownBias);
  }
  backend_.mix_experts(x, experts, choice, work.of_expert, out);
  if (spec.shared_width > 0) serve_by_shared(layer, x, routed, out, work);
}

void Model::serve_by_shared(int64_t layer, const Tensor& x, const Tensor& exact, const Tensor& hidden,
                            Workspace& work) const {
  const WeightSet& w = layer_of(weights_, layer);
  const LayerSpec& spec = config_.spec(layer);
  const int64_t rows = hidden.rows();
  const Tensor gate = head(work.shared_gate, rows, 1), out = head(work.shared_out, rows, config_.hidden);
  const Tensor gated = head(work.shared_gated, rows, spec.shared_width);
  backend_.linear(exact, w.matrix(Role::kSharedGate), gate, false);
  backend_.linear_gate(x, w.matrix(Role::kSharedGateUp), spec.activation,
                       head(work.shared_gate_up, rows, 2 * spec.shared_width), gated);
  backend_.linear(gated, w.matrix(Role::kSharedDown), out, false);
  backend_.add_gated_rows(out, gate, hidden);
}

void Model::serve_side_by_side(int64_t layer, const Tensor& hidden, Workspace& work) const {
  const WeightSet& w = layer_of(weights_, layer);
  const Tensor branch = head(work.branch, hidden.rows(), config_.hidden);
  const Tensor sum = head(work.sum, hidden.rows(), config_.hidden);
  backend_.linear(gated(layer, hidden, work), w.matrix(Role::kDown), branch, false);
  backend_.clear(sum.data, sum.bytes());
  backend_.add_rms_norm(branch, w.vector(Role::kDensePostNorm), config_.norm_eps, sum);
  backend_.clear(branch.data, branch.bytes());
  serve_by_experts(layer, hidden, branch, work);
  backend_.add_rms_norm(branch, w.vector(Role::kExpertPostNorm), config_.norm_eps, sum);
  backend_.add_rms_norm(sum, w.vector(Role::kFfnPostNorm), config_.norm_eps, hidden);
}

Tensor Model::gated(int64_t layer, const Tensor& hidden, Workspace& work) const {
  const int64_t rows = hidden.rows(), ffn = config_.ffn_of(layer);
  const Tensor gate_up = head(work.gate_up, rows, 2 * ffn);
  // Where rows have several scales, a narrower layer's have fewer than the workspace's.
  const Tensor out = activation(backend_.traits(), ActivationRole::kGated, rows, ffn, work.gated.data);
  backend_.linear_gate(normed(layer, Role::kFfnNorm, hidden, work),
                       layer_of(weights_, layer).matrix(Role::kGateUp), config_.spec(layer).activation,
                       gate_up, out);
  return out;
}

void Model::feed_forward(int64_t layer, std::span<const int32_t> ids, const Tensor& hidden,
                         Workspace& work) const {
  const LayerSpec& spec = config_.spec(layer);
  if (spec.beside_experts) {
    serve_side_by_side(layer, hidden, work);
  } else if (spec.experts > 0) {
    serve_by_experts(layer, hidden, hidden, work);
  } else {
    add_branch(layer, gated(layer, hidden, work), Role::kDown, Role::kFfnPostNorm, hidden, work);
  }
  if (spec.input_width > 0) add_inputs(layer, ids, hidden, work);
  if (spec.output_scale) backend_.scale(hidden, layer_of(weights_, layer).vector(Role::kLayerScale));
}

// A row's inputs are the norm of a product of its token's embedding, and what another table has for the token
// in this layer. Both are looked up anew: kept for all layers they would take more memory than the cache.
void Model::add_inputs(int64_t layer, std::span<const int32_t> ids, const Tensor& hidden,
                       Workspace& work) const {
  const WeightSet& w = layer_of(weights_, layer);
  const LayerSpec& spec = config_.spec(layer);
  const int64_t rows = hidden.rows(), width = spec.input_width;
  const Tensor branch = head(work.branch, rows, config_.hidden), x = head(work.input_x, rows, config_.hidden);
  const Tensor product = head(work.input_product, rows, width), inputs = head(work.inputs, rows, width);
  const Tensor out = head(work.input_gated, rows, width);
  embed(ids, branch);
  backend_.convert(branch, x);
  backend_.linear(x, w.matrix(Role::kInputProjection), product, false);
  backend_.embed(weights_.model.matrix(Role::kTokenInputs), ids, config_.input_scale, inputs, layer * width);
  backend_.add_rms_norm(product, w.vector(Role::kInputNorm), config_.norm_eps, inputs);
  backend_.convert(hidden, x);
  backend_.linear(x, w.matrix(Role::kInputGate), product, false);
  backend_.gate_apart(product, inputs, spec.activation, out);
  backend_.linear(out, w.matrix(Role::kInputOutput), branch, false);
  backend_.add_rms_norm(branch, w.vector(Role::kInputPostNorm), config_.norm_eps, hidden);
}

void Model::add_branch(int64_t layer, const Tensor& x, Role matrix, Role post_norm, const Tensor& hidden,
                       Workspace& work) const {
  const WeightSet& w = layer_of(weights_, layer);
  if (!config_.spec(layer).post_norms) {
    backend_.linear(x, w.matrix(matrix), hidden, true);
    if (matrix == Role::kAttentionOutput && w.has(Role::kAttentionOutputBias))
      backend_.add_bias(hidden, w.vector(Role::kAttentionOutputBias));
    return;
  }
  const Tensor branch = head(work.branch, hidden.rows(), config_.hidden);
  backend_.linear(x, w.matrix(matrix), branch, false);
  backend_.add_rms_norm(branch, w.vector(post_norm), config_.norm_eps, hidden);
}

void Model::logits(const Tensor& hidden, const Tensor& out, Workspace& work) const {
  const Tensor normed = Tensor::matrix(work.normed.data, backend_.dtype(), 1, config_.hidden);
  backend_.rms_norm(hidden, weights_.model.vector(Role::kFinalNorm), config_.norm_eps, normed);
  backend_.linear(normed, weights_.output(), out, false);
  if (config_.logit_cap > 0) backend_.soft_cap(out, config_.logit_cap);
}

}  // namespace claa
