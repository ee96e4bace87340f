#include "tokenizer/word_expression.h"

#include <algorithm>
#include <cstdint>

#include "core/check.h"
#include "text/utf8.h"
#include "text/visible.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace claa {
namespace {

// White space as Unicode defines it, as the inside of a character class.
constexpr std::string_view kSpace =
    R"(\t-\r\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// Steps of one match, beside those that a run of white space of the text's length takes. Honest expressions
// need few.
constexpr uint64_t kMatchSteps = 1u << 14;
constexpr uint32_t kHeapKib = 16 * 1024;
constexpr size_t kMaxExpression = 1u << 16;

std::string pcre2_text(int code) {
  PCRE2_UCHAR message[128] = {};
  pcre2_get_error_message(code, message, sizeof(message));
  return reinterpret_cast<char*>(message);
}

bool is_hexadecimal(std::string_view digits) {
  constexpr std::string_view kDigits = "0123456789abcdefABCDEF";
  return digits.size() == 4 && digits.find_first_not_of(kDigits) == std::string_view::npos;
}

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

std::string with_unicode_space(std::string_view expression) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    if (c != '\\' || i + 1 == expression.size()) {
      in_class = c == '[' || (in_class && c != ']');
      out.push_back(c);
      continue;
    }
    const char escaped = expression[++i];
    if (escaped == 'u' && is_hexadecimal(expression.substr(i + 1, 4))) {
      out.append("\\x{").append(expression.substr(i + 1, 4)).append("}");
      i += 4;
      continue;
    }
    // A class cannot hold the opposite of a list, so that PCRE2's own stays there.
    if ((escaped != 's' && escaped != 'S') || (escaped == 'S' && in_class)) {
      out.append({c, escaped});
    } else if (in_class) {
      out.append(kSpace);
    } else {
      out.append(escaped == 's' ? "[" : "[^").append(kSpace).append("]");
    }
  }
  return out;
}

struct WordExpression::Impl {
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  std::unique_ptr<pcre2_code, Free> code;
  std::string source;
};

WordExpression::WordExpression(const std::string& expression, const std::string& source)
    : impl_(std::make_unique<Impl>()) {
  if (expression.size() > kMaxExpression) {
    fail(ErrorCode::kUnsupported, "{}: an expression of the pre-tokenizer has {} bytes, more than {}", source,
         expression.size(), kMaxExpression);
  }
  impl_->source = source;
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::string pattern = with_unicode_space(expression);
  constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
  impl_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), kOptions,
                                  &error, &offset, nullptr));
  if (!impl_->code) {
    fail(ErrorCode::kUnsupported,
         "{}: the pre-tokenizer's expression '{}' is not understood: {}; convert the model to "
         "GGUF",
         source, visible_bytes(expression), pcre2_text(error));
  }
  // Without a JIT the interpreter gives the same matches.
  pcre2_jit_compile(impl_->code.get(), PCRE2_JIT_COMPLETE);
}

WordExpression::~WordExpression() = default;
WordExpression::WordExpression(WordExpression&&) noexcept = default;
WordExpression& WordExpression::operator=(WordExpression&&) noexcept = default;

void WordExpression::cut(std::string_view text, std::vector<std::string_view>& pieces) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeMatch> context(pcre2_match_context_create(nullptr));
  if (!data || !context) fail(ErrorCode::kOutOfMemory, "pre-tokenizer: no memory to match");
  pcre2_set_match_limit(context.get(), static_cast<uint32_t>(std::min<uint64_t>(
                                           kMatchSteps + 8 * uint64_t{text.size()}, UINT32_MAX)));
  pcre2_set_heap_limit(context.get(), kHeapKib);
  const auto* bytes = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t done = 0;  // what is in pieces
  for (size_t from = 0; from < text.size();) {
    const int result = pcre2_match(impl_->code.get(), bytes, text.size(), from, PCRE2_NO_UTF_CHECK,
                                   data.get(), context.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      fail(ErrorCode::kUnsupported, "{}: an expression of the pre-tokenizer cannot be used: {}",
           impl_->source, pcre2_text(result));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    const size_t begin = bounds[0], end = bounds[1];
    if (begin >= end || begin < done) {  // nothing, or a match that \K moved: on to the next character
      from = std::max(from, std::min(begin, text.size()));
      if (from < text.size()) from += next_utf8_unit(text.substr(from)).size;
      continue;
    }
    if (begin > done) pieces.push_back(text.substr(done, begin - done));
    pieces.push_back(text.substr(begin, end - begin));
    done = from = end;
  }
  if (done < text.size()) pieces.push_back(text.substr(done));
}

WordCutter::WordCutter(const std::vector<std::string>& expressions, const std::string& source) {
  for (const std::string& expression : expressions) expressions_.emplace_back(expression, source);
}

std::vector<std::string_view> WordCutter::words(std::string_view valid_utf8) const {
  std::vector<std::string_view> pieces;
  if (!valid_utf8.empty()) pieces.push_back(valid_utf8);
  for (const WordExpression& expression : expressions_) {
    std::vector<std::string_view> finer;
    finer.reserve(pieces.size());
    for (const std::string_view piece : pieces) expression.cut(piece, finer);
    pieces = std::move(finer);
  }
  return pieces;
}

}  // namespace claa
