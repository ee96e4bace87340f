// Ids against those of the Python package `tokenizers` (tests/data/tokenizer, made by
// tools/make_tokenizer_goldens.py).
#include <chrono>
#include <sstream>

#include "tokenizer_support.h"

namespace claa {
namespace {

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, IdsEqualThoseOfThePythonPackage) {
  const Tokenizer tokenizer = test::load_tokenizer(GetParam());
  test::expect_goldens(tokenizer, GetParam());
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
