// The heat map on a terminal, or as plain text.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/heatmap.h"
#include "core/counts.h"
#include "core/usize.h"

namespace claa::cli {
namespace {

constexpr std::string_view kReset = "\x1b[0m";

// Light backgrounds from the palette of 256 colours; the lowest level has none.
constexpr std::array<int, 10> kBackgrounds = {0, 255, 230, 229, 228, 227, 221, 220, 214, 208};

std::string style_of(const HeatToken& token) {
  if (token.window) return "\x1b[1;4;38;5;16;48;5;153m";
  if (token.level <= 0) return token.kept ? "\x1b[1;4m" : "\x1b[38;5;245m";
  return fmt::format("\x1b[{}38;5;{};48;5;{}m", token.kept ? "1;4;" : "", token.kept ? 16 : 241,
                     kBackgrounds[usize(token.level)]);
}

// A line ends unstyled, because some terminals colour the rest of it otherwise.
void append_styled(std::string_view text, const std::string& style, std::string& out) {
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    out.append(text.substr(0, end)).append(kReset).append("\n").append(style);
    text.remove_prefix(end + 1);
  }
  out.append(text);
}

std::string colored(const Heatmap& map) {
  std::string out, style;
  for (const HeatToken& token : map.tokens) {
    if (token.text.empty()) continue;  // part of a character
    std::string next = style_of(token);
    if (next != style) {
      if (!style.empty()) out += kReset;
      style = std::move(next);
      out += style;
    }
    append_styled(token.text, style, out);
  }
  return out.append(kReset);
}

std::string plain(const Heatmap& map) {
  std::string out;
  int64_t dropped = 0;
  const auto close_run = [&] {
    if (dropped > 0) out += fmt::format(" […{} token{}…] ", group_digits(dropped), dropped == 1 ? "" : "s");
    dropped = 0;
  };
  for (const HeatToken& token : map.tokens) {
    if (!token.kept) {
      ++dropped;
      continue;
    }
    close_run();
    out += token.text;
  }
  close_run();
  return out;
}

// Blocks of eight heights; nothing at all is a dot.
std::string depth_strip(const Heatmap& map) {
  constexpr int64_t kBins = 64;
  constexpr std::array<std::string_view, 9> kBlocks = {"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string out;
  for (const HeatBin& bin : heatmap_bins(map, kBins)) {
    const int height = bin.share <= 0 ? 0 : std::clamp(static_cast<int>(bin.share * 8 + 0.5), 1, 8);
    out += kBlocks[usize(height)];
  }
  return out;
}

std::string mark_legend(const Heatmap& map) {
  const auto sample = [](const HeatToken& token, const std::string& text) {
    return fmt::format("{}{}{}", style_of(token), text, kReset);
  };
  const auto [kept, dropped] = heatmap_marks(map);
  std::string out = sample({}, kept);
  if (!dropped.empty()) {
    HeatToken token;
    token.kept = false;
    out += " " + sample(token, dropped);
  }
  if (std::any_of(map.tokens.begin(), map.tokens.end(), [](const HeatToken& t) { return t.window; })) {
    HeatToken token;
    token.window = true;
    out += " " + sample(token, "window, always kept");
  }
  if (const std::string scale = heatmap_scale(map); !scale.empty()) {
    out += "; " + scale + " ";
    for (int level = 0; level < 10; ++level) {
      HeatToken token;
      token.level = level;
      token.kept = false;
      out += sample(token, fmt::format(" {} ", level * 10));
    }
    out += "%";
  }
  return out;
}

}  // namespace

std::string heatmap_text(const Heatmap& map, bool color) {
  std::string out;
  const auto line = [&](const std::string& label, const std::string& text) {
    out += fmt::format("{:<8}{}\n", label, text);
  };
  const auto facts = heatmap_facts(map);
  for (size_t i = 0; i + 1 < facts.size(); ++i) line(facts[i].first, facts[i].second);
  line("Where", depth_strip(map));
  color = color && map.prefill.active;  // otherwise there is nothing to distinguish
  if (color) line("Marks", mark_legend(map));
  out += "\n" + (color ? colored(map) : plain(map));
  if (out.back() != '\n') out += '\n';
  out += "\n";
  line(facts.back().first, facts.back().second);
  return out;
}

}  // namespace claa::cli
