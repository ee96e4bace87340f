// What models of one model_type are called and do. Private to this room.
#pragma once

#include <string_view>

#include "folder/model_settings.h"
#include "folder/settings.h"
#include "gguf/writer.h"

namespace claa {

struct Family {
  std::string_view model_type;    // in config.json
  std::string_view architecture;  // in GGUF files
  bool gemma = false;  // GELU, shifted norms, an output that is the embedding unless the file says otherwise
  bool after_norms = false;  // post_attention_layernorm is the norm of what attention gives
  // Adds what no other family has, and refuses what would be ignored.
  void (*add)(const Settings& config, const Family& family, gguf::Writer& writer) = nullptr;
  // Says which tensors have names, or an order, that other families do not have.
  void (*name)(const Settings& config, ModelSettings& settings) = nullptr;
  // Heads, widths and RoPE where layers differ in them.
  void (*sizes)(const Settings& config, const Family& family, gguf::Writer& writer,
                ModelSettings& settings) = nullptr;
  double rotated = 1;  // which part of a head turns, where the file does not say it
};

uint64_t count_experts(const Settings& config);
// Which layers have a window, where the file lists them.
void add_windows(const Settings& config, const Family& family, gguf::Writer& writer);

void add_gpt_oss(const Settings& config, const Family& family, gguf::Writer& writer);
void name_gpt_oss(const Settings& config, ModelSettings& settings);
void add_qwen35(const Settings& config, const Family& family, gguf::Writer& writer);
void add_qwen35_moe(const Settings& config, const Family& family, gguf::Writer& writer);
void name_qwen35(const Settings& config, ModelSettings& settings);
void add_gemma4(const Settings& config, const Family& family, gguf::Writer& writer);
void size_gemma4(const Settings& config, const Family& family, gguf::Writer& writer, ModelSettings& settings);
void name_gemma4(const Settings& config, ModelSettings& settings);

}  // namespace claa
