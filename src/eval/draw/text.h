// Lengths of texts in pictures and tables.
#pragma once

#include <string>
#include <string_view>

namespace claa::eval {

size_t count_characters(std::string_view utf8);
// Cuts after `most` characters, with an ellipsis in place of the rest.
std::string shortened(std::string_view utf8, size_t most);

}  // namespace claa::eval
