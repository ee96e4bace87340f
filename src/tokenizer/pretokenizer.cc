#include "tokenizer/pretokenizer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "core/check.h"
#include "tokenizer/word_expression.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace claa {
namespace {

struct PreName {
  std::string_view name;
  PreKind kind;
};

// Pre-tokenizer names as converters write them. Files older than the key have "default" or no name; they date
// from when GPT-2's pattern was the only one. Several models share a pattern; DBRX and Smaug have that of
// Llama 3 without its whole words. Tekken is of Mistral Nemo, Small and Ministral.
constexpr std::array kPreNames = {
    PreName{"gpt-2", PreKind::kGpt2},
    PreName{"gpt2", PreKind::kGpt2},
    PreName{"default", PreKind::kGpt2},
    PreName{"phi-2", PreKind::kGpt2},
    PreName{"olmo", PreKind::kGpt2},
    PreName{"jais", PreKind::kGpt2},
    PreName{"mpt", PreKind::kGpt2},
    PreName{"exaone4", PreKind::kGpt2},
    PreName{"gigachat", PreKind::kGpt2},
    PreName{"granite-docling", PreKind::kGpt2},
    PreName{"smollm", PreKind::kSmolLm},
    PreName{"starcoder", PreKind::kSmolLm},
    PreName{"refact", PreKind::kSmolLm},
    PreName{"command-r", PreKind::kSmolLm},
    PreName{"exaone", PreKind::kSmolLm},
    PreName{"codeshell", PreKind::kSmolLm},
    PreName{"minerva-7b", PreKind::kSmolLm},
    PreName{"mellum2", PreKind::kSmolLm},
    PreName{"llama-bpe", PreKind::kLlama3},
    PreName{"llama3", PreKind::kLlama3},
    PreName{"llama-v3", PreKind::kLlama3},
    PreName{"falcon3", PreKind::kLlama3},
    PreName{"falcon-h1", PreKind::kLlama3},
    PreName{"pixtral", PreKind::kLlama3},
    PreName{"lfm2", PreKind::kLlama3},
    PreName{"midm-2.0", PreKind::kLlama3},
    PreName{"glm4", PreKind::kLlama3},
    PreName{"glm5", PreKind::kLlama3},
    PreName{"dbrx", PreKind::kDbrx},
    PreName{"smaug-bpe", PreKind::kDbrx},
    PreName{"chatglm-bpe", PreKind::kDbrx},
    PreName{"tekken", PreKind::kTekken},
    PreName{"gpt-4o", PreKind::kGpt4o},
    PreName{"llama4", PreKind::kGpt4o},
    PreName{"kanana2", PreKind::kGpt4o},
    PreName{"qwen35", PreKind::kQwen35},
    PreName{"qwen2", PreKind::kQwen2},
    PreName{"deepseek-r1-qwen", PreKind::kQwen2},
    PreName{"seed-coder", PreKind::kSeedCoder},
    PreName{"deepseek-v3", PreKind::kDeepSeek3},
    PreName{"hunyuan-dense", PreKind::kDeepSeek3},
    PreName{"joyai-llm", PreKind::kDeepSeek3},
    PreName{"falcon", PreKind::kFalcon},
};

// The patterns, as the models' tokenizer.json files have them.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// SmolLM first cuts out every numeric character (Digits), then GPT-2's pattern sees each piece alone, so that
// a digit ends the text for its look-ahead. This pattern does both in one step.
constexpr std::string_view kSmolLmPattern =
    R"(\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+)";

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    R"(|\s+(?!\S)|\s+)";

constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    R"(|\s+(?!\S)|\s+)";

// As that of Qwen 2, with combining marks among the letters.
constexpr std::string_view kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Words begin anew where small letters are followed by a capital.
constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// As that of Qwen 2, but line ends stay apart from punctuation.
constexpr std::string_view kSeedCoderPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+)"
    R"(|\s+(?!\S)|\s+)";

