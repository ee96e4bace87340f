// Progress on a terminal: one line on stderr, redrawn at most ten times a second, erased at the end. It is
// never wider than the terminal, where every redrawn line would leave a part of itself behind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "claa/engine.h"
#include "core/clock.h"

namespace claa::cli {

class ProgressBar {
 public:
  // Silent when stderr is no terminal that can erase a line, or `enabled` is false.
  explicit ProgressBar(bool enabled = true);
  ~ProgressBar() { clear(); }
  void load(int64_t done, int64_t layers);
  void prefill(const PrefillProgress& progress);
  void clear();

 private:
  void draw(double fraction, const std::string& text);
  bool active_;
  bool drawn_ = false;
  Stopwatch since_draw_;
};

// A bar and a text within `columns`: the bar becomes shorter and is left out before the text is cut.
std::string progress_line(double fraction, const std::string& text, int64_t columns);

// As much of a visible line (text/visible.h) as surely fits: every character beyond ASCII counts as two
// columns.
std::string fit_columns(std::string_view bytes, int64_t columns);

// Progress of a study on stderr: what is done, what is running, and the remaining time. On a terminal that
// can erase a line it is one line that overwrites itself; elsewhere one line per call. `timed` of the prompts
// done took `elapsed_ms`.
void show_study_progress(size_t done, size_t total, size_t timed, double elapsed_ms,
                         const std::string& at_work);

}  // namespace claa::cli
