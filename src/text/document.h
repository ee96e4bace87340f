// Documents as they come from people's disks: the bytes of a file made into UTF-8 text, or refused as what
// they are. A model that is asked about the rubble of a picture answers all the same.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace claa {

struct DocumentText {
  std::string text;  // without a byte order mark; ill-formed UTF-8 is left as it stands
  // A sentence for people where the text is not simply the bytes: it was converted, or places of it are not
  // UTF-8 and will be read as U+FFFD. Empty otherwise.
  std::string note;
  size_t ill_formed = 0;  // places that are not UTF-8
};

// Text in UTF-16 or UTF-32 with a byte order mark is converted. Throws Error{kInvalidArgument} for formats
// that are known not to be text, by their name, and for bytes that are mostly no text. `name` is what
// messages call the document.
DocumentText decode_document(std::string bytes, const std::string& name);

// The text of a regular file, exactly: ill-formed UTF-8 is refused too. Throws as read_file() does as well.
std::string read_document(const std::string& path);

// How a program reads a text that has to be exact: read_document(), or a function that takes pipes as well.
using ReadText = std::function<std::string(const std::string& path)>;

// The text without the byte order mark of UTF-8 that it may begin with.
std::string_view without_byte_order_mark(std::string_view text);

}  // namespace claa