// DeepSeek V3 cuts out numbers, then Chinese characters and kana, then words.
constexpr std::string_view kThreeDigits = R"(\p{N}{1,3})";
constexpr std::string_view kHanAndKana = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr std::string_view kDeepSeek3Words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Falcon cuts out punctuation, then words as GPT-2, then numbers, and these into threes. Numbers are looked
// for among bytes that stand for characters: some bytes inside other characters stand for a superscript or a
// fraction.
constexpr std::string_view kPunctuation = R"([\p{P}$+<=>^~|`]+)";
constexpr std::string_view kNumberBytes = R"([0-9\xB2\xB3\xB9\xBC-\xBE]+)";
constexpr std::string_view kThreeAsciiDigits = "[0-9][0-9][0-9]";

// One cut of text: what the pattern finds are pieces, and so is what lies between.
struct Cut {
  std::string_view pattern;
  enum Kind : uint8_t {
    kCovers,  // finds a piece at every place, so that nothing lies between
    kFinds,
    kFindsBytes,  // looks at bytes instead of characters
  } kind = kCovers;
};

// The cuts of a kind, each of which sees the pieces of the one before, one by one.
std::vector<Cut> cuts_of(PreKind kind) {
  switch (kind) {
    case PreKind::kGpt2:
      return {{kGpt2Pattern}};
    case PreKind::kSmolLm:
      return {{kSmolLmPattern}};
    case PreKind::kLlama3:
    case PreKind::kDbrx:
      return {{kLlama3Pattern}};
    case PreKind::kQwen2:
      return {{kQwen2Pattern}};
    case PreKind::kQwen35:
      return {{kQwen35Pattern}};
    case PreKind::kTekken:
      return {{kTekkenPattern}};
    case PreKind::kGpt4o:
      return {{kGpt4oPattern}};
    case PreKind::kSeedCoder:
      return {{kSeedCoderPattern}};
    case PreKind::kDeepSeek3:
      return {{kThreeDigits, Cut::kFinds}, {kHanAndKana, Cut::kFinds}, {kDeepSeek3Words, Cut::kFinds}};
    case PreKind::kFalcon:
      return {{kPunctuation, Cut::kFinds},
              {kGpt2Pattern},
              {kNumberBytes, Cut::kFindsBytes},
              {kThreeAsciiDigits, Cut::kFindsBytes}};
  }
  return {};
}

// Backtracking is bounded by the length of one run of white space; the limits are a multiple of that, so that
// they never stop honest text but stop a pattern that misbehaves.
constexpr uint32_t kMatchLimitFloor = 1u << 20;
constexpr uint32_t kHeapLimitKib = 64 * 1024;

uint32_t match_limit_for(size_t text_size) {
  return static_cast<uint32_t>(std::min<uint64_t>(kMatchLimitFloor + 8 * uint64_t{text_size}, UINT32_MAX));
}

[[noreturn]] void fail_pcre2(const char* what, int code) {
  PCRE2_UCHAR message[128] = {};
  pcre2_get_error_message(code, message, sizeof(message));
  fail(ErrorCode::kInternal, "pre-tokenizer: {}: {} (PCRE2 error {})", what, reinterpret_cast<char*>(message),
       code);
}

}  // namespace

std::optional<PreKind> pre_kind_from_name(std::string_view name) {
  const auto* found =
      std::find_if(kPreNames.begin(), kPreNames.end(), [&](const auto& n) { return n.name == name; });
  if (found == kPreNames.end()) return std::nullopt;
  return found->kind;
}

bool ignores_merges(PreKind kind) {
  return kind == PreKind::kLlama3 || kind == PreKind::kTekken;
}

bool normalizes(PreKind kind) {
  return kind == PreKind::kQwen2;
}

std::string known_pre_names() {
  std::string names;
  for (const auto& [name, kind] : kPreNames) names.append(names.empty() ? "" : ", ").append(name);
  return names;
}

// A compiled cut.
struct PreTokenizer::Stage {
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  std::unique_ptr<pcre2_code, Free> code;
  bool jit = false;
};

struct PreTokenizer::Impl {
  std::vector<Stage> stages;
};

