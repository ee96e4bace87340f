#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/terminal.h"
#include "core/counts.h"
#include "core/usize.h"
#include "text/unicode.h"
#include "text/visible.h"

namespace claa::cli {

namespace {

constexpr std::string_view kErase = "\r\x1b[K";

}  // namespace

std::string fit_columns(std::string_view bytes, int64_t columns) {
  const std::string text = visible_line(bytes);
  std::string fitted;
  int64_t used = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_character(text, at);
    const int64_t width = point.value >= 0x80 ? 2 : 1;
    if (used + width > columns) break;
    fitted.append(text, at, point.size);
    used += width;
    at += point.size;
  }
  return fitted;
}

std::string progress_line(double fraction, const std::string& text, int64_t columns) {
  constexpr int64_t kWidest = 28, kNarrowest = 6, kFrame = 3;  // brackets and a blank
  const int64_t width = std::min(kWidest, columns - kFrame - static_cast<int64_t>(text.size()));
  if (width < kNarrowest) return fit_columns(text, columns);
  const auto full = static_cast<int64_t>(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(width));
  return fmt::format("[{}{}] {}", std::string(usize(full), '#'), std::string(usize(width - full), '.'), text);
}

ProgressBar::ProgressBar(bool enabled) : active_(enabled && progress_columns() > 0) {}

void ProgressBar::load(int64_t done, int64_t layers) {
  draw(static_cast<double>(done) / static_cast<double>(layers),
       fmt::format("loading, layer {}/{}", done, layers));
}

void ProgressBar::prefill(const PrefillProgress& p) {
  const double layer = static_cast<double>(p.rows) / static_cast<double>(p.live);
  draw((static_cast<double>(p.layer) + layer) / static_cast<double>(p.layers),
       fmt::format("prefill, layer {}/{}, {}/{} tokens", p.layer + 1, p.layers, group_digits(p.rows),
                   group_digits(p.live)));
}

void ProgressBar::draw(double fraction, const std::string& text) {
  constexpr double kIntervalMs = 100;
  if (!active_ || (drawn_ && since_draw_.ms() < kIntervalMs)) return;
  tell_drawn(std::string(kErase) + progress_line(fraction, text, progress_columns()));
  drawn_ = true;
  since_draw_.restart();
}

void ProgressBar::clear() {
  if (drawn_) tell_drawn(kErase);
  drawn_ = false;
}

void show_study_progress(size_t done, size_t total, size_t timed, double elapsed_ms,
                         const std::string& at_work) {
  const double left =
      timed == 0 ? 0 : elapsed_ms / 1000 / static_cast<double>(timed) * static_cast<double>(total - done);
  const std::string remaining =
      timed == 0 ? ""
                 : fmt::format(", {:.0f} min {:02.0f} s left", std::floor(left / 60), std::fmod(left, 60));
  const std::string line = fmt::format("[{}/{}{}] {}", done, total, remaining, at_work);
  if (const int64_t columns = progress_columns(); columns > 0) {
    tell_drawn(std::string(kErase) + fit_columns(line, columns));
  } else {
    tell_line(line);
  }
}

}  // namespace claa::cli
