// Loading: a model file with its tokenizer and template, or a published shape with random weights.
#include <algorithm>

#include "claa/version.h"
#include "core/cache_file.h"
#include "core/counts.h"
#include "core/fingerprint.h"
#include "core/memory.h"
#include "engine/fit.h"
#include "engine/impl.h"
#include "engine/markers.h"
#include "folder/folder.h"
#include "model/shapes.h"
#include "prefill/memory_plan.h"

namespace claa {

namespace {

// What `weights` of the options means for a device.
bool stay_resident(const EngineOptions& options, const BackendOptions& device, const ModelSource& source) {
  if (options.weights == "widened") return false;
  const bool cuda = device.name == "cuda";
  if (options.weights == "auto") {
    const bool as_good = cuda ? !device.fp8 : device.name == "cpu" && device.dtype == DType::kF32;
    return as_good && source.shape.empty();
  }
  if (options.weights != "resident") {
    fail(ErrorCode::kInvalidArgument, "unknown weights '{}'; choose auto, resident or widened",
         options.weights);
  }
  if (device.name != "cpu" && !cuda) {
    fail(ErrorCode::kUnsupported,
         "weights stay resident on the devices cpu and cuda, this is {}; choose auto or widened",
         device.name);
  }
  if (!source.shape.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "a shape has no file whose blocks could stay resident; choose auto or widened");
  }
  return true;
}

// Where what was learned of a model's channels is kept for the next time that it is loaded.
CacheFile factors_file(const std::string& folder, uint64_t weights, const Backend& backend) {
  const std::string key =
      fmt::format("channels of {:016x} on {}, claa {}", weights, backend.description(), kVersion);
  return {folder, fmt::format("channels-{:016x}", fingerprint(std::as_bytes(std::span(key)))), key};
}

BackendOptions device_options(const EngineOptions& options, const ModelSource& source) {
  BackendOptions device = backend_options(options.device, options.dtype, options.threads, options.isa);
  device.cache_folder = options.cache_folder;
  device.resident = stay_resident(options, device, source);
  return device;
}

}  // namespace

Engine::Impl::Impl(const ModelSource& source, const EngineOptions& options)
    : device(device_options(options, source)), backend(make_backend(device)), methods(builtin_methods()) {
  if (source.file.empty() == source.shape.empty())
    fail(ErrorCode::kInvalidArgument, "a model is either a file or a shape; give one of them");
  if (source.shape.empty()) {
    load_file(source.file, options);
  } else {
    load_shape(source.shape, options);
  }
  const ModelConfig& config = model->config();
  summary.name = config.name;
  summary.architecture = config.architecture;
  summary.file = source.file;
  summary.layers = config.layers;
  summary.hidden = config.hidden;
  summary.heads = config.heads;
  summary.kv_heads = config.kv_heads;
  summary.head_size = config.head_size;
  summary.vocabulary = config.vocabulary;
  summary.context = config.context;
  summary.windowed_layers = std::count_if(config.specs.begin(), config.specs.end(),
                                          [](const LayerSpec& layer) { return layer.window > 0; });
  summary.recurrent_layers = config.recurrent_layers();
  summary.weight_bytes = model->weights().bytes();
  summary.resident_bytes = model->weights().resident_bytes();
  summary.device = backend->description();
  summary.dtype = dtype_name(backend->dtype());
  summary.draft = options.draft;
}

// Where weights stay in the mapping of their file, the system reads them as they are needed, and takes their
// memory back.
void Engine::Impl::check_fit(const std::string& name, const ModelConfig& config,
                             const gguf::File* file) const {
  if (device.name == "cpu" && device.resident) return;
  const size_t free = backend->free_bytes() > 0 ? backend->free_bytes() : available_memory();
  check_weights_fit(name, weight_bytes(config, device, file), free,
                    [&] { return weight_forms(config, device, file); });
}