PreTokenizer::PreTokenizer(PreKind kind, bool use_jit) : impl_(std::make_unique<Impl>()) {
  for (const Cut& cut : cuts_of(kind)) {
    Stage& stage = impl_->stages.emplace_back();
    int error = 0;
    PCRE2_SIZE offset = 0;
    const bool bytes = cut.kind == Cut::kFindsBytes;
    const std::string pattern = bytes ? std::string(cut.pattern) : with_unicode_space(cut.pattern);
    // Anchored where words follow each other without gaps: a match that starts later is never wanted.
    const uint32_t options =
        (bytes ? 0u : PCRE2_UTF | PCRE2_UCP) | (cut.kind == Cut::kCovers ? PCRE2_ANCHORED : 0u);
    stage.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options,
                                   &error, &offset, nullptr));
    if (!stage.code) fail_pcre2("the pattern does not compile", error);
    // Without a JIT (another architecture, or executable memory forbidden) the interpreter gives the same
    // words more slowly.
    stage.jit = use_jit && pcre2_jit_compile(stage.code.get(), PCRE2_JIT_COMPLETE) == 0;
  }
}

PreTokenizer::~PreTokenizer() = default;

bool PreTokenizer::has_jit() const {
  return std::all_of(impl_->stages.begin(), impl_->stages.end(),
                     [](const Stage& stage) { return stage.jit; });
}

std::vector<std::string_view> PreTokenizer::split(std::string_view valid_utf8) const {
  std::vector<std::string_view> words;
  Words source(*this, valid_utf8);
  for (std::string_view word = source.next(); !word.empty(); word = source.next()) words.push_back(word);
  return words;
}

struct PreTokenizer::Words::Match {
  struct Free {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  };
  std::unique_ptr<pcre2_match_data, Free> data;
  std::unique_ptr<pcre2_match_context, Free> context;

  int run(const Stage& stage, std::string_view text) const {
    const auto* bytes = reinterpret_cast<PCRE2_SPTR>(text.data());
    const pcre2_code* code = stage.code.get();
    if (stage.jit) {
      const int result = pcre2_jit_match(code, bytes, text.size(), 0, 0, data.get(), context.get());
      if (result != PCRE2_ERROR_JIT_STACKLIMIT) return result;
    }
    constexpr uint32_t kOptions = PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT;
    return pcre2_match(code, bytes, text.size(), 0, kOptions, data.get(), context.get());
  }
};

PreTokenizer::Words::Words(const PreTokenizer& pattern, std::string_view valid_utf8)
    : stages_(pattern.impl_->stages), pieces_(stages_.size()), match_(std::make_unique<Match>()) {
  pieces_.front().rest = valid_utf8;
  match_->data.reset(pcre2_match_data_create(1, nullptr));
  match_->context.reset(pcre2_match_context_create(nullptr));
  if (!match_->data || !match_->context) fail(ErrorCode::kOutOfMemory, "pre-tokenizer: no memory to match");
  pcre2_set_match_limit(match_->context.get(), match_limit_for(valid_utf8.size()));
  pcre2_set_heap_limit(match_->context.get(), kHeapLimitKib);
}

PreTokenizer::Words::~Words() = default;

std::string_view PreTokenizer::Words::next() {
  return next_of(stages_.size() - 1);
}

std::string_view PreTokenizer::Words::next_of(size_t stage) {
  Piece& piece = pieces_[stage];
  if (piece.rest.empty() && stage > 0) piece.rest = next_of(stage - 1);
  if (piece.rest.empty()) return {};
  if (piece.found == 0) find(stage);
  const size_t size = piece.before > 0 ? std::exchange(piece.before, 0) : std::exchange(piece.found, 0);
  const std::string_view word = piece.rest.substr(0, size);
  piece.rest.remove_prefix(size);
  return word;
}

// Where the pattern finds nothing the rest is one word.
void PreTokenizer::Words::find(size_t stage) {
  Piece& piece = pieces_[stage];
  const int result = match_->run(stages_[stage], piece.rest);
  if (result == PCRE2_ERROR_NOMATCH) {
    piece.found = piece.rest.size();
    return;
  }
  if (result < 0) fail_pcre2("matching failed", result);
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match_->data.get());
  require(bounds[0] < bounds[1] && bounds[1] <= piece.rest.size(),
          "pre-tokenizer: a word is at least one character");
  piece.before = bounds[0];
  piece.found = bounds[1] - bounds[0];
}

}  // namespace claa
