// ModelConfig: everything that the Llama family's metadata says, checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/file.h"

namespace claa {

enum class RopeScaling { kNone, kLinear, kYarn };

struct RopeConfig {
  double base = 10000;
  int64_t rotated = 0;      // dimensions of a head that turn; the rest passes
  bool interleaved = true;  // pairs (2i, 2i+1), as GGUF stores Llama weights; false: (i, i + rotated/2)
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  double original_context = 0;
  double attention_factor = 0;  // yarn; 0: derived from the factor
  double beta_fast = 32, beta_slow = 1;
  std::vector<float> frequency_factors;  // Llama 3 scaling, one divisor a pair; empty: none
};

struct ModelConfig {
  std::string architecture;
  std::string name;
  int64_t layers = 0, hidden = 0, ffn = 0, heads = 0, kv_heads = 0, head_size = 0, vocabulary = 0,
          context = 0;
  float norm_eps = 1e-5f;
  RopeConfig rope;
  bool tied_output = false;
  bool qkv_bias = false;
};

// Throws Error: kUnsupported (architecture, experts, scaling), kCorruptFile (missing or senseless values).
ModelConfig read_config(const gguf::File& file);

}  // namespace claa
