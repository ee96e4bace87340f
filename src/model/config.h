// ModelConfig: everything that a model file's metadata says, checked.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/usize.h"
#include "gguf/file.h"
#include "model/spec.h"

namespace claa {

enum class RopeScaling { kNone, kLinear, kYarn, kLong };

struct RopeConfig {
  double base = 10000;
  int64_t rotated = 0;      // dimensions of a head that turn; the rest passes
  bool interleaved = true;  // pairs (2i, 2i+1), as GGUF stores Llama weights; false: (i, i + rotated/2)
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  double original_context = 0;
  double attention_factor = 0;  // yarn and long; 0: derived from the factor
  double beta_fast = 32, beta_slow = 1;
  bool whole_pairs = true;               // yarn: its ramp begins and ends at a pair, not between two
  std::vector<float> frequency_factors;  // Llama 3 scaling, one divisor per pair; empty: none
  // Long: the divisors for prompts that are longer than the original context.
  std::vector<float> long_factors = {};
  // What turns by it at position p is multiplied by 1 + temperature_scale * ln(1 + floor(p /
  // original_context)).
  double temperature_scale = 0;
};

struct ModelConfig {
  std::string architecture;
  std::string name;
  int64_t layers = 0, hidden = 0, ffn = 0, heads = 0, kv_heads = 0, head_size = 0, vocabulary = 0,
          context = 0;
  float norm_eps = 1e-5f;
  // What rows of the embedding, what a branch adds to the residual stream, and logits are multiplied by. The
  // last two are in the weights.
  float embedding_scale = 1, residual_scale = 1, logit_scale = 1;
  float input_scale = 1;  // what rows of the table of Role::kTokenInputs are multiplied by
  float logit_cap = 0;    // soft cap of the logits; 0: none
  bool tied_output = false;
  std::vector<RopeConfig> ropes;
  std::vector<LayerSpec> specs;          // one per layer
  DeltaSpec delta;                       // of the recurrent ones
  int64_t skipped_blocks = 0;            // of the file, behind the layers: they predict further tokens
  const Architecture* family = nullptr;  // lives as long as the program

  int64_t q_size() const { return heads * head_size; }
  int64_t kv_size() const { return kv_heads * head_size; }
  const LayerSpec& spec(int64_t layer) const { return specs[usize(layer)]; }
  int64_t recurrent_layers() const;
  // The shape of a layer.
  int64_t kv_heads_of(int64_t layer) const { return own_or(spec(layer).kv_heads, kv_heads); }
  int64_t head_size_of(int64_t layer) const { return own_or(spec(layer).head_size, head_size); }
  int64_t ffn_of(int64_t layer) const { return own_or(spec(layer).ffn, ffn); }
  int64_t q_size(int64_t layer) const { return heads * head_size_of(layer); }
  int64_t kv_size(int64_t layer) const { return kv_heads_of(layer) * head_size_of(layer); }
  bool has_own_kv(int64_t layer) const { return spec(layer).kv_source < 0; }
  bool stores_kv(int64_t layer) const { return has_own_kv(layer) && !spec(layer).recurrent; }
  // Whether a later layer reads this one's K and V.
  bool is_kv_source(int64_t layer) const;
  // The last layer that has K and V of its own. Behind it no row is read but the last.
  int64_t last_kv_layer() const;

 private:
  static int64_t own_or(int64_t own, int64_t common) { return own > 0 ? own : common; }
};

// The architectures that this build runs.
std::span<const Architecture* const> architectures();

// Of one of the architectures `known`. Throws Error: kUnsupported (architecture, experts, scaling),
// kCorruptFile (missing or senseless values).
ModelConfig read_config(const gguf::File& file, std::span<const Architecture* const> known = architectures());

}  // namespace claa
