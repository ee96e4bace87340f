// What architectures without experts share: the names of their tensors, and how their RoPE is described.
#pragma once

#include "model/config.h"
#include "model/metadata.h"
#include "model/spec.h"

namespace claa {

// The weights outside the layers, and those of a layer, with the names that all architectures use. Biases on
// Q, K and V, norms of heads and norms after a branch are there where the layer's spec says so.
std::vector<WeightSpec> dense_model_weights(const ModelConfig& config);
std::vector<WeightSpec> dense_layer_weights(const ModelConfig& config, int64_t layer);

// What most of them say of themselves: read_rope(), and biases on Q, K and V where the first layer has them.
void describe_dense(const gguf::File& file, ModelConfig& config, bool interleaved);

// The RoPE of the keys rope.freq_base, rope.dimension_count and rope.scaling.*, and of the tensor
// kRopeFrequencies, if there is one. Throws kUnsupported for other kinds of scaling, kCorruptFile for
// senseless values.
RopeConfig read_rope(const gguf::File& file, const Metadata& metadata, int64_t head_size, bool interleaved);
// A RoPE that turns nothing, for layers without one.
RopeConfig no_rotation(const RopeConfig& like);
constexpr const char* kRopeFrequencies = "rope_freqs.weight";

}  // namespace claa
