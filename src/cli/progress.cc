#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>

#include "cli/common.h"
#include "core/usize.h"
#include "text/unicode.h"

namespace claa::cli {

namespace {

constexpr std::string_view kErase = "\r\x1b[K";

// Columns that a line on stderr may take, one less than the terminal has, because some wrap when the last one
// is written; 0 where a line cannot be erased. Asked anew every time: a window may become narrower.
int64_t usable_columns() {
  constexpr int64_t kUsual = 80;
  const char* term = std::getenv("TERM");
  if (isatty(STDERR_FILENO) == 0 || (term != nullptr && std::string_view(term) == "dumb")) return 0;
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (known ? size.ws_col : kUsual) - 1;
}

}  // namespace

std::string fit_columns(std::string_view text, int64_t columns) {
  std::string fitted;
  int64_t used = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_character(text, at);
    const int64_t width = point.value >= 0x80 ? 2 : 1;
    if (used + width > columns) break;
    if (is_printable(point.value)) {
      fitted += text.substr(at, point.size);
    } else {
      fitted += '?';
    }
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

ProgressBar::ProgressBar(bool enabled) : active_(enabled && usable_columns() > 0) {}

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
  std::cerr << kErase << progress_line(fraction, text, usable_columns()) << std::flush;
  drawn_ = true;
  since_draw_.restart();
}

void ProgressBar::clear() {
  if (drawn_) std::cerr << kErase << std::flush;
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
  if (const int64_t columns = usable_columns(); columns > 0) {
    std::cerr << kErase << fit_columns(line, columns) << std::flush;
  } else {
    std::cerr << fit_columns(line, std::numeric_limits<int64_t>::max()) << "\n" << std::flush;
  }
}

}  // namespace claa::cli
