// The prompts of the model goldens: their ids come from an independent implementation.
#include <filesystem>

#include "paths.h"
#include "tokenizer_support.h"

namespace claa {
namespace {

TEST(Prompts, IdsEqualTheGoldens) {
  const Tokenizer tokenizer = test::load_tokenizer("smollm");
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test_data("goldens"))) {
    if (entry.path().extension() != ".json") continue;
    const auto golden = boost::json::parse(test::read_text(entry.path().string())).as_object();
    if (!golden.contains("prompt")) continue;
    const std::string prompt = test::to_text(golden.at("prompt"));
    const Span whole{prompt, golden.at("chat").as_bool()};
    const auto expected = test::to_ids(golden.at("ids"));
    EXPECT_EQ(tokenizer.encode(std::span(&whole, 1)), expected) << entry.path();
    EXPECT_EQ(tokenizer.decode(expected, true), prompt) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 7);
}

}  // namespace
}  // namespace claa
