#include "output/csv.h"

#include "text/visible.h"

namespace claa {

std::string csv_field(std::string_view text) {
  std::string shown = visible_line(text);
  const size_t first = shown.find_first_not_of(' ');
  if (first != std::string::npos && std::string_view("=+-@").find(shown[first]) != std::string_view::npos)
    shown.insert(0, "'");
  // A semicolon separates where a comma is the decimal mark.
  if (shown.find_first_of("\",;") == std::string::npos) return shown;
  std::string field = "\"";
  for (const char c : shown) {
    field += c;
    if (c == '"') field += c;
  }
  return field + "\"";
}

std::string csv_comment(std::string_view json) {
  std::string line = "# ";
  bool inside = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (inside && c == '\\' && i + 1 < json.size()) {
      line.append(json.substr(i++, 2));  // an escaped quote ends no string
    } else if (inside && c == ',') {
      line += "\\u002c";
    } else if (inside && c == ';') {
      line += "\\u003b";
    } else {
      inside = inside != (c == '"');
      line += c;
      if (c == ',') line += ' ';
    }
  }
  return line + "\n";
}

}  // namespace claa
