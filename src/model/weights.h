// Weights of a Llama-like model, prepared for one backend.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "gguf/file.h"
#include "model/config.h"

namespace claa {

// A small f32 vector on the device: a norm weight or a bias.
struct Vector {
  Buffer memory;
  Tensor tensor;  // [1, n]
};

struct LayerWeights {
  Vector attention_norm, ffn_norm;
  std::unique_ptr<PackedWeight> q;        // [heads * head_size, hidden]
  std::unique_ptr<PackedWeight> kv;       // [2 * kv_heads * head_size, hidden]: all K rows, then all V rows
  std::unique_ptr<PackedWeight> output;   // [hidden, heads * head_size]
  std::unique_ptr<PackedWeight> gate_up;  // [2 * ffn, hidden]: gate rows, then up rows
  std::unique_ptr<PackedWeight> down;     // [hidden, ffn]
  Vector q_bias, kv_bias;                 // empty unless config.qkv_bias
};

struct ModelWeights {
  std::shared_ptr<PackedWeight> embedding;  // [vocabulary, hidden]
  std::shared_ptr<PackedWeight> output;     // the embedding itself when tied
  Vector final_norm;
  std::vector<LayerWeights> layers;
  size_t bytes = 0;
};

// Called after each layer with the layers done and in all.
using LoadProgress = std::function<void(int64_t, int64_t)>;

// Checks every shape. Throws kCorruptFile for a missing or misshapen tensor.
ModelWeights load_weights(const gguf::File& file, const ModelConfig& config, Backend& backend,
                          const LoadProgress& progress = {});

}  // namespace claa
