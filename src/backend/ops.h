// The operations of a device: about twenty coarse ones on tensor views.
//
// Numerics: the residual stream, scores and logits are f32; the inputs of linear layers, Q, K and V have the
// activation type (f32 or bf16); projections on their way to RoPE and the gated activation have the wide
// type. All sums accumulate in f32.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backend/gate.h"
#include "backend/weight.h"
#include "claa/scores.h"
#include "core/tensor.h"
#include "core/usize.h"

namespace claa {

// cos and sin of every (position, pair): f32 [tokens, head_size / 2] each. `rotated` dimensions may be fewer
// than the head's; the rest passes unchanged.
struct RopeTable {
  Tensor cos;
  Tensor sin;
  bool interleaved = true;  // pairs (2i, 2i+1); false: (i, i + rotated/2)
};

// K and V of one layer: [kv_heads, slots, head_size]; the first `length` slots are valid.
struct KvView {
  Tensor k;
  Tensor v;
  int64_t length = 0;
};

// K and V rearranged for many queries; memory is reused from layer to layer.
class PackedKv {
 public:
  virtual ~PackedKv() = default;
};

// The slots that each query row sees: [first[r], end[r]), never none. Both ascend. Without `first` every row
// sees the slots from 0 on; with it the layer has a sliding window.
struct VisibleSlots {
  VisibleSlots(std::span<const int32_t> ends, std::span<const int32_t> firsts = {})
      : end(ends), first(firsts) {}
  VisibleSlots(const std::vector<int32_t>& ends) : end(ends) {}
  int32_t first_of(int64_t row) const { return first.empty() ? 0 : first[usize(row)]; }
  int32_t end_of(int64_t row) const { return end[usize(row)]; }
  std::span<const int32_t> end, first;
};

// How logits, the scaled products of a query with keys, become shares of attention: the softmax of the
// logits, or of cap * tanh(logit / cap). With sinks every head has one more logit in the sum that shares are
// divided by, and nothing else comes of it.
struct SoftmaxRule {
  float soft_cap = 0;                                                  // 0: none
  Tensor sinks = {};                                                   // f32 [1, heads]; without data: none
  float sink(int64_t head) const { return sinks.ptr<float>()[head]; }  // on the host
  bool has_sinks() const { return sinks.data != nullptr; }
  bool plain() const { return soft_cap == 0 && !has_sinks(); }
};

// The experts of a layer's feed-forward: each gates x W_gate_up^T and multiplies the result by W_down^T.
struct Experts {
  const PackedExperts& gate_up;  // each [2 * width, hidden], gate first
  const PackedExperts& down;     // each [hidden, width]
  Activation activation = Activation::kSilu;
  Tensor gate_up_bias = {};  // f32 [experts, 2 * width]; without data: none
  Tensor down_bias = {};     // f32 [experts, hidden]; without data: none
};

// Which experts each row goes to, and with what weight.
struct ExpertChoice {
  Tensor ids;      // i32 [rows, used]
  Tensor weights;  // f32 [rows, used]
};

// Memory for rows on their way through experts: at least as many as there are rows of x, and as a row has
// experts; with DeviceTraits::expert_rows as many rows, or those of x, times the experts of a row.
struct ExpertRows {
  Tensor x;        // [rows, hidden], as linear layers read it
  Tensor gate_up;  // [rows, 2 * width], wide type
  Tensor gated;    // [rows, width], as linear layers read it
  Tensor out;      // [rows, hidden] f32
};

// The heads of a gated delta rule, all of one size. Value head h reads and writes by key head h modulo
// key_heads.
struct DeltaHeads {
  int64_t key_heads = 0, value_heads = 0, size = 0;
  int64_t values() const { return value_heads * size; }
  int64_t channels() const { return 2 * key_heads * size + values(); }  // queries, keys, values
};

// What a recurrent layer carries from row to row of one sequence, f32.
struct DeltaState {
  Tensor columns;  // [width - 1, channels]: what went into the convolution last, oldest first
  Tensor memory;   // [value_heads, size, size]: for each dimension of a key, those of a value
};

// How fast value heads forget, and how much they take in.
struct DeltaRates {
  Tensor inputs;  // [rows, 2 * value_heads] f32: of forgetting, then of taking in
  Tensor decay;   // [1, value_heads] f32
  Tensor step;    // [1, value_heads] f32, added to the inputs of forgetting
};

class Ops {
 public:
  virtual ~Ops() = default;

