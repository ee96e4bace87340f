#include "engine/template_kwargs.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "text/json.h"
#include "text/visible.h"

namespace claa {
namespace {

TemplateValue value_of(const Json& json) {
  switch (json.kind) {
    case Json::Kind::kNull:
      return {};
    case Json::Kind::kBool:
      return {json.source == "true"};
    case Json::Kind::kNumber:
      if (const auto integer = json.integer()) return {*integer};
      if (const auto number = json.number()) return {*number};
      fail(ErrorCode::kInvalidArgument, "the number {} in the arguments of the chat template does not fit",
           visible_line(json.source.substr(0, 60)));
    case Json::Kind::kString:
      return {json.text};
    case Json::Kind::kArray: {
      TemplateValue::Array items;
      std::transform(json.items.begin(), json.items.end(), std::back_inserter(items), value_of);
      return {std::move(items)};
    }
    case Json::Kind::kObject: {
      TemplateValue::Object members;
      for (size_t i = 0; i < json.items.size(); ++i)
        members.emplace_back(json.names[i], value_of(json.items[i]));
      return {std::move(members)};
    }
  }
  return {};
}

}  // namespace

void add_template_kwargs(std::string_view kwargs, const ChatTemplate& chat, TemplateVariables& variables) {
  constexpr std::array<std::string_view, 4> kOwn{"messages", "add_generation_prompt", "bos_token",
                                                 "eos_token"};
  const std::optional<Json> object = parse_json(kwargs);
  if (!object || !object->is(Json::Kind::kObject)) {
    fail(ErrorCode::kInvalidArgument,
         "the arguments of the chat template must be a JSON object, such as {{\"enable_thinking\": false}}, "
         "not {}",
         visible_line(kwargs.substr(0, 60)));
  }
  for (size_t i = 0; i < object->items.size(); ++i) {
    const std::string& name = object->names[i];
    if (std::find(kOwn.begin(), kOwn.end(), name) != kOwn.end())
      fail(ErrorCode::kInvalidArgument, "'{}' is set from the request; leave it out of the arguments", name);
    if (!chat.names(name)) {
      fail(ErrorCode::kInvalidArgument, "the model's chat template has no variable '{}'; leave it out",
           visible_line(std::string_view(name).substr(0, 60)));
    }
    variables.extra.emplace_back(name, value_of(object->items[i]));
  }
}

}  // namespace claa
