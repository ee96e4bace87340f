// config.json of a folder as the metadata that a GGUF file of the same model has.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "folder/parts.h"
#include "folder/settings.h"
#include "gguf/writer.h"

namespace claa {

struct ModelSettings {
  std::string architecture;
  uint64_t layers = 0;
  uint64_t experts = 0;        // of each layer that has some
  bool shifted_norms = false;  // norms multiply by one more than their weights
  // Names of parts of a layer, by those of the folder, and of the parts of an expert.
  std::map<std::string, std::string, std::less<>> layer_names, expert_names;
  // Names of tensors of no layer, where they are other than in most models.
  std::map<std::string, std::string, std::less<>> model_names;
  std::span<const PartRule> rules;  // tensors of a layer that lie otherwise in GGUF files
  HeadOrder heads;                  // of the rules
  bool expert_scales = false;       // a tensor "....scale" multiplies experts
  // Parts of a model that reads images, which this build leaves out; empty for a model of text.
  std::vector<std::string> left_out;
  std::optional<bool> tied;                    // whether the output is the embedding, where the file says so
  uint64_t scale_rows = 0, scale_columns = 0;  // of a tile of FP8 weights; 0: they are not FP8
  std::map<std::string, std::vector<float>> vectors;  // tensors that are computed from the settings
};

// Writes the metadata of config.json, general.architecture included. Throws kUnsupported for a model that
// this build does not run, or not from a folder, and for a setting that it would ignore.
ModelSettings describe_model(const Settings& config, gguf::Writer& writer);

}  // namespace claa