void Engine::Impl::load_file(const std::string& path, const EngineOptions& options) {
  gguf::File file = open_model(path);
  summary.fingerprint = gguf::weights_fingerprint(file);
  profiles.emplace(options.profile, path,
                   [this] { return summary.fingerprint; });  // refuses before the weights
  const ModelConfig config = read_config(file);
  TokenizerData data = read_tokenizer_data(file);
  adopt_markers(data, summary.warnings);
  tokenizer.emplace(std::move(data));
  check_fit(path, config, &file);
  const CacheFile factors = factors_file(options.cache_folder, summary.fingerprint, *backend);
  model.emplace(config, load_weights(file, config, *backend, options.on_load, &factors), *backend);
  if (!file.has("tokenizer.ggml.pre") && tokenizer->data().model == "gpt2") {
    summary.warnings.push_back(path +
                               ": the file names no pre-tokenizer (tokenizer.ggml.pre); that of GPT-2 is "
                               "assumed, which cuts numbers and "
                               "contractions otherwise than many models were trained with; convert the model "
                               "anew if answers are poor");
  }
  if (tokenizer->vocab_size() > config.vocabulary) {
    fail(ErrorCode::kCorruptFile,
         "{}: the tokenizer has {} tokens, the embedding {} rows; convert the model anew", path,
         group_digits(tokenizer->vocab_size()), group_digits(config.vocabulary));
  }
  if (model->weights().resident_bytes() > 0) mapped.push_back(std::move(file));
  if (!options.draft.empty()) load_drafter(options.draft, options.cache_folder);
}

void Engine::Impl::load_shape(const std::string& name, const EngineOptions& options) {
  const ModelConfig& config = find_shape(name);
  profiles.emplace(options.profile, "", [] { return uint64_t{0}; });
  check_fit(name, config, nullptr);
  model.emplace(config, random_weights(config, *backend, options.on_load), *backend);
  if (options.draft.empty()) return;
  const ModelConfig& draft = find_shape(options.draft);
  if (draft.vocabulary != config.vocabulary) {
    fail(ErrorCode::kInvalidArgument,
         "the draft '{}' has a vocabulary of {} tokens, the shape has {}; choose one with as many",
         options.draft, group_digits(draft.vocabulary), group_digits(config.vocabulary));
  }
  check_fit(options.draft, draft, nullptr);
  drafter.emplace(draft, random_weights(draft, *backend), *backend);
}

void Engine::Impl::load_drafter(const std::string& path, const std::string& cache_folder) {
  gguf::File file = open_model(path);
  const std::vector<std::string>& tokens = tokenizer->data().tokens;
  const std::vector<std::string> drafted = read_tokenizer_data(file).tokens;
  if (drafted.size() != tokens.size()) {
    fail(ErrorCode::kInvalidArgument,
         "the draft model '{}' has a vocabulary of {} tokens, the model has {}; choose one with the same "
         "tokenizer",
         path, group_digits(drafted.size()), group_digits(tokens.size()));
  }
  const auto differ = std::mismatch(tokens.begin(), tokens.end(), drafted.begin());
  if (differ.first != tokens.end()) {
    fail(ErrorCode::kInvalidArgument,
         "the draft model '{}' has another vocabulary: token {} differs; choose one with the same tokenizer",
         path, differ.first - tokens.begin());
  }
  const ModelConfig config = read_config(file);
  check_fit(path, config, &file);
  const CacheFile factors = factors_file(cache_folder, gguf::weights_fingerprint(file), *backend);
  drafter.emplace(config, load_weights(file, config, *backend, {}, &factors), *backend);
  if (drafter->weights().resident_bytes() > 0) mapped.push_back(std::move(file));
}

Engine Engine::load(const ModelSource& source, const EngineOptions& options) {
  Stopwatch clock;
  auto impl = std::make_shared<Impl>(source, options);
  impl->load_ms = clock.ms();
  return Engine(std::move(impl));
}

}  // namespace claa
