// Cleans text from outside (file names, prompts, answers) for pictures, HTML and CSV.
#pragma once

#include <string>
#include <string_view>

namespace claa::eval {

// Valid UTF-8 that XML and HTML can hold, in one line: ill-formed sequences and non-characters become U+FFFD,
// control characters and line ends become blanks.
std::string clean_text(std::string_view text);

size_t count_characters(std::string_view utf8);
// Cuts after `most` characters, with an ellipsis in place of the rest.
std::string shortened(std::string_view utf8, size_t most);

// clean_text, line by line, with & < > " ' as entities: safe as content and in attributes.
std::string escape_html(std::string_view text);

// One field of RFC 4180: quoted where necessary. Line ends stay.
std::string csv_field(std::string_view text);

}  // namespace claa::eval
