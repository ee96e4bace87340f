// Pieces of the self-contained HTML reports. All text is escaped.
#pragma once

#include <string>
#include <vector>

namespace claa::eval {

// A value that is not a number becomes "–"; a minus becomes a proper minus sign.
std::string number(double value, int digits = 3);

class HtmlTable {
 public:
  // A column whose name begins with '#' holds numbers.
  explicit HtmlTable(const std::vector<std::string>& columns);
  // Escapes every cell.
  void add(const std::vector<std::string>& cells, const char* text_class = "t");
  std::string html() const { return html_ + "</tbody></table></div>\n"; }

 private:
  std::vector<bool> numeric_;
  std::string html_;
};

// A picture of a report.
struct Picture {
  std::string name;  // file name without its ending
  std::string heading, caption;
};

// An SVG file as an element of an HTML page: without its prologue, at most as wide as it was drawn, with
// `prefix` before its ids, which would clash with those of other pictures.
std::string inline_svg(const std::string& svg, const std::string& prefix, const std::string& label);

std::string paragraph(const std::string& text);
// A section that is folded until it is opened.
std::string details(const std::string& heading, const std::string& content);
std::string plural(size_t count, const char* word);

struct HtmlSection {
  const char* id;
  const char* heading;
  std::string content;  // HTML; an empty section is left out
};
// One page that refers to nothing outside itself; `intro` is HTML, `title` is text.
std::string html_page(const std::string& title, const std::string& intro,
                      const std::vector<HtmlSection>& sections);

}  // namespace claa::eval
