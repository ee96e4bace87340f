// The one way to a cell of a Markdown table.
#pragma once

#include <string>
#include <string_view>

namespace claa {

// One line in which nothing ends the cell or begins a tag, with controls made visible (text/visible.h).
std::string markdown_cell(std::string_view text);

// The same as code, between backticks. A backtick in it becomes an apostrophe, as it would end the code.
std::string markdown_code(std::string_view text);

}  // namespace claa
