// The heat map as one page. A prompt of thousands of tokens is thousands of elements: their markup is short.
#include <fmt/format.h>

#include <algorithm>

#include "cli/heatmap.h"
#include "core/counts.h"
#include "output/html.h"

namespace claa::cli {
namespace {

constexpr int64_t kBins = 100;

// c0 to c9: colour, light to dark, so that it reads without colour too. k: kept, d: dropped, w: window, n:
// nothing but line breaks, f: no character ends here.
constexpr std::string_view kStyle = R"(
:root{color-scheme:light}
body{margin:1.5em auto;max-width:62em;padding:0 1em;background:#fff;color:#111;font:15px/1.75 system-ui,sans-serif}
h1{font-size:1.3em;margin:0 0 .6em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:0 0 1em}
dt{color:#555}
dd{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
svg{display:block;width:100%;height:4em;background:#f2f2f2;border-bottom:1px solid #111}
svg rect{fill:#245}
svg a rect.h{fill:transparent}
svg a:hover rect.h{fill:#2455}
.x{display:flex;justify-content:space-between;color:#555;font-size:.85em;margin-bottom:1em}
.l{display:flex;flex-wrap:wrap;gap:.2em 1.2em;align-items:baseline;font-size:.9em}
.l .s span{padding:0 .35em;font-size:.85em}
main{border-top:1px solid #bbb;margin-top:1em;padding-top:1em;white-space:pre-wrap;overflow-wrap:anywhere;tab-size:4}
.c1{background:#fffbe6}.c2{background:#fff6d2}.c3{background:#fff0bd}.c4{background:#ffe9a6}.c5{background:#ffe08c}
.c6{background:#ffd574}.c7{background:#ffc75c}.c8{background:#ffb647}.c9{background:#ffa333}
.k{color:#000;font-weight:700;text-decoration:underline;text-underline-offset:3px}
.d{color:#606060}
.w{box-shadow:0 -1.5px #15c,0 1.5px #15c;background:#eaf1ff}
.a .k{font-weight:400;text-decoration:none}
.n::before{content:"\21b5";font-weight:400;opacity:.6}
.f::before{content:"\b7"}
:target{outline:3px solid #15c}
#o:checked~main .d{display:none}
#o:checked~main .k{font-weight:400;text-decoration:none}
#o:checked~main .d+.k::before{content:" \2026  ";color:#606060}
#o:checked~main .d+.n::before{content:" \2026  \21b5"}
)";

// Text in one line, for tooltips.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "↵";
    } else if (c == '\t') {
      out += "⇥";
    } else {
      out += c;
    }
  }
  return out;
}

std::string tooltip(const Heatmap& map, const HeatToken& token, size_t position) {
  std::string tip = fmt::format("#{} id {} ", position, token.id);
  tip += token.text.empty() ? "(no character ends here)" : fmt::format("\"{}\"", one_line(token.text));
  if (token.rank > 0)
    tip += fmt::format("\nscore {:.4g}, rank {}/{}", token.score, group_digits(token.rank),
                       group_digits(map.scored));
  if (map.caches > 0) tip += fmt::format("\ncaches {}/{}", token.caches, map.caches);
  if (token.window) tip += "\nwindow";
  return tip;
}

std::string classes(const HeatToken& token) {
  std::string names = token.kept ? "k" : "d";
  if (token.level >= 0) names += fmt::format(" c{}", token.level);
  if (token.window) names += " w";
  if (token.text.empty()) names += " f";
  if (!token.text.empty() && token.text.find_first_not_of('\n') == std::string::npos) names += " n";
  return names;
}

std::string header(const Heatmap& map) {
  std::string out = "<h1>What the prefill kept</h1>\n<dl>\n";
  for (const auto& [label, text] : heatmap_facts(map)) {
    out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", label, escape_html(text));
  }
  return out + "</dl>\n";
}

// Bars of the kept share; a click leads to the place in the text.
std::string strip(const Heatmap& map) {
  constexpr double kHeight = 40;
  const std::vector<HeatBin> bins = heatmap_bins(map, kBins);
  const std::string what = map.selected || map.caches == 0 ? "kept" : "of the caches";
  std::string out = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"where kept tokens "
      "lie\">\n",
      bins.size(), kHeight);
  for (size_t i = 0; i < bins.size(); ++i) {
    const HeatBin& bin = bins[i];
    // A few kept tokens among many must still be visible.
    const double height = bin.share > 0 ? std::max(1.0, kHeight * bin.share) : 0;
    out += fmt::format(
        "<a href=\"#p{}\"><title>tokens {} to {}: {:.0f}% {}</title><rect x=\"{}\" y=\"{:.1f}\" width=\".9\" "
        "height=\"{:.1f}\"/><rect class=\"h\" x=\"{}\" width=\"1\" height=\"{}\"/></a>\n",
        bin.begin, bin.begin, bin.end - 1, 100 * bin.share, what, i, kHeight - height, height, i, kHeight);
  }
  return out + fmt::format(
                   "</svg>\n<div class=\"x\"><span>token 0</span><span>{}, by place in the prompt; "
                   "full height is 100%</span><span>{}</span></div>\n",
                   map.selected || map.caches == 0 ? "share of kept tokens" : "mean share of caches",
                   group_digits(static_cast<int64_t>(map.tokens.size()) - 1));
}

std::string legend(const Heatmap& map) {
  const auto [kept, dropped] = heatmap_marks(map);
  std::string out = fmt::format("<div class=\"l\"><span class=\"k\">{}</span>\n", kept);
  if (!dropped.empty()) out += fmt::format("<span class=\"d\">{}</span>\n", dropped);
  const bool window =
      std::any_of(map.tokens.begin(), map.tokens.end(), [](const HeatToken& t) { return t.window; });
  if (window) out += "<span class=\"k w\">window, always kept</span>\n";
  if (const std::string scale = heatmap_scale(map); !scale.empty()) {
    out += fmt::format("<span>{} <span class=\"s\">", scale);
    for (int level = 0; level < 10; ++level) {
      out += fmt::format("<span class=\"c{}\">{}</span>", level, level * 10);
    }
    out += "</span> %</span>\n";
  }
  const bool part =
      std::any_of(map.tokens.begin(), map.tokens.end(), [](const HeatToken& t) { return t.text.empty(); });
  if (part) out += "<span>· part of the character that follows</span>\n";
  return out + "<span>point at a token for its numbers, click a bar to go there</span></div>\n";
}

}  // namespace

std::string heatmap_html(const Heatmap& map) {
  // The policy is a second defence behind the escapes: nothing in a prompt can run or load.
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{}: what the prefill kept</title>\n"
      "<style>{}</style>\n<body{}>\n",
      escape_html(map.prefill.method), kStyle, map.prefill.active ? "" : " class=\"a\"");
  out += header(map) + strip(map) + legend(map);
  if (map.prefill.active) {
    out += fmt::format("<input type=\"checkbox\" id=\"o\"><label for=\"o\"> show only: {}</label>\n",
                       heatmap_marks(map).first);
  }
  out += "<main dir=\"auto\">";
  const std::vector<HeatBin> bins = heatmap_bins(map, kBins);
  size_t bin = 0;
  for (size_t i = 0; i < map.tokens.size(); ++i) {
    const HeatToken& token = map.tokens[i];
    std::string id;
    if (bin < bins.size() && bins[bin].begin == static_cast<int64_t>(i)) {
      id = fmt::format(" id=\"p{}\"", i);
      ++bin;
    }
    out += fmt::format("<span{} class=\"{}\" title=\"{}\">{}</span>", id, classes(token),
                       escape_html(tooltip(map, token, i)), escape_html(token.text));
  }
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace claa::cli
