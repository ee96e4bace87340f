// Ids against those of the Python package `tokenizers` (tests/data/tokenizer, made by
// tools/make_tokenizer_goldens.py).
#include <chrono>
#include <sstream>

#include "tokenizer_support.h"

namespace claa {
namespace {

using boost::json::object;

class Golden : public testing::TestWithParam<const char*> {};

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string repeated(const boost::json::array& what) {
  const std::string part = test::to_text(what.at(0));
  std::string text;
  for (int64_t i = 0; i < what.at(1).as_int64(); ++i) text += part;
  return text;
}

std::vector<int32_t> encode_spans(const Tokenizer& tokenizer, const boost::json::array& parts) {
  std::vector<std::string> texts;
  for (const auto& part : parts) texts.push_back(test::to_text(part.as_array().at(0)));
  std::vector<Span> spans;
  for (size_t i = 0; i < texts.size(); ++i) spans.push_back({texts[i], parts[i].as_array().at(1).as_bool()});
  return tokenizer.encode(spans);
}

std::vector<int32_t> encode_case(const Tokenizer& tokenizer, const object& golden) {
  if (const auto* text = golden.if_contains("text")) return tokenizer.encode(test::to_text(*text));
  if (const auto* hex = golden.if_contains("hex")) return tokenizer.encode(from_hex(test::to_text(*hex)));
  if (const auto* spans = golden.if_contains("spans")) return encode_spans(tokenizer, spans->as_array());
  return tokenizer.encode(repeated(golden.at("repeat").as_array()));
}

TEST_P(Golden, IdsEqualThoseOfThePythonPackage) {
  const Tokenizer tokenizer = test::load_tokenizer(GetParam());
  std::istringstream lines(test::read_text(test::data_path(std::string("goldens_") + GetParam() + ".jsonl")));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto golden = boost::json::parse(line).as_object();
    const auto ids = encode_case(tokenizer, golden);
    if (golden.contains("ids")) {
      EXPECT_EQ(ids, test::to_ids(golden.at("ids"))) << line;
    } else {
      EXPECT_EQ(static_cast<int64_t>(ids.size()), golden.at("count").as_int64()) << line;
      EXPECT_EQ(test::fnv1a(ids), test::to_text(golden.at("fnv1a"))) << line;
    }
  }
  EXPECT_GE(count, 700);
}

TEST_P(Golden, ExcerptOfANovel) {
  const Tokenizer tokenizer = test::load_tokenizer(GetParam());
  const std::string text = test::read_text(test::data_path("excerpt.txt"));
  const auto expected =
      boost::json::parse(test::read_text(test::data_path("excerpt_ids.json"))).at(GetParam());
  for (int round = 0; round < 2; ++round) {  // the second round meets words that are known to be one token
    const auto ids = tokenizer.encode(text);
    EXPECT_EQ(static_cast<int64_t>(ids.size()), expected.at("count").as_int64());
    EXPECT_EQ(test::fnv1a(ids), test::to_text(expected.at("fnv1a")));
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

// The cost of one more character of a run must not depend on the run's length. A quadratic step anywhere
// would take minutes here; the bound is far above what a slow machine with sanitizers needs.
TEST_P(Golden, LongRunsTakeLinearTime) {
  const Tokenizer tokenizer = test::load_tokenizer(GetParam());
  for (const std::string part :
       {"a", " ", "\n", "1", "!", "\xC3\xA9", " \n", "\xCC\xA3\xCC\x81", "\xF0", "<", "<|im_"}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) text += part;
    const Span span{text, true};
    const auto start = std::chrono::steady_clock::now();
    tokenizer.encode(std::span(&span, 1));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_LT(seconds.count(), 20.0) << part;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Golden,
                         testing::Values("smollm", "gpt-2", "llama-bpe", "qwen2", "qwen35", "tekken",
                                         "gpt-4o", "seed-coder", "deepseek-v3", "falcon"),
                         [](const auto& info) {
                           std::string name;
                           for (const char c : std::string_view(info.param)) {
                             if (std::isalnum(static_cast<unsigned char>(c))) name.push_back(c);
                           }
                           return name;
                         });

}  // namespace
}  // namespace claa
