#include "eval/draw/text_table.h"

#include <fmt/format.h>

#include "output/markdown.h"
#include "text/visible.h"

namespace claa::eval {

std::string markdown(const TextTable& table) {
  std::string text = fmt::format("## {}\n\n|", visible_line(table.title));
  std::string rule = "|";
  for (const std::string& column : table.columns) {
    const bool numeric = column[0] == '#';
    text += fmt::format(" {} |", markdown_cell(numeric ? column.substr(1) : column));
    rule += numeric ? "---:|" : "---|";
  }
  text += "\n" + rule + "\n";
  for (const std::vector<std::string>& row : table.rows) {
    text += "|";
    for (const std::string& value : row) text += fmt::format(" {} |", markdown_cell(value));
    text += "\n";
  }
  return text + "\n";
}

}  // namespace claa::eval
