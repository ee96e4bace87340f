#include "folder/tokenizer_settings.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "core/check.h"
#include "core/file_map.h"
#include "folder/pipeline.h"
#include "folder/settings.h"
#include "text/visible.h"

namespace claa {
namespace {

constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6;  // as in GGUF files
constexpr uint64_t kMaxTokens = uint64_t{1} << 24;

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::map<std::string, int32_t, std::less<>> ids;
  std::vector<int32_t> strip_left, strip_right;  // added tokens that take the white space beside them
};

bool is_byte_token(const std::string& token) {
  return token.size() == 6 && token.starts_with("<0x") && token.back() == '>';
}

class VocabularyReader {
 public:
  explicit VocabularyReader(const Settings& root) : root_(root) {}

  Vocabulary read(const Settings& model, bool byte_fallback, uint64_t rows) {
    const Json* vocab = model.find("vocab");
    if (vocab == nullptr || !vocab->is(Json::Kind::kObject)) model.corrupt("vocab", "an object");
    for (size_t i = 0; i < vocab->items.size(); ++i) {
      const std::string& token = vocab->names[i];
      set(token, id_of(vocab->items[i], token), byte_fallback && is_byte_token(token) ? kByte : kNormal);
    }
    if (const std::vector<Json>* added = root_.list("added_tokens"))
      for (const Json& token : *added) add(token);
    return fill_gaps(rows);
  }

 private:
  uint64_t id_of(const Json& json, const std::string& token) const {
    const std::optional<int64_t> id = json.integer();
    if (!id || *id < 0 || static_cast<uint64_t>(*id) >= kMaxTokens) {
      fail(ErrorCode::kCorruptFile, "'{}': token '{}' has the id {}; ids are 0 to {}", root_.file(),
           visible_bytes(token), visible_bytes(json.source, 30), kMaxTokens - 1);
    }
    return static_cast<uint64_t>(*id);
  }

  void set(const std::string& token, uint64_t id, int32_t type) {
    const auto [place, is_new] = by_id_.emplace(id, std::pair(token, type));
    if (is_new) return;
    if (place->second.first != token) {
      fail(ErrorCode::kCorruptFile, "'{}': tokens '{}' and '{}' have one id, {}", root_.file(),
           visible_bytes(place->second.first), visible_bytes(token), id);
    }
    place->second.second = type;
  }

  void add(const Json& json) {
    if (!json.is(Json::Kind::kObject)) root_.corrupt("added_tokens", "a list of objects");
    const Settings token(json, root_.file(), "added_tokens: ");
    const std::optional<std::string> content = token.text("content");
    const Json* id = token.find("id");
    if (!content || content->empty() || id == nullptr) token.corrupt("content", "a text, with an id");
    if (token.flag("single_word").value_or(false)) {
      token.unsupported("single_word",
                        fmt::format("token '{}' is to stand alone in a text, which this build does not "
                                    "look for; convert the model to GGUF",
                                    visible_bytes(*content)));
    }
    const uint64_t number = id_of(*id, *content);
    if (token.flag("lstrip").value_or(false)) strip_left_.push_back(static_cast<int32_t>(number));
    if (token.flag("rstrip").value_or(false)) strip_right_.push_back(static_cast<int32_t>(number));
    set(*content, number, token.flag("special").value_or(false) ? kControl : kUserDefined);
  }

  // Ids without a token get one that no text becomes.
  Vocabulary fill_gaps(uint64_t rows) const {
    Vocabulary vocabulary;
    vocabulary.strip_left = strip_left_;
    vocabulary.strip_right = strip_right_;
    const uint64_t count = by_id_.empty() ? 0 : by_id_.rbegin()->first + 1;
    if (count > 2 * by_id_.size() + 4096) {
      fail(ErrorCode::kCorruptFile, "'{}': {} tokens have ids up to {}; fetch the file anew", root_.file(),
           by_id_.size(), count - 1);
    }
    if (rows > kMaxTokens)
      fail(ErrorCode::kCorruptFile, "'{}': an embedding of {} tokens", root_.file(), rows);
    for (uint64_t id = 0; id < std::max(count, rows); ++id) {
      const auto found = by_id_.find(id);
      const bool is_there = found != by_id_.end();
      const std::string token = is_there ? found->second.first : fmt::format("<|no token {}|>", id);
      if (!vocabulary.ids.emplace(token, static_cast<int32_t>(id)).second) {
        fail(ErrorCode::kCorruptFile, "'{}': token '{}' has two ids", root_.file(), visible_bytes(token));
      }
      vocabulary.tokens.push_back(token);
      vocabulary.types.push_back(is_there ? found->second.second : kUnused);
    }
    return vocabulary;
  }

