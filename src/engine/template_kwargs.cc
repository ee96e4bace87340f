#include "engine/template_kwargs.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "engine/template_value.h"
#include "text/json.h"
#include "text/visible.h"

namespace claa {

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
    variables.extra.emplace_back(name,
                                 template_value(object->items[i], "the arguments of the chat template"));
  }
}

}  // namespace claa