  virtual std::unique_ptr<PackedWeight> prepare(const WeightSource& source) = 0;
  virtual std::unique_ptr<PackedExperts> prepare_experts(std::span<const WeightSource> sources);

  // out[r] = scale times row ids[r] of the table [vocabulary, columns], from column `first` on; out f32.
  virtual void embed(const PackedWeight& table, std::span<const int32_t> ids, float scale, const Tensor& out,
                     int64_t first = 0) = 0;
  // out = x W^T (+ out when accumulate); x [rows, inputs] activation type or DeviceTraits::linear, out [rows,
  // outputs] f32 or the wide type. The vocabulary's product reads the activation type.
  virtual void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) = 0;
  // out = x / sqrt(mean(x^2) + eps) * weight; x f32, out activation type or DeviceTraits::linear, weight f32
  // [1, columns].
  virtual void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) = 0;
  // out += x / sqrt(mean(x^2) + eps) * weight; x and out f32.
  virtual void add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) = 0;
  // out = x in the type of out, which is that of rms_norm(); x f32.
  virtual void convert(const Tensor& x, const Tensor& out) = 0;
  // The first `heads` heads of every row of x, wide type, in place: each divided by the root of its mean
  // square (+ eps), times weight, f32 [1, head_size].
  virtual void norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) = 0;
  // x[r] += bias; x f32 or wide type, bias f32.
  virtual void add_bias(const Tensor& x, const Tensor& bias) = 0;
  // x = cap * tanh(x / cap), f32, in place.
  virtual void soft_cap(const Tensor& x, float cap) = 0;
  // x *= factor, f32 [1, 1]; x f32.
  virtual void scale(const Tensor& x, const Tensor& factor) = 0;
  // q [rows, heads * head_size] wide type, rotated at table rows `positions` -> out, activation type, same
  // shape.
  virtual void rope(const Tensor& q, int64_t head_size, const RopeTable& table,
                    std::span<const int32_t> positions, const Tensor& out) = 0;
  // kv [rows, 2 * kv_heads * head_size] wide type (all K, then all V): rotated K and V go to slots [slot,
  // slot + rows).
  virtual void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                          const KvView& cache, int64_t slot) = 0;
  // rope() and rope_store() of x W^T; `wide` is memory for what comes between, which a device may leave as it
  // is.
  virtual void linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide, int64_t head_size,
                           const RopeTable& table, std::span<const int32_t> positions, const Tensor& out) {
    linear(x, weight, wide, false);
    rope(wide, head_size, table, positions, out);
  }
  virtual void linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                                 const RopeTable& table, std::span<const int32_t> positions,
                                 const KvView& cache, int64_t slot) {
    linear(x, weight, wide, false);
    rope_store(wide, table, positions, cache, slot);
  }
  // out = activation(gate) * up; gate_up [rows, 2 * columns] wide type (gate first), out activation type or
  // DeviceTraits::linear.
  virtual void gate(const Tensor& gate_up, Activation activation, const Tensor& out) = 0;
  // out = activation(gate) * up, all [rows, columns]; gate and up f32, out activation type.
  virtual void gate_apart(const Tensor& gate, const Tensor& up, Activation activation, const Tensor& out) = 0;
  // gate() of x W^T, with memory as above.
  virtual void linear_gate(const Tensor& x, const PackedWeight& weight, Activation activation,
                           const Tensor& gate_up, const Tensor& out) {
    linear(x, weight, gate_up, false);
    gate(gate_up, activation, out);
  }

  // x *= sigmoid(gate); gate wide type, x activation type, in place, both [rows, columns].
  virtual void gate_output(const Tensor& gate, const Tensor& x) = 0;

  // The parts of a recurrent layer, rows in the order of the sequence.
  // A causal convolution of each channel by itself, and SiLU: out[r] = silu(sum over j of weight[j] * x[r + j
  // - width + 1]), where the rows before x are `columns` [width - 1, channels], which has the last ones
  // afterwards. x wide type, weight f32 [width, channels], columns and out f32; x is not out.
  virtual void convolve(const Tensor& x, const Tensor& weight, const Tensor& columns, const Tensor& out) = 0;
  // The first `heads` heads of every row of x, f32, in place: each divided by the root of the sum of its
  // squares (+ eps).
  virtual void unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) = 0;
  // The gated delta rule (arXiv 2412.06464). For every row and value head, whose memory is S: S = e^g S, then
  // S = S + b k (v - S^T k)^T, and out = S^T q / sqrt(size), with g = decay * softplus(input + step) and b =
  // sigmoid(input). qkv f32 [rows, channels], memory as in DeltaState, out f32 [rows, value_heads * size]. A
  // device may round rows that come together otherwise than single ones.
  virtual void delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates,
                          const Tensor& memory, const Tensor& out) = 0;
  // out = every head of x, f32, divided by the root of its mean square (+ eps), times weight f32 [1,
  // head_size], times silu(gate); gate wide type, out activation type.
  virtual void gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                                const Tensor& out) = 0;

  // The best experts of each row by logits f32 [rows, experts], best first, the lower one first where two are
  // equal; their weights are the softmax of their logits.
  virtual void choose_experts(const Tensor& logits, const ExpertChoice& choice) = 0;
  // hidden[r] += the sum of weights[r, i] times what expert ids[r, i] makes of x[r]; x as linear() reads it.
  virtual void mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                           const ExpertRows& memory, const Tensor& hidden) = 0;
  // out[i] = x[rows[i]], in whatever type linear layers read, with its scales.
  virtual void gather_activations(const Tensor& x, std::span<const int32_t> rows, const Tensor& out) = 0;
  // out[r] += sigmoid(gate[r]) * x[r], f32; gate [rows, 1].
  virtual void add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) = 0;
  // out[rows[i]] += weights[i] * x[i], f32; no row is listed twice.
  virtual void add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                        const Tensor& out) = 0;

  // Prepares K and V for attention() and window_scores(); `reuse` may hold an earlier layer's memory.
  virtual void pack_kv(const KvView& kv, const SoftmaxRule& rule, std::unique_ptr<PackedKv>& reuse) = 0;
  // Attention of rows that see ranges of slots, which is causal attention by position. q, out [rows, heads *
  // head_size], activation type. `packed` may be null (few rows).
  virtual void attention(const Tensor& q, const KvView& kv, const PackedKv* packed,
                         const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out) = 0;
  // Scores of the window queries q [window, heads * head_size] (the last `window` of kv.length tokens).
  // out f32 [score_rows(spec), tokens]; see ScoreSpec for the order of the reductions. `packed` may be null
  // (few query rows). With a window of one row and all columns the query may come from after the keys: it
  // sees them all. Raw products know no rule.
  virtual void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                             const SoftmaxRule& rule, const Tensor& out) = 0;
  // [heads, tokens] of several layers -> [1, tokens].
  virtual void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                         const Tensor& out) = 0;
  // Per row of scores [rows, tokens] the `count` best by (score desc, index asc), ascending by index, then
  // the indices tokens .. tokens + forced_tail - 1. out i32 [rows, count + forced_tail].
  virtual void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) = 0;

  // out[r] = x[indices[r]]; indices i32 [1, rows] on the device; x f32. Not in place.
  virtual void gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) = 0;
  // Per KV head the rows `indices` (one row for all heads, or one per head); "all" when indices has no data.
  virtual void gather_kv(const KvView& from, const Tensor& indices, const KvView& to) = 0;
};

// Rows of the result of window_scores().
int64_t score_rows(const ScoreSpec& spec, int64_t heads, int64_t kv_heads);
// Columns of the result of window_scores().
int64_t score_tokens(const ScoreSpec& spec, int64_t length);
// Throws Error{kInvalidArgument} for a spec that makes no sense for this shape.
void check_score_spec(const ScoreSpec& spec, int64_t heads, int64_t kv_heads, int64_t length);

}  // namespace claa
