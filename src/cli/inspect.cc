// claa inspect: what a model file holds, and the memory it needs for each prompt length. It reads no weights
// and needs no device.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/common.h"
#include "cli/terminal.h"
#include "core/counts.h"
#include "core/usize.h"
#include "folder/folder.h"
#include "gguf/file.h"
#include "gguf/quants.h"
#include "model/recurrent_state.h"
#include "model/shapes.h"
#include "prefill/memory_plan.h"
#include "text/visible.h"
#include "tokenizer/tokenizer.h"

namespace claa::cli {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

struct InspectOptions {
  std::string model, shape;
  std::string device = "cpu", dtype = "auto", weights = "auto";
  std::vector<int64_t> lengths;  // empty: a few typical ones
  bool json = false;
};

// The device that a plan is for, and the name of its type.
struct PlanTarget {
  BackendOptions options;
  std::string text;
  const char* weights() const { return options.resident ? "resident" : "widened"; }
};

PlanTarget plan_target(const InspectOptions& options, const std::string& dtype, bool resident) {
  // The device is not resolved: a plan needs none.
  BackendOptions device;
  device.name = options.device;
  if (device.name != "cpu" && device.name != "cuda") {
    fail(ErrorCode::kInvalidArgument, "unknown device '{}'; choose cpu or cuda", device.name);
  }
  const bool byte_weights = dtype == "fp8" || dtype == "int8";
  if (dtype == (device.name == "cpu" ? "fp8" : "int8") ||
      (!byte_weights && dtype != "f32" && dtype != "bf16")) {
    fail(ErrorCode::kInvalidArgument, "device {} has no dtype '{}'; choose auto, f32, bf16 or {}",
         device.name, dtype, device.name == "cpu" ? "int8" : "fp8");
  }
  device.dtype = dtype == "f32" ? DType::kF32 : DType::kBF16;
  device.fp8 = dtype == "fp8";
  device.int8 = dtype == "int8";
  device.resident = resident;
  return {device, dtype};
}

// All forms of weights that the options leave open. In f32 resident weights round nothing and are smaller, so
// that they are planned alone.
std::vector<PlanTarget> plan_targets(const InspectOptions& options) {
  const std::string& weights = options.weights;
  if (weights != "auto" && weights != "resident" && weights != "widened")
    fail(ErrorCode::kInvalidArgument, "unknown weights '{}'; choose auto, resident or widened", weights);
  const bool can_stay = options.shape.empty();
  if (weights == "resident" && !can_stay)
    fail(ErrorCode::kInvalidArgument, "a shape has no file whose blocks could stay resident; choose widened");
  std::vector<PlanTarget> targets;
  for (const std::string& dtype : options.dtype == "auto" ? std::vector<std::string>{"f32", "bf16"}
                                                          : std::vector<std::string>{options.dtype}) {
    const bool widened = weights == "widened" || (weights == "auto" && !(can_stay && dtype == "f32"));
    if (widened) targets.push_back(plan_target(options, dtype, false));
    if (can_stay && weights != "widened") targets.push_back(plan_target(options, dtype, true));
  }
  return targets;
}

std::vector<int64_t> plan_lengths(const InspectOptions& options, const ModelConfig& config) {
  std::vector<int64_t> lengths;
  for (const int64_t tokens :
       options.lengths.empty() ? std::vector<int64_t>{2048, 8192, 32768, 131072} : options.lengths) {
    if (tokens <= config.context) lengths.push_back(tokens);
    if (tokens > config.context && !options.lengths.empty()) {
      fail(ErrorCode::kContextExceeded,
           "{} tokens are more than the model's context holds, {}; give shorter --tokens",
           group_digits(tokens), group_digits(config.context));
    }
  }
  if (lengths.empty()) lengths.push_back(config.context);
  return lengths;
}

// Refuses bad lengths before anything is printed.
void check_plans(const InspectOptions& options, const ModelConfig& config) {
  plan_targets(options);
  plan_lengths(options, config);
}

// `file` is null for a shape.
MemoryPlan plan_of(const ModelConfig& config, const PlanTarget& target, int64_t tokens,
                   const gguf::File* file) {
  MemoryPlan plan = plan_memory(config, device_traits(target.options), tokens, 0);
  plan.weights = weight_bytes(config, target.options, file);
  return plan;
}

boost::json::array plans_json(const InspectOptions& options, const ModelConfig& config,
                              const gguf::File* file) {
  boost::json::array rows;
  for (const int64_t tokens : plan_lengths(options, config)) {
    for (const PlanTarget& target : plan_targets(options)) {
      const MemoryPlan plan = plan_of(config, target, tokens, file);
      rows.push_back(boost::json::object{{"tokens", tokens},
                                         {"device", options.device},
                                         {"dtype", target.text},
                                         {"weights", target.weights()},
                                         {"weights_bytes", plan.weights},
                                         {"hidden_bytes", plan.hidden},
                                         {"layer_kv_bytes", plan.layer_kv},
                                         {"workspace_bytes", plan.workspace},
                                         {"cache_bytes", plan.cache},
                                         {"program_bytes", plan.program},
                                         {"total_bytes", plan.total()}});
    }
  }
  return rows;
}

void print_plans(const InspectOptions& options, const ModelConfig& config, const gguf::File* file) {
  write_text(fmt::format("\nmemory of a full prefill on {}, MiB:\n", options.device));
  write_text(fmt::format("{:>9} {:>6} {:>9} {:>9} {:>9} {:>10} {:>12} {:>9} {:>9} {:>9}\n", "tokens", "dtype",
                         "form", "weights", "hidden", "layer K/V", "working set", "cache", "program",
                         "total"));
  const auto mib = [](size_t bytes) { return static_cast<double>(bytes) / kMiB; };
  for (const int64_t tokens : plan_lengths(options, config)) {
    for (const PlanTarget& target : plan_targets(options)) {
      const MemoryPlan p = plan_of(config, target, tokens, file);
      write_text(
          fmt::format("{:>9} {:>6} {:>9} {:>9.0f} {:>9.0f} {:>10.0f} {:>12.0f} {:>9.0f} {:>9.0f} {:>9.0f}\n",
                      tokens, target.text, target.weights(), mib(p.weights), mib(p.hidden), mib(p.layer_kv),
                      mib(p.workspace), mib(p.cache), mib(p.program), mib(p.total())));
    }
  }
}

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

// Layers that read K and V of earlier ones.
int64_t sharing_layers(const ModelConfig& config) {
  return config.layers - 1 - config.last_kv_layer();
}

int64_t windowed_layers(const ModelConfig& config) {
  return std::count_if(config.specs.begin(), config.specs.end(),
                       [](const LayerSpec& layer) { return layer.window > 0; });
}

// What layers have beside the shape: experts, and recurrence and windows, which decide where tokens can be
// dropped.
std::string layers_text(const ModelConfig& config) {
  std::string text;
  if (const LayerSpec& layer = config.specs.front(); layer.experts > 0) {
    text += fmt::format("experts        {} in a layer, of width {}; {} serve a token\n", layer.experts,
                        layer.expert_width, layer.experts_used);
  }
  if (const int64_t recurrent = config.recurrent_layers(); recurrent > 0) {
    const auto bytes = static_cast<double>(usize(recurrent) * recurrent_state_bytes(config.delta));
    text += fmt::format("recurrent      {} of {} layers, with a state of {:.1f} MiB for each sequence\n",
                        recurrent, config.layers, bytes / kMiB);
  }
  if (const int64_t sharing = sharing_layers(config); sharing > 0)
    text +=
        fmt::format("shared K and V {} of {} layers read those of earlier ones\n", sharing, config.layers);
  const int64_t windowed = windowed_layers(config);
  if (windowed == 0) return text;
  const auto widest =
      std::max_element(config.specs.begin(), config.specs.end(),
                       [](const LayerSpec& a, const LayerSpec& b) { return a.window < b.window; });
  return text + fmt::format("windows        {} of {} layers see the last {} positions alone\n", windowed,
                            config.layers, group_digits(widest->window));
}

void run(const InspectOptions& options) {
  const gguf::File file = open_model(options.model);
  const ModelConfig config = read_config(file);
  check_plans(options, config);
  const TokenizerData tokenizer = read_tokenizer_data(file);
  double parameters = 0;
  const std::string types = types_text(file, parameters);
  if (options.json) {
    boost::json::object json{
        {"name", config.name},
        {"architecture", config.architecture},
        {"parameters", parameters},
        {"layers", config.layers},
        {"hidden", config.hidden},
        {"ffn", config.ffn},
        {"heads", config.heads},
        {"kv_heads", config.kv_heads},
        {"head_size", config.head_size},
        {"experts", config.specs.front().experts},
        {"experts_used", config.specs.front().experts_used},
        {"windowed_layers", windowed_layers(config)},
        {"sharing_layers", sharing_layers(config)},
        {"recurrent_layers", config.recurrent_layers()},
        {"state_bytes", usize(config.recurrent_layers()) * recurrent_state_bytes(config.delta)},
        {"vocabulary", config.vocabulary},
        {"context", config.context},
        {"tensor_types", types},
        {"pre_tokenizer", tokenizer.pre},
        {"chat_template", !tokenizer.chat_template.empty()}};
    json["memory"] = plans_json(options, config, &file);
    write_json(std::move(json));
    return;
  }
  write_text(fmt::format("name           {}\narchitecture   {}\nparameters     {:.1f} M ({})\n",
                         visible_line(config.name), visible_line(config.architecture), parameters / 1e6,
                         types));
  write_text(
      fmt::format("shape          {} layers, hidden {}, ffn {}, {} query heads, {} KV heads, head size {}\n",
                  config.layers, config.hidden, config.ffn, config.heads, config.kv_heads, config.head_size));
  write_text(layers_text(config));
  write_text(fmt::format("vocabulary     {} ({}, {})\ncontext        {} tokens\nchat template  {}\n",
                         group_digits(config.vocabulary), visible_line(tokenizer.model),
                         visible_line(tokenizer.pre), group_digits(config.context),
                         tokenizer.chat_template.empty() ? "none" : "yes"));
  print_plans(options, config, &file);
}

// A published shape has no file, so its plan is all there is to print.
void run_shape(const InspectOptions& options) {
  const ModelConfig& config = find_shape(options.shape);
  check_plans(options, config);
  if (options.json) {
    write_json(
        boost::json::object{{"name", options.shape}, {"memory", plans_json(options, config, nullptr)}});
    return;
  }
  write_text(fmt::format("name           {}\ncontext        {} tokens\n", options.shape,
                         group_digits(config.context)));
  print_plans(options, config, nullptr);
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "what a model file holds and the memory it needs");
  auto* model = command->add_option("model", options->model, "GGUF file, or folder of transformers");
  command->add_option("--shape", options->shape, "a published shape instead, such as llama-3.1-8b")
      ->excludes(model);
  command->add_option("--device", options->device, "device whose memory is planned: cpu or cuda")
      ->capture_default_str();
  command->add_option("--dtype", options->dtype, "auto (f32 and bf16), f32, bf16, int8 (cpu) or fp8 (cuda)")
      ->capture_default_str();
  command
      ->add_option("--weights", options->weights,
                   "form of the weights: auto (all that there are), resident or widened")
      ->capture_default_str();
  command->add_option("--tokens", options->lengths, "prompt lengths")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 27));
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options] {
    if (options->model.empty() && options->shape.empty()) {
      fail(ErrorCode::kInvalidArgument, "give a model file, or a shape (--shape)");
    }
    options->shape.empty() ? run(*options) : run_shape(*options);
  });
}

}  // namespace claa::cli
