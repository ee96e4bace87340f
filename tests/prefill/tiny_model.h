// A small random model, written as GGUF and loaded in memory. Tests may change its metadata and tensors
// first.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gguf/writer.h"
#include "model/config.h"
#include "model/model.h"
#include "model/weights.h"

namespace claa::test {

struct TinyShape {
  std::string architecture = "llama";
  uint32_t layers = 6, hidden = 64, ffn = 96, heads = 4, kv_heads = 2, vocabulary = 97, context = 1024;
  bool bias = false;
};

// The parts of a model file before they are written.
struct TinyFile {
  std::map<std::string, gguf::Writer::Value> metadata;
  std::map<std::string, std::vector<uint64_t>> tensors;  // name to shape, fastest dimension first
  std::map<std::string, float> numbers;                  // tensors of one value
  bool bf16 = false;                                     // rounds matrices

  std::string key(const std::string& name) const {
    return std::get<std::string>(metadata.at("general.architecture")) + "." + name;
  }
  // Values are random, the same for every call with one seed.
  std::vector<std::byte> build(uint64_t seed = 1) const {
    gguf::Writer writer;
    for (const auto& [name, value] : metadata) writer.add(name, value);
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (const auto& [name, shape] : tensors) {
      size_t count = 1;
      for (const uint64_t extent : shape) count *= extent;
      const bool norm = name.find("norm") != std::string::npos || name.starts_with("rope_f");
      // Queries and keys are scaled up, so that attention is far from uniform and rankings mean something.
      const bool sharp = name.find("attn_q") != std::string::npos || name.find("attn_k") != std::string::npos;
      const float scale =
          shape.size() < 2 ? 0.1f : (sharp ? 2.0f : 1.0f) / std::sqrt(static_cast<float>(shape[0]));
      std::vector<float> values(count);
      for (float& value : values) value = normal(random) * scale + (norm ? 1.0f : 0.0f);
      if (bf16 && shape.size() > 1) {
        std::vector<Bf16> rounded(count);
        std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
        writer.add_tensor(name, shape, gguf::TensorType::kBF16, std::as_bytes(std::span(rounded)));
      } else {
        writer.add_tensor(name, shape, gguf::TensorType::kF32, std::as_bytes(std::span(values)));
      }
    }
    for (const auto& [name, number] : numbers)
      writer.add_tensor(name, {1}, gguf::TensorType::kF32, std::as_bytes(std::span(&number, 1)));
    return writer.to_bytes();
  }
};

inline void add_layer(TinyFile& file, const TinyShape& shape, uint32_t layer) {
  const uint64_t hidden = shape.hidden, ffn = shape.ffn, head_size = hidden / shape.heads;
  const uint64_t kv = head_size * shape.kv_heads;
  const auto name = [layer](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
  file.tensors[name("attn_norm.weight")] = {hidden};
  file.tensors[name("ffn_norm.weight")] = {hidden};
  file.tensors[name("attn_q.weight")] = {hidden, hidden};
  file.tensors[name("attn_k.weight")] = {hidden, kv};
  file.tensors[name("attn_v.weight")] = {hidden, kv};
  file.tensors[name("attn_output.weight")] = {hidden, hidden};
  file.tensors[name("ffn_gate.weight")] = {hidden, ffn};
  file.tensors[name("ffn_up.weight")] = {hidden, ffn};
  file.tensors[name("ffn_down.weight")] = {ffn, hidden};
  if (!shape.bias) return;
  file.tensors[name("attn_q.bias")] = {hidden};
  file.tensors[name("attn_k.bias")] = {kv};
  file.tensors[name("attn_v.bias")] = {kv};
}

inline TinyFile tiny_file(const TinyShape& shape = {}) {
  TinyFile file;
  file.metadata["general.architecture"] = shape.architecture;
  file.metadata["general.name"] = std::string("tiny");
  const std::map<std::string, uint32_t> numbers = {{"block_count", shape.layers},
                                                   {"embedding_length", shape.hidden},
                                                   {"feed_forward_length", shape.ffn},
                                                   {"attention.head_count", shape.heads},
                                                   {"attention.head_count_kv", shape.kv_heads},
                                                   {"context_length", shape.context}};
  for (const auto& [name, value] : numbers) file.metadata[file.key(name)] = value;
  file.tensors["token_embd.weight"] = {shape.hidden, shape.vocabulary};
  file.tensors["output.weight"] = {shape.hidden, shape.vocabulary};
  file.tensors["output_norm.weight"] = {shape.hidden};
  for (uint32_t layer = 0; layer < shape.layers; ++layer) add_layer(file, shape, layer);
  return file;
}

// A loaded model with its backend.
struct TinyModel {
  explicit TinyModel(const BackendOptions& options, const TinyShape& shape = {})
      : TinyModel(options, tiny_file(shape).build()) {}
  TinyModel(const BackendOptions& options, std::vector<std::byte> file_bytes)
      : bytes(std::move(file_bytes)),
        file(gguf::File::parse(bytes, "tiny.gguf")),
        backend(make_backend(options)),
        model(read_config(file), load_weights(file, read_config(file), *backend), *backend) {}
  TinyModel(const TinyModel&) = delete;
  TinyModel& operator=(const TinyModel&) = delete;

  std::vector<std::byte> bytes;
  gguf::File file;
  std::unique_ptr<Backend> backend;
  Model model;
};

}  // namespace claa::test
