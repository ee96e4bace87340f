// Tables of the reports.
#pragma once

#include <string>
#include <vector>

namespace claa::eval {

// Text in rows and columns, for Markdown and for HTML. A column that begins with '#' holds numbers.
struct TextTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};
std::string markdown(const TextTable& table);

}  // namespace claa::eval
