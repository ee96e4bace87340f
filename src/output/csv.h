// The one way to CSV.
#pragma once

#include <string>
#include <string_view>

namespace claa {

// A text as one field of RFC 4180: quoted where it holds a separator or a quote, with controls made visible
// (text/visible.h), line ends among them: whoever reads the file by another separator sees a line begin
// there. A spreadsheet computes what begins with = + - or @, so that such a text gets an apostrophe before
// it. Numbers of ours are written without this function.
std::string csv_field(std::string_view text);

// A line "# JSON" with its end. Readers that know comments skip it. In those that do not, no cell of it can
// be a formula: separators inside of strings are written as \uNNNN, and a blank follows every other comma.
std::string csv_comment(std::string_view json);

}  // namespace claa
