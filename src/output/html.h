// The one way to HTML.
#pragma once

#include <string>
#include <string_view>

namespace claa {

// Text with & < > " ' as entities and controls made visible (text/visible.h): safe as content and inside of
// quoted attributes. Newlines and tabs stand.
std::string escape_html(std::string_view text);

}  // namespace claa
