// Any bytes as text, cut into spans, in each of the four kinds of tokenizer: ids equal those of a naive
// implementation, decoding gives the text back, and no control token comes out of plain text.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalize.h"
#include "text/utf8.h"
#include "tokenizer/bpe_reference.h"
#include "tokenizer/tokenizer.h"

namespace {

using claa::Span;
using claa::Tokenizer;
using claa::test::NaiveTokenizer;

constexpr size_t kNaiveLimit = 512;  // the naive implementation is cubic

struct Kind {
  explicit Kind(const char* pre)
      : tokenizer(claa::test::small_data(pre)),
        naive(claa::test::small_data(pre)),
        normalises(tokenizer.data().pre == "qwen2") {}
  Tokenizer tokenizer;
  NaiveTokenizer naive;
  bool normalises;
};

const Kind& kind_of(uint8_t selector) {
  static const std::array<Kind, 4> kinds = {Kind("gpt-2"), Kind("smollm"), Kind("llama-bpe"), Kind("qwen2")};
  return kinds[selector % kinds.size()];
}

void expect(bool condition) {
  if (!condition) std::abort();
}

void check_plain(const Kind& kind, std::string_view text) {
  const auto ids = kind.tokenizer.encode(text);
  std::string pieces;
  claa::Utf8Stream stream;
  for (const int32_t id : ids) {
    expect(!kind.tokenizer.is_special(id));
    pieces += stream.push(kind.tokenizer.token_bytes(id));
  }
  pieces += stream.flush();
  const std::string valid = claa::replace_invalid_utf8(text);
  const std::string decoded = kind.tokenizer.decode(ids);
  expect(pieces == decoded);
  if (kind.normalises) {
    expect(claa::normalize_nfc(decoded) == claa::normalize_nfc(valid));
  } else {
    expect(decoded == valid);
  }
}

// Each bit of `cuts` says whether the text is cut after that many eighths; spans take turns in being special.
void check_spans(const Kind& kind, std::string_view text, uint8_t cuts) {
  std::vector<Span> spans;
  size_t begin = 0;
  bool special = (cuts & 1) != 0;
  for (size_t part = 1; part <= 8; ++part) {
    const size_t end = text.size() * part / 8;
    if (part < 8 && (cuts >> part & 1) == 0) continue;
    spans.push_back({text.substr(begin, end - begin), special});
    special = !special;
    begin = end;
  }
  const auto ids = kind.tokenizer.encode(spans);
  if (text.size() <= kNaiveLimit) expect(ids == kind.naive.encode(spans));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Kind& kind = kind_of(data[0]);
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  check_plain(kind, text);
  check_spans(kind, text, data[1]);
  return 0;
}
