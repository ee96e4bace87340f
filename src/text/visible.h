// Text from outside (model files, templates, profiles, data sets, requests) on its way to people. What a
// terminal would obey and a reader could not see is shown by a picture of it or by its number, so that
// nothing in a file sets a window's title, fills a clipboard, or reorders the words around it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace claa {

// True for what acts on a terminal or on the order of text instead of being shown: C0 controls, line ends
// among them, DEL, C1 controls (U+009B begins escape sequences) and the controls of writing direction.
bool is_display_control(int32_t code);

// Valid UTF-8 in which newlines and tabs stand. Other controls become symbols (U+2400 and on) or their number
// as in "\u{9b}"; ill-formed sequences and the two non-characters that XML refuses become U+FFFD. A text that
// went through once is not changed again.
std::string visible_text(std::string_view bytes);

// The same in one line: newlines and tabs become symbols too. For names, and for whatever else has a line to
// itself, so that a name cannot add a line of its own.
std::string visible_line(std::string_view bytes);

// Bytes that may be no text at all, for messages: everything but printable ASCII as \xNN, at most `most`
// bytes of it.
std::string visible_bytes(std::string_view bytes, size_t most = 80);

}  // namespace claa
