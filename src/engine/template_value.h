// JSON as what a chat template is given.
#pragma once

#include <string_view>

#include "template/chat_template.h"
#include "text/json.h"

namespace claa {

// As Python reads it: the last member of a name counts, in the place of the first. Throws
// Error{kInvalidArgument} for a number that does not fit; `where` begins what is thrown.
TemplateValue template_value(const Json& json, std::string_view where);

}  // namespace claa
