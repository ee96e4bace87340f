#include "tokenizer/tokenizer_data.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"
#include "gguf/file.h"
#include "tokenizer/pretokenizer.h"

namespace claa {
namespace {

// Whether an id outside the vocabulary is a mistake, or as good as none since nothing uses it.
enum class IdUse { kUsed, kUnused };

// The id under an optional key. Some converters write 2^32 - 1 for "none", others the size of the vocabulary
// for tokens that no text has.
int32_t read_id(const gguf::File& file, std::string_view key, size_t vocab_size, IdUse use) {
  const auto value = file.get_uint(key);
  if (!value || *value == std::numeric_limits<uint32_t>::max()) return -1;
  if (*value >= vocab_size) {
    if (use == IdUse::kUnused) return -1;
    fail(ErrorCode::kCorruptFile, "{}: {} is {}, but the vocabulary has {} tokens; convert the model anew",
         file.name(), key, *value, group_digits(vocab_size));
  }
  return static_cast<int32_t>(*value);
}

std::vector<std::string> read_strings(const gguf::File& file, std::string_view key) {
  const auto views = file.get_strings(key);
  if (!views)
    fail(ErrorCode::kCorruptFile, "{}: {} is missing: the file has no complete tokenizer", file.name(), key);
  return {views->begin(), views->end()};
}

std::vector<int32_t> read_types(const gguf::File& file) {
  std::vector<int32_t> types;
  const auto values = file.get_ints("tokenizer.ggml.token_type");
  if (!values) return types;
  types.reserve(values->size());
  for (const int64_t value : *values) {
    if (value < 0 || value > static_cast<int64_t>(TokenType::kByte)) {
      fail(ErrorCode::kCorruptFile, "{}: tokenizer.ggml.token_type[{}] is {}; types are 0 to 6", file.name(),
           types.size(), value);
    }
    types.push_back(static_cast<int32_t>(value));
  }
  return types;
}

std::vector<float> read_scores(const gguf::File& file) {
  constexpr const char* key = "tokenizer.ggml.scores";
  const auto values = file.get_floats(key);
  if (!values)
    fail(ErrorCode::kCorruptFile, "{}: {} is missing: the file has no complete tokenizer", file.name(), key);
  return {values->begin(), values->end()};
}

// Names come from files: only the beginning of a long one is shown.
std::string_view shown(std::string_view name) {
  return name.substr(0, 60);
}

void check_model(const std::string& model, const std::string& pre, const std::string& source) {
  if (model == "llama" || model == kGemma4Bpe || (model == "bpe" && pre == kExpressions)) return;
  if (model != "gpt2") {
    fail(ErrorCode::kUnsupported,
         "{}: the tokenizer model is '{}'; this build runs byte-level BPE ('gpt2'), SentencePiece's BPE "
         "('llama') and Gemma 4's BPE ('gemma4')",
         source, shown(model));
  }
  if (pre != kExpressions && !pre_kind_from_name(pre)) {
    fail(ErrorCode::kUnsupported, "{}: the pre-tokenizer '{}' is not known; known are {}", source, shown(pre),
         known_pre_names());
  }
}

SpacePrefix space_prefix_of(std::string_view name, const gguf::File& file) {
  if (name == "never") return SpacePrefix::kNever;
  if (name == "always") return SpacePrefix::kAlways;
  if (name == "always unless there") return SpacePrefix::kAlwaysUnlessThere;
  if (name == "first unless there") return SpacePrefix::kFirstUnlessThere;
  fail(ErrorCode::kCorruptFile, "{}: tokenizer.json.space_prefix is '{}'", file.name(), shown(name));
}

// What a folder's tokenizer.json says (see folder/pipeline.h).
void read_expressions(const gguf::File& file, TokenizerData& data) {
  const auto flag = [&](const char* key) {
    return file.get_bool(std::string("tokenizer.json.") + key).value_or(false);
  };
  data.expressions = read_strings(file, "tokenizer.json.expressions");
  data.nfc = flag("nfc");
  data.ignore_merges = flag("ignore_merges");
  data.cut_at_spaces = flag("cut_at_spaces");
  data.byte_fallback = flag("byte_fallback");
  data.fuse_unknown = flag("fuse_unknown");
  data.space_prefix = space_prefix_of(file.get_string("tokenizer.json.space_prefix").value_or("never"), file);
  const auto ids = [&](const char* key, std::vector<int32_t>& to) {
    const auto listed = file.get_ints(std::string("tokenizer.json.") + key).value_or(std::vector<int64_t>{});
    for (const int64_t id : listed) {
      if (id < 0 || usize(id) >= data.tokens.size()) {
        fail(ErrorCode::kCorruptFile, "{}: tokenizer.json.{} holds {}, but the vocabulary has {} tokens",
             file.name(), key, id, group_digits(data.tokens.size()));
      }
      to.push_back(static_cast<int32_t>(id));
    }
  };
  ids("end_token_ids", data.turn_ends);
  ids("strip_left", data.strip_left);
  ids("strip_right", data.strip_right);
}

// What files of Gemma 4 leave out, since it is the same in all of them. A tool's answer follows a call, and
// it is not the model that gives it.
void complete_gemma4(TokenizerData& data) {
  data.byte_fallback = data.fuse_unknown = true;
  for (const char* name : {"<turn|>", "<|tool_response>"}) {
    const auto found = std::find(data.tokens.begin(), data.tokens.end(), name);
    if (found != data.tokens.end())
      data.turn_ends.push_back(static_cast<int32_t>(found - data.tokens.begin()));
  }
}

// The token that characters without one become: that of merging is named, that of other files has an id.
void read_unknown(const gguf::File& file, TokenizerData& data) {
  const auto name = file.get_string("tokenizer.json.unknown");
  if (!name) return;
  const auto found = std::find(data.tokens.begin(), data.tokens.end(), *name);
  data.unknown = found == data.tokens.end() ? -1 : static_cast<int32_t>(found - data.tokens.begin());
}

}  // namespace

TokenType token_type(const TokenizerData& data, size_t id) {
  if (!data.token_types.empty()) return static_cast<TokenType>(data.token_types[id]);
  const auto i = static_cast<int32_t>(id);
  const bool named = i == data.bos || i == data.eos || i == data.eot || i == data.eom || i == data.padding;
  return named ? TokenType::kControl : TokenType::kNormal;
}

void check_tokenizer_data(const TokenizerData& data) {
  const std::string& source = data.source;
  check_model(data.model, data.pre, source);
  const size_t count = data.tokens.size();
  if (count == 0 || count > usize(std::numeric_limits<int32_t>::max())) {
    fail(ErrorCode::kCorruptFile, "{}: a vocabulary of {} tokens; convert the model anew", source,
         group_digits(count));
  }
  if (!data.token_types.empty() && data.token_types.size() != count) {
    fail(ErrorCode::kCorruptFile, "{}: {} token types for {} tokens; convert the model anew", source,
         group_digits(data.token_types.size()), group_digits(count));
  }
  if (data.model == "llama" && data.scores.size() != count) {
    fail(ErrorCode::kCorruptFile, "{}: {} scores for {} tokens", source, data.scores.size(), count);
  }
  for (size_t i = 0; i < data.token_types.size(); ++i) {
    const int32_t type = data.token_types[i];
    if (type < 0 || type > static_cast<int32_t>(TokenType::kByte)) {
      fail(ErrorCode::kCorruptFile, "{}: token {} has type {}; types are 0 to 6", source, i, type);
    }
  }
  const std::pair<const char*, int32_t> ids[] = {{"bos", data.bos},         {"eos", data.eos},
                                                 {"eot", data.eot},         {"eom", data.eom},
                                                 {"unknown", data.unknown}, {"padding", data.padding}};
  for (const auto& [name, id] : ids) {
    if (id < -1 || id >= static_cast<int64_t>(count)) {
      fail(ErrorCode::kCorruptFile,
           "{}: the {} token is {}, but the vocabulary has {} tokens; convert the model anew", source, name,
           id, group_digits(count));
    }
  }
  for (const std::vector<int32_t>* listed : {&data.turn_ends, &data.strip_left, &data.strip_right}) {
    for (const int32_t id : *listed) {
      if (id >= 0 && usize(id) < count) continue;
      fail(ErrorCode::kCorruptFile, "{}: the token {} {}, but the vocabulary has {} tokens", source, id,
           listed == &data.turn_ends ? "ends a turn" : "takes the white space beside it", count);
    }
  }
}

TokenizerData read_tokenizer_data(const gguf::File& file) {
  TokenizerData data;
  const auto model = file.get_string("tokenizer.ggml.model");
  if (!model) {
    fail(ErrorCode::kCorruptFile, "{}: tokenizer.ggml.model is missing: the file has no tokenizer",
         file.name());
  }
  data.source = file.name();
  data.model = *model;
  data.pre = file.get_string("tokenizer.ggml.pre").value_or("default");
  check_model(data.model, data.pre,
              file.name());  // checked before the lists, because other models need not have merges
  data.tokens = read_strings(file, "tokenizer.ggml.tokens");
  data.token_types = read_types(file);
  const bool pieces = data.model == "llama";
  if (pieces) {
    data.scores = read_scores(file);
    data.add_space_prefix = file.get_bool("tokenizer.ggml.add_space_prefix").value_or(true);
  } else {
    data.merges = read_strings(file, "tokenizer.ggml.merges");
  }
  if (data.pre == kExpressions) read_expressions(file, data);
  if (data.model == kGemma4Bpe) complete_gemma4(data);
  const size_t count = data.tokens.size();
  data.bos = read_id(file, "tokenizer.ggml.bos_token_id", count, IdUse::kUsed);
  data.eos = read_id(file, "tokenizer.ggml.eos_token_id", count, IdUse::kUsed);
  data.eot = read_id(file, "tokenizer.ggml.eot_token_id", count, IdUse::kUsed);
  data.eom = read_id(file, "tokenizer.ggml.eom_token_id", count, IdUse::kUsed);
  data.unknown = read_id(file, "tokenizer.ggml.unknown_token_id", count, IdUse::kUnused);
  if (data.model == "bpe") read_unknown(file, data);
  data.padding = read_id(file, "tokenizer.ggml.padding_token_id", count, IdUse::kUnused);
  // Files of Llama 3 often omit the flag and mean yes, as do those of Tekken and those with SentencePiece's
  // tokens.
  const auto kind = pre_kind_from_name(data.pre);
  const bool begins = pieces || kind == PreKind::kLlama3 || kind == PreKind::kTekken;
  data.add_bos = file.get_bool("tokenizer.ggml.add_bos_token").value_or(begins) && data.bos >= 0;
  if (data.model == kGemma4Bpe) data.add_bos = data.bos >= 0;  // the first files deny it
  data.add_eos = file.get_bool("tokenizer.ggml.add_eos_token").value_or(false) && data.eos >= 0;
  data.chat_template = file.get_string("tokenizer.chat_template").value_or("");
  check_tokenizer_data(data);
  return data;
}

}  // namespace claa
