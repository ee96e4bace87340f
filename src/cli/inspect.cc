// claa inspect: what a model file holds, and the memory it needs per prompt length. Reads no weights.
#include <fmt/format.h>

#include <iostream>
#include <map>

#include "cli/common.h"
#include "gguf/file.h"
#include "gguf/quants.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

namespace claa::cli {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

// Bytes by part; values of `element` bytes for activations, K and V.
struct MemoryPlan {
  double weights, hidden, layer_kv, cache;
  double total() const { return weights + hidden + layer_kv + cache; }
};

MemoryPlan plan(const ModelConfig& c, double parameters, double tokens, double element) {
  const double kv_row = static_cast<double>(2 * c.kv_heads * c.head_size) * element;
  return {parameters * element, tokens * static_cast<double>(c.hidden) * 4, 2 * tokens * kv_row,
          tokens * kv_row * static_cast<double>(c.layers)};
}

struct InspectOptions {
  std::string model;
  bool json = false;
};

std::string types_text(const gguf::File& file, double& parameters) {
  std::map<std::string_view, int64_t> types;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    ++types[gguf::type_name(tensor.type)];
    parameters += static_cast<double>(tensor.elements());
  }
  std::string text;
  for (const auto& [type, count] : types)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, type);
  return text;
}

void run(const InspectOptions& options) {
  const gguf::File file = gguf::File::open(options.model);
  const ModelConfig config = read_config(file);
  const TokenizerData tokenizer = read_tokenizer_data(file);
  double parameters = 0;
  const std::string types = types_text(file, parameters);
  const std::vector<int64_t> lengths = {2048, 8192, 32768, 131072};
  if (options.json) {
    boost::json::object json{{"name", config.name},
                             {"architecture", config.architecture},
                             {"parameters", parameters},
                             {"layers", config.layers},
                             {"hidden", config.hidden},
                             {"ffn", config.ffn},
                             {"heads", config.heads},
                             {"kv_heads", config.kv_heads},
                             {"head_size", config.head_size},
                             {"vocabulary", config.vocabulary},
                             {"context", config.context},
                             {"tensor_types", types},
                             {"pre_tokenizer", tokenizer.pre},
                             {"chat_template", !tokenizer.chat_template.empty()}};
    boost::json::array memory;
    for (const int64_t tokens : lengths) {
      if (tokens > config.context) continue;
      memory.push_back(boost::json::object{
          {"tokens", tokens},
          {"f32_bytes", plan(config, parameters, static_cast<double>(tokens), 4).total()},
          {"bf16_bytes", plan(config, parameters, static_cast<double>(tokens), 2).total()}});
    }
    json["memory"] = std::move(memory);
    std::cout << boost::json::serialize(json) << "\n";
    return;
  }
  std::cout << fmt::format("name           {}\narchitecture   {}\nparameters     {:.1f} M ({})\n",
                           config.name, config.architecture, parameters / 1e6, types);
  std::cout << fmt::format(
      "shape          {} layers, hidden {}, ffn {}, {} query heads, {} KV heads, head size {}\n",
      config.layers, config.hidden, config.ffn, config.heads, config.kv_heads, config.head_size);
  std::cout << fmt::format("vocabulary     {} ({}, {})\ncontext        {} tokens\nchat template  {}\n",
                           config.vocabulary, tokenizer.model, tokenizer.pre, config.context,
                           tokenizer.chat_template.empty() ? "none" : "yes");
  std::cout << "\nmemory, full prefill, MiB (weights + hidden states + one layer's K and V + cache):\n";
  std::cout << fmt::format("{:>9} {:>10} {:>10}\n", "tokens", "f32", "bf16");
  for (const int64_t tokens : lengths) {
    if (tokens > config.context) continue;
    std::cout << fmt::format("{:>9} {:>10.0f} {:>10.0f}\n", tokens,
                             plan(config, parameters, static_cast<double>(tokens), 4).total() / kMiB,
                             plan(config, parameters, static_cast<double>(tokens), 2).total() / kMiB);
  }
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "what a model file holds and the memory it needs");
  command->add_option("model", options->model, "GGUF model file")->required();
  command->add_flag("--json", options->json, "as JSON");
  command->callback([options] { run(*options); });
}

}  // namespace claa::cli