  const Settings& root_;
  std::vector<int32_t> strip_left_, strip_right_;
  std::map<uint64_t, std::pair<std::string, int32_t>> by_id_;  // token and type
};

// "left right", as GGUF files have them, of either form.
std::vector<std::string> read_merges(const Settings& model) {
  const std::vector<Json>* listed = model.list("merges");
  if (listed == nullptr) model.corrupt("merges", "a list");
  std::vector<std::string> merges;
  merges.reserve(listed->size());
  for (const Json& merge : *listed) {
    if (merge.is(Json::Kind::kString)) {
      merges.push_back(merge.text);
      continue;
    }
    if (!merge.is(Json::Kind::kArray) || merge.items.size() != 2)
      model.corrupt("merges", "a list of pairs of tokens");
    const std::string &left = merge.items[0].text, &right = merge.items[1].text;
    if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos) {
      fail(ErrorCode::kUnsupported,
           "'{}': a merge of '{}' and '{}' has a space inside; convert the model to GGUF", model.file(),
           visible_bytes(left), visible_bytes(right));
    }
    merges.push_back(left + " " + right);
  }
  return merges;
}

// The name of a token of tokenizer_config.json: a text, or an object that holds it.
std::optional<std::string> token_name(const Settings& config, const char* key) {
  const Json* found = config.find(key);
  if (found == nullptr) return std::nullopt;
  if (found->is(Json::Kind::kObject)) return config.object(key)->text("content");
  return config.text(key);
}

std::string template_of(const Settings& config) {
  const Json* found = config.find("chat_template");
  if (found == nullptr) return "";
  if (found->is(Json::Kind::kString)) return found->text;
  // Several by name.
  const std::vector<Json>* listed = config.list("chat_template");
  for (const Json& each : *listed) {
    if (!each.is(Json::Kind::kObject)) config.corrupt("chat_template", "a text, or a list of named ones");
    const Settings named(each, config.file(), "chat_template: ");
    if (named.text("name") == "default") return named.text("template").value_or("");
  }
  config.unsupported("chat_template", "none of the templates is named default");
}

// Whether a template of the post-processor puts the token before a text.
bool processor_begins_with(const Settings& root, const std::string& token) {
  const auto begins = [&](const Settings& processor) {
    const std::vector<Json>* single = processor.list("single");
    if (single == nullptr || single->empty() || !(*single)[0].is(Json::Kind::kObject)) return false;
    const auto special = Settings((*single)[0], root.file()).object("SpecialToken");
    return special && special->text("id") == token;
  };
  const auto processor = root.object("post_processor");
  if (!processor) return false;
  if (begins(*processor)) return true;
  const std::vector<Json>* parts = processor->list("processors");
  if (parts == nullptr) return false;
  for (const Json& part : *parts)
    if (part.is(Json::Kind::kObject) && begins(Settings(part, root.file()))) return true;
  return false;
}

class SpecialTokens {
 public:
  SpecialTokens(const Settings& root, const Vocabulary& vocabulary, gguf::Writer& writer)
      : root_(root), vocabulary_(vocabulary), writer_(writer) {}

