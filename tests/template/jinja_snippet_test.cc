// Expressions and statements against the reference implementation of Jinja (tools/make_template_goldens.py).
#include "template/chat_template_support.h"

namespace claa {
namespace {

namespace json = boost::json;

TEST(JinjaSnippets, BehaveAsInJinja) {
  const json::value goldens = json::parse(test::template_data("snippets.json"));
  TemplateVariables variables;
  for (const auto& entry : goldens.at("variables").as_object()) {
    variables.extra.emplace_back(std::string(entry.key()), test::to_template_value(entry.value()));
  }
  const auto& cases = goldens.at("cases").as_array();
  EXPECT_GE(cases.size(), 190u);
  for (const auto& golden : cases) {
    const std::string source = test::to_string(golden.at("source"));
    SCOPED_TRACE(source);
    const auto* output = golden.as_object().if_contains("output");
    try {
      const std::string text = test::joined(ChatTemplate(source).render({}, variables));
      if (output == nullptr) {
        ADD_FAILURE() << "rendered, but Jinja fails: " << text;
      } else {
        EXPECT_EQ(text, test::to_string(*output));
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kTemplate);
      EXPECT_EQ(output, nullptr) << error.what();
    }
  }
}

}  // namespace
}  // namespace claa
