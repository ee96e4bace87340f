#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cli/common.h"

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
  std::cerr << fmt::format("\r\x1b[K[{}{}] {}", std::string(static_cast<size_t>(full), '#'),
                           std::string(static_cast<size_t>(kWidth - full), '.'), text)
            << std::flush;
  drawn_ = true;
  since_draw_.restart();
}

void ProgressBar::clear() {
  if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

}  // namespace claa::cli