  void add_named(const Settings& config) {
    std::string bos;
    for (const auto& [key, to] : {std::pair{"bos_token", "bos"}, std::pair{"eos_token", "eos"},
                                  std::pair{"unk_token", "unknown"}, std::pair{"pad_token", "padding"}}) {
      const std::optional<std::string> name = token_name(config, key);
      if (!name) continue;
      const auto found = vocabulary_.ids.find(*name);
      if (found == vocabulary_.ids.end()) {
        if (std::string_view(to) == "unknown" || std::string_view(to) == "padding") continue;
        config.corrupt(key, "the name of a token of tokenizer.json");
      }
      writer_.add(fmt::format("tokenizer.ggml.{}_token_id", to), static_cast<uint32_t>(found->second));
      if (std::string_view(to) == "bos") bos = *name;
    }
    const bool begins = !bos.empty() && processor_begins_with(root_, bos);
    writer_.add("tokenizer.ggml.add_bos_token",
                !bos.empty() && config.flag("add_bos_token").value_or(begins));
    writer_.add("tokenizer.ggml.add_eos_token", config.flag("add_eos_token").value_or(false));
  }

  // The tokens that end an answer: a number, or a list.
  void add_ends(const Settings& config) {
    constexpr const char* key = "eos_token_id";
    const Json* found = config.find(key);
    if (found == nullptr) return;
    std::vector<int32_t> ends;
    const std::vector<Json> one = {*found};
    for (const Json& json : found->is(Json::Kind::kArray) ? found->items : one) {
      const std::optional<int64_t> id = json.integer();
      if (!id || *id < 0 || static_cast<uint64_t>(*id) >= vocabulary_.tokens.size())
        config.corrupt(key, fmt::format("one or more ids below {}", vocabulary_.tokens.size()));
      ends.push_back(static_cast<int32_t>(*id));
    }
    writer_.add("tokenizer.json.end_token_ids", ends);
  }

 private:
  const Settings& root_;
  const Vocabulary& vocabulary_;
  gguf::Writer& writer_;
};

std::string read_if_there(const std::filesystem::path& path) {
  return file_exists(path) ? read_file(path.string()) : "";
}

}  // namespace

TokenizerFiles read_tokenizer_files(const std::string& folder) {
  const std::filesystem::path path(folder);
  if (!file_exists(path / "tokenizer.json")) {
    fail(ErrorCode::kNotFound,
         "'{}' holds no tokenizer.json; save the tokenizer with a newer transformers (save_pretrained), or "
         "give a GGUF "
         "file",
         folder);
  }
  return {folder, read_file((path / "tokenizer.json").string()),
          read_if_there(path / "tokenizer_config.json"), read_if_there(path / "generation_config.json"),
          read_if_there(path / "chat_template.jinja")};
}

void describe_tokenizer(const TokenizerFiles& files, uint64_t rows, gguf::Writer& writer) {
  const auto path = [&](const char* name) { return files.folder + "/" + name; };
  const SettingsFile file = parse_settings(files.tokenizer, path("tokenizer.json"));
  const Settings root = file.root();
  const std::optional<Settings> model = root.object("model");
  if (!model) root.corrupt("model", "an object");
  const Pipeline pipeline = read_pipeline(root, *model);
  const Vocabulary vocabulary = VocabularyReader(root).read(*model, pipeline.byte_fallback, rows);
  writer.add("tokenizer.ggml.model", std::string(pipeline.byte_level ? "gpt2" : "bpe"));
  writer.add("tokenizer.ggml.pre", std::string("tokenizer.json"));
  writer.add("tokenizer.ggml.tokens", vocabulary.tokens);
  writer.add("tokenizer.ggml.token_type", vocabulary.types);
  writer.add("tokenizer.ggml.merges", read_merges(*model));
  writer.add("tokenizer.json.strip_left", vocabulary.strip_left);
  writer.add("tokenizer.json.strip_right", vocabulary.strip_right);
  write_pipeline(pipeline, writer);
  SpecialTokens special(root, vocabulary, writer);
  const SettingsFile config = parse_settings(files.tokenizer_config.empty() ? "{}" : files.tokenizer_config,
                                             path("tokenizer_config.json"));
  special.add_named(config.root());
  const SettingsFile generation = parse_settings(
      files.generation_config.empty() ? "{}" : files.generation_config, path("generation_config.json"));
  special.add_ends(generation.root());
  const std::string chat = files.chat_template.empty() ? template_of(config.root()) : files.chat_template;
  if (!chat.empty()) writer.add("tokenizer.chat_template", chat);
}

}  // namespace claa
