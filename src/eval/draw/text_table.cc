#include "eval/draw/text_table.h"

#include <fmt/format.h>

#include "eval/draw/text.h"

namespace claa::eval {

std::string markdown(const TextTable& table) {
  const auto cell = [](const std::string& text) {
    std::string escaped;
    for (const char c : clean_text(text)) escaped += c == '|' ? "\\|" : std::string(1, c);
    return escaped;
  };
  std::string text = fmt::format("## {}\n\n|", table.title);
  std::string rule = "|";
  for (const std::string& column : table.columns) {
    const bool numeric = column[0] == '#';
    text += fmt::format(" {} |", cell(numeric ? column.substr(1) : column));
    rule += numeric ? "---:|" : "---|";
  }
  text += "\n" + rule + "\n";
  for (const std::vector<std::string>& row : table.rows) {
    text += "|";
    for (const std::string& value : row) text += fmt::format(" {} |", cell(value));
    text += "\n";
  }
  return text + "\n";
}

}  // namespace claa::eval
