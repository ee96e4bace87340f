// What a request gives a chat template beside its messages.
#pragma once

#include <string>
#include <string_view>

#include "template/chat_template.h"

namespace claa {

// Adds the members of the JSON object `kwargs` to the variables of a template. Throws Error{kInvalidArgument}
// for what is no such object, for a name that the template does not have, and for one that the engine sets
// itself.
void add_template_kwargs(std::string_view kwargs, const ChatTemplate& chat, TemplateVariables& variables);

}  // namespace claa
