// The memory that a prompt needs, in bytes, before any of it is allocated.
#pragma once

#include <functional>

#include "backend/backend.h"
#include "model/config.h"

namespace claa {

struct MemoryPlan {
  size_t weights = 0;
  size_t hidden = 0;     // the residual stream
  size_t layer_kv = 0;   // K and V of the layer at hand, and of those that later layers read
  size_t workspace = 0;  // of a chunk of rows
  size_t cache = 0;      // of all layers, with the states of recurrent ones
  size_t program = 0;    // of the process itself, where prompts lie in its memory
  size_t prompt() const { return hidden + layer_kv + workspace + cache; }
  size_t total() const { return weights + prompt() + program; }
};

// For `tokens` tokens of which all live, and `reserve` tokens after them. Scratch of single operations is not
// counted, nor are the weights.
MemoryPlan plan_memory(const ModelConfig& config, const DeviceTraits& device, int64_t tokens,
                       int64_t reserve);

// The matrices of the model's table, as such a backend prepares them from the file, if there is one; norms
// and biases are too small to count.
size_t weight_bytes(const ModelConfig& config, const BackendOptions& options,
                    const gguf::File* file = nullptr);

// K and V of a cache with that many rows in each layer that has its own, and the states of recurrent layers.
size_t cache_bytes(const ModelConfig& config, DType dtype, const std::function<int64_t(int64_t)>& rows_of);

// Throws Error{kOutOfMemory}, with the parts in numbers, when a prompt of `tokens` tokens needs more than
// `free` bytes beside the weights.
void check_memory(const MemoryPlan& plan, int64_t tokens, size_t free);

}  // namespace claa
