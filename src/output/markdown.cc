#include "output/markdown.h"

#include "text/visible.h"

namespace claa {

std::string markdown_cell(std::string_view text) {
  std::string cell;
  for (const char c : visible_line(text)) {
    if (c == '|' || c == '<') cell += '\\';
    cell += c;
  }
  return cell;
}

std::string markdown_code(std::string_view text) {
  std::string code = "`";
  for (const char c : visible_line(text)) {
    if (c == '|') code += '\\';
    code += c == '`' ? '\'' : c;
  }
  return code + "`";
}

}  // namespace claa
