// What architectures share: the names of their tensors, and how RoPE, windows and experts are described.
#pragma once

#include "model/config.h"
#include "model/metadata.h"
#include "model/spec.h"

namespace claa {

// The weights outside the layers, and those of a layer, with the names that all architectures use. Biases on
// Q, K and V, norms of heads and norms after a branch are there where the layer's spec says so.
std::vector<WeightSpec> dense_model_weights(const ModelConfig& config);
std::vector<WeightSpec> dense_layer_weights(const ModelConfig& config, int64_t layer);
// The same for files that call the norm before the feed-forward post_attention_norm.
std::vector<WeightSpec> dense_layer_weights_renamed(const ModelConfig& config, int64_t layer);

// What most of them say of themselves: read_rope(), biases on Q, K and V where the first layer has them, and
// tensors that hold several of the table's.
void describe_dense(const gguf::File& file, ModelConfig& config, bool interleaved);

// Experts in every layer, by the keys expert_count, expert_used_count and expert_feed_forward_length.
void read_experts(const gguf::File& file, ModelConfig& config);
// Sliding windows of attention.sliding_window positions, or of `usual` where that key is missing; without
// `usual` it must be there. attention.sliding_window_pattern says which layers have one: a list with a
// boolean for each, or the number n of which every n-th layer sees all, `every` where the key is missing.
void read_windows(const gguf::File& file, ModelConfig& config, int64_t every, int64_t usual = 0);
// False where attention.sliding_window is zero or missing.
bool has_windows(const gguf::File& file, const ModelConfig& config);
// The positive number of a key, or `none` where it is missing or zero. Throws kCorruptFile for others.
float read_scale(const gguf::File& file, const ModelConfig& config, const char* key, float none = 1);

// The RoPE of the keys rope.freq_base, rope.dimension_count and rope.scaling.*, and of the tensor
// kRopeFrequencies, if there is one. Throws kUnsupported for other kinds of scaling, kCorruptFile for
// senseless values.
RopeConfig read_rope(const gguf::File& file, const Metadata& metadata, int64_t head_size, bool interleaved);
// The RoPE of a base alone, without scaling, that turns the same pairs as another.
RopeConfig plain_rope(const RopeConfig& like, double base);
// A RoPE that turns nothing, for layers without one.
RopeConfig no_rotation(const RopeConfig& like);
constexpr const char* kRopeFrequencies = "rope_freqs.weight";
// The f32 tensor `name`, [pairs], of divisors of frequencies; empty where the file has none. Throws
// kCorruptFile for another shape or type, or a value that is not positive.
std::vector<float> read_frequency_factors(const gguf::File& file, const char* name, int64_t pairs);

}  // namespace claa
