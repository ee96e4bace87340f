#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "cli/common.h"
#include "core/usize.h"

namespace claa::cli {

ProgressBar::ProgressBar(bool enabled) : active_(enabled && isatty(STDERR_FILENO) != 0) {}

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
  constexpr int kWidth = 28;
  if (!active_ || (drawn_ && since_draw_.ms() < kIntervalMs)) return;
  const int full = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * kWidth);
  std::cerr << fmt::format("\r\x1b[K[{}{}] {}", std::string(usize(full), '#'),
                           std::string(usize(kWidth - full), '.'), text)
            << std::flush;
  drawn_ = true;
  since_draw_.restart();
}

void ProgressBar::clear() {
  if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

void show_study_progress(size_t done, size_t total, size_t timed, double elapsed_ms,
                         const std::string& at_work) {
  const double left =
      timed == 0 ? 0 : elapsed_ms / 1000 / static_cast<double>(timed) * static_cast<double>(total - done);
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const std::string remaining =
      timed == 0 ? ""
                 : fmt::format(", {:.0f} min {:02.0f} s left", std::floor(left / 60), std::fmod(left, 60));
  std::cerr << fmt::format("{}[{}/{}{}] {}{}", terminal ? "\r\x1b[K" : "", done, total, remaining, at_work,
                           terminal ? "" : "\n")
            << std::flush;
}

}  // namespace claa::cli
