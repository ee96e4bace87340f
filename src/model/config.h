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
  float logit_cap = 0;  // soft cap of the logits; 0: none
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
};

// The architectures that this build runs.
std::span<const Architecture* const> architectures();

// Of one of the architectures `known`. Throws Error: kUnsupported (architecture, experts, scaling),
// kCorruptFile (missing or senseless values).
ModelConfig read_config(const gguf::File& file, std::span<const Architecture* const> known = architectures());

}  // namespace claa
