// Any text as a folder's tokenizer.json, or, after a line "####", as its other files: a tokenizer that
// encodes and decodes every text, or an Error that blames the files.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "claa/error.h"
#include "folder/tokenizer_settings.h"
#include "gguf/file.h"
#include "tokenizer/tokenizer.h"

namespace {

constexpr std::array<std::string_view, 4> kTexts = {
    "Hello  you, it's 12 o'clock\n\n ", "\xe2\x96\x81 \xe5\xad\x97\xf0\x9f\x99\x82\xff", "<s> a</s>  b",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b"};

claa::TokenizerFiles files_of(std::string_view text) {
  constexpr std::string_view kBreak = "\n####\n";
  std::array<std::string, 4> parts;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t end = i + 1 == parts.size() ? text.size() : std::min(text.find(kBreak), text.size());
    parts[i] = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + kBreak.size()));
  }
  return {"fuzz", parts[0], parts[1], parts[2], parts[3]};
}

void use(const claa::TokenizerFiles& files) {
  claa::gguf::Writer writer;
  claa::describe_tokenizer(files, 9, writer);
  const std::vector<std::byte> bytes = writer.to_bytes();
  const claa::Tokenizer tokenizer(claa::read_tokenizer_data(claa::gguf::File::parse(bytes, "fuzz")));
  for (const std::string_view text : kTexts) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    for (const int32_t id : ids) {
      if (tokenizer.is_special(id) && id != tokenizer.data().unknown) std::abort();
    }
    tokenizer.decode(ids);
    const std::vector<claa::Span> spans = {{text, true}};
    tokenizer.decode(tokenizer.encode(spans));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    use(files_of({reinterpret_cast<const char*>(data), size}));
  } catch (const claa::Error& error) {
    const bool blames_the_file =
        error.code() == claa::ErrorCode::kCorruptFile || error.code() == claa::ErrorCode::kUnsupported;
    if (!blames_the_file) std::abort();
  }
  return 0;
}
