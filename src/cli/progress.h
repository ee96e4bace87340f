// Progress on a terminal: one line on stderr, redrawn at most ten times a second, erased at the end.
#pragma once

#include <string>

#include "claa/engine.h"
#include "core/clock.h"

namespace claa::cli {

class ProgressBar {
 public:
  // Silent when stderr is not a terminal or `enabled` is false.
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

// Progress of a study on stderr: what is done, what is running, and the remaining time. On a terminal it is
// one line that overwrites itself; elsewhere one line per call. `timed` of the prompts done took
// `elapsed_ms`.
void show_study_progress(size_t done, size_t total, size_t timed, double elapsed_ms,
                         const std::string& at_work);

}  // namespace claa::cli
