#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "eval/draw/html.h"
#include "output/html.h"

namespace claa::eval {
namespace {

// Puts `prefix` before the ids in one tag, and before references to them.
std::string prefixed_tag(std::string_view tag, const std::string& prefix) {
  constexpr std::string_view kBefore[] = {" id=\"", " id='", "href=\"#", "href='#", "url(#"};
  std::string result;
  for (size_t i = 0; i < tag.size();) {
    size_t length = 0;
    for (std::string_view before : kBefore) {
      if (tag.substr(i, before.size()) == before) length = before.size();
    }
    result += tag.substr(i, length > 0 ? length : 1);
    if (length > 0) result += prefix;
    i += length > 0 ? length : 1;
  }
  return result;
}

// The third number of viewBox="0 0 WIDTH HEIGHT"; 0 without one.
int drawn_width(std::string_view svg) {
  constexpr std::string_view kViewBox = "viewBox=\"0 0 ";
  const size_t at = svg.find(kViewBox);
  return at == std::string_view::npos ? 0
                                      : std::atoi(std::string(svg.substr(at + kViewBox.size(), 8)).c_str());
}

}  // namespace

std::string inline_svg(const std::string& svg, const std::string& prefix, const std::string& label) {
  constexpr std::string_view kElement = "<svg";
  const size_t begin = svg.find(kElement);
  if (begin == std::string::npos) return "";
  const int width = drawn_width(svg);
  std::string result = fmt::format("<svg role=\"img\" aria-label=\"{}\"", escape_html(label));
  if (width > 0) result += fmt::format(" style=\"max-width:{}px\"", width);
  // Only inside tags, because a text of the picture may look like an attribute. A '<' or '>' in a text is an
  // entity.
  for (size_t at = begin + kElement.size(); at < svg.size();) {
    const bool in_tag = at == begin + kElement.size() || svg[at] == '<';
    const size_t found = svg.find(in_tag ? '>' : '<', at);
    const size_t end = found == std::string::npos ? svg.size() : found + (in_tag ? 1 : 0);
    const std::string_view piece = std::string_view(svg).substr(at, end - at);
    result += in_tag ? prefixed_tag(piece, prefix) : std::string(piece);
    at = end;
  }
  return result;
}

}  // namespace claa::eval
