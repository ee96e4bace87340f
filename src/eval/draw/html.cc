#include "eval/draw/html.h"

#include <fmt/format.h>

#include <cmath>

#include "core/counts.h"
#include "output/html.h"

namespace claa::eval {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 1080px; margin: 0 auto;
  padding: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid #ccc; }
p { max-width: 75ch; }
nav a { margin-right: 1rem; white-space: nowrap; }
figure { margin: 1.5rem 0 2rem; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-size: .93rem; max-width: 85ch; margin-top: .25rem; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #e2e2e2; vertical-align: top; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; }
td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th.n { text-align: right; }
td.t { overflow-wrap: anywhere; min-width: 7.5rem; }
td.c { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; }
@media print { body { max-width: none; } figure, tr { break-inside: avoid; } }
)";

}  // namespace

std::string number(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  const std::string text = fmt::format("{:.{}f}", value, digits);
  // A minus sign is as wide as a digit; a number rounded to zero has none.
  if (text[0] != '-') return text;
  return text.find_first_not_of("-0.") == std::string::npos ? text.substr(1) : "−" + text.substr(1);
}

HtmlTable::HtmlTable(const std::vector<std::string>& columns) {
  html_ = "<div class=\"scroll\"><table>\n<thead><tr>";
  for (const std::string& column : columns) {
    numeric_.push_back(column[0] == '#');
    html_ += numeric_.back() ? "<th scope=\"col\" class=\"n\">" + escape_html(column.substr(1))
                             : "<th scope=\"col\">" + escape_html(column);
    html_ += "</th>";
  }
  html_ += "</tr></thead>\n<tbody>\n";
}

void HtmlTable::add(const std::vector<std::string>& cells, const char* text_class) {
  html_ += "<tr>";
  for (size_t i = 0; i < cells.size(); ++i) {
    html_ += fmt::format("<td class=\"{}\">{}</td>", numeric_[i] ? "n" : text_class, escape_html(cells[i]));
  }
  html_ += "</tr>\n";
}

std::string paragraph(const std::string& text) {
  return "<p>" + escape_html(text) + "</p>\n";
}

std::string details(const std::string& heading, const std::string& content) {
  return "<details>\n<summary>" + escape_html(heading) + "</summary>\n" + content + "</details>\n";
}

std::string plural(size_t count, const char* word) {
  return fmt::format("{} {}{}", group_digits(count), word, count == 1 ? "" : "s");
}

std::string html_page(const std::string& title, const std::string& intro,
                      const std::vector<HtmlSection>& sections) {
  const std::string name = escape_html(title);
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  html +=
      fmt::format("<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n", name, kStyle, name);
  html += intro + "<nav>";
  for (const HtmlSection& section : sections) {
    if (!section.content.empty()) html += fmt::format("<a href=\"#{}\">{}</a>", section.id, section.heading);
  }
  html += "</nav>\n";
  for (const HtmlSection& section : sections) {
    if (section.content.empty()) continue;
    html += fmt::format("<h2 id=\"{}\">{}</h2>\n", section.id, section.heading) + section.content;
  }
  return html + "</body>\n</html>\n";
}

}  // namespace claa::eval
