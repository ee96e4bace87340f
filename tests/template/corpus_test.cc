// A corpus of chat templates in the forms in use, byte for byte against the reference implementation of Jinja
// (tools/make_template_corpus.py).
#include <algorithm>

#include "core/usize.h"
#include "template/chat_template_support.h"

namespace claa {
namespace {

namespace json = boost::json;
using test::to_string;

json::value read_corpus() {
  return json::parse(test::read_file(test_data("template_corpus/corpus.json")));
}

TemplateVariables variables_of(const json::value& corpus, const json::value& index) {
  const auto& given = corpus.at("cases").at(usize(index.as_int64()));
  TemplateVariables variables;
  variables.bos_token = to_string(corpus.at("bos_token"));
  variables.eos_token = to_string(corpus.at("eos_token"));
  // The whole messages, with the fields that ChatMessage has not.
  variables.extra.emplace_back(
      "messages",
      test::to_template_value(corpus.at("conversations").at(to_string(given.at("conversation")))));
  for (const auto& entry : given.at("variables").as_object())
    variables.extra.emplace_back(std::string(entry.key()), test::to_template_value(entry.value()));
  return variables;
}

void check_result(const ChatTemplate& chat, const TemplateVariables& variables, const json::object& result) {
  const auto* output = result.if_contains("output");
  std::string text;
  try {
    text = test::joined(chat.render({}, variables));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kTemplate);
    EXPECT_EQ(output, nullptr) << error.what();
    const auto* raised = result.if_contains("raised");
    if (raised == nullptr) return;
    EXPECT_NE(std::string(error.what()).find(to_string(*raised)), std::string::npos) << error.what();
    return;
  }
  if (output == nullptr) {
    ADD_FAILURE() << "rendered, but Jinja fails: " << text;
  } else {
    EXPECT_EQ(text, to_string(*output));
  }
}

TEST(TemplateCorpus, RendersAsJinjaDoes) {
  const json::value corpus = read_corpus();
  size_t templates = 0, renderings = 0;
  for (const auto& entry : corpus.at("templates").as_array()) {
    const std::string name = to_string(entry.at("name"));
    SCOPED_TRACE(name);
    ++templates;
    try {
      const ChatTemplate chat(test::read_file(test_data("template_corpus/" + name + ".jinja")));
      for (const auto& result : entry.at("results").as_array()) {
        SCOPED_TRACE(json::serialize(corpus.at("cases").at(usize(result.at("case").as_int64()))));
        check_result(chat, variables_of(corpus, result.at("case")), result.as_object());
        ++renderings;
      }
    } catch (const Error& error) {
      ADD_FAILURE() << "does not parse: " << error.what();
    }
  }
  EXPECT_GE(templates, 50u);
  EXPECT_GE(renderings, 750u);
}

}  // namespace
}  // namespace claa
