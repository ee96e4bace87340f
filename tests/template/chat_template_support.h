// Helpers of the chat-template tests.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "claa/error.h"
#include "paths.h"
#include "template/chat_template.h"

namespace claa::test {

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline std::string template_data(const std::string& name) {
  return read_file(test_data("chat_template/") + name);
}

inline TemplateValue to_template_value(const boost::json::value& source) {
  if (source.is_bool()) return {source.as_bool()};
  if (source.is_int64()) return {source.as_int64()};
  if (source.is_double()) return {source.as_double()};
  if (source.is_string()) return {std::string(source.as_string().c_str(), source.as_string().size())};
  if (const auto* array = source.if_array()) {
    TemplateValue::Array items;
    for (const auto& item : *array) items.push_back(to_template_value(item));
    return {std::move(items)};
  }
  if (const auto* object = source.if_object()) {
    TemplateValue::Object entries;
    for (const auto& entry : *object)
      entries.emplace_back(std::string(entry.key()), to_template_value(entry.value()));
    return {std::move(entries)};
  }
  return {nullptr};
}

inline std::string to_string(const boost::json::value& source) {
  return std::string(source.as_string());
}

inline std::string joined(const std::vector<TemplateSpan>& spans) {
  std::string text;
  for (const auto& span : spans) text += span.text;
  return text;
}

// Spans as one line: the caller's text in brackets.
inline std::string marked(const std::vector<TemplateSpan>& spans) {
  std::string text;
  for (const auto& span : spans) text += span.special ? span.text : "[" + span.text + "]";
  return text;
}

// Renders with one user message and one extra variable `x` of the caller.
inline std::vector<TemplateSpan> render_user(std::string_view source, const std::string& content,
                                             TemplateLimits limits = {}) {
  TemplateVariables variables;
  variables.bos_token = "<s>";
  variables.eos_token = "</s>";
  variables.extra.push_back({"x", {content}});
  const std::vector<ChatMessage> messages = {{"user", content}};
  return ChatTemplate(source, limits).render(messages, variables);
}

// The error of parsing or rendering, or "" when there is none.
inline std::string render_error(std::string_view source, TemplateLimits limits = {}) {
  try {
    render_user(source, "hi", limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kTemplate) << error.what();
    return error.what();
  }
  return "";
}

}  // namespace claa::test
