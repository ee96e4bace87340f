#include "decode/stop.h"

#include <algorithm>

#include "core/check.h"

namespace claa {

StopMatcher::StopMatcher(const std::vector<std::string>& stops,
                         const std::function<bool(std::string_view)>& names_hidden) {
  constexpr size_t kMaxStops = 16, kMaxBytes = 256;
  if (stops.size() > kMaxStops) {
    fail(ErrorCode::kInvalidArgument, "at most {} stop strings, not {}", kMaxStops, stops.size());
  }
  for (const std::string& stop : stops) {
    if (stop.empty() || stop.size() > kMaxBytes) {
      fail(ErrorCode::kInvalidArgument, "a stop string must have 1 to {} bytes, not {}", kMaxBytes,
           stop.size());
    }
    stops_.push_back({stop, names_hidden && names_hidden(stop)});
  }
}

std::string StopMatcher::push(std::string_view text) {
  return add(text, false);
}

std::string StopMatcher::push_hidden(std::string_view name) {
  return add(name, true);
}

std::string StopMatcher::add(std::string_view text, bool hidden) {
  if (stopped_) return {};
  pending_ += text;
  hidden_.append(text.size(), hidden ? '\1' : '\0');
  size_t first = std::string::npos;
  for (const Stop& stop : stops_) first = std::min(first, match(stop));
  if (first != std::string::npos) {
    stopped_ = true;
    std::string shown = take(first);
    pending_.clear();
    hidden_.clear();
    return shown;
  }
  size_t held = pending_.size();
  for (const Stop& stop : stops_) held = std::min(held, may_begin(stop));
  return take(held);
}

// Bytes of the stop string that agree with what is pending from `at` on, before either ends; npos where they
// differ. Pieces that are not shown are passed over where the stop string names none.
size_t StopMatcher::agreement(const Stop& stop, size_t at) const {
  size_t done = 0;
  for (; at < pending_.size() && done < stop.text.size(); ++at) {
    if (hidden_[at] != 0 && !stop.with_hidden) continue;
    if (pending_[at] != stop.text[done]) return std::string::npos;
    ++done;
  }
  return done;
}

size_t StopMatcher::find(const Stop& stop, size_t least) const {
  for (size_t at = pending_.find(stop.text.front()); at != std::string::npos;
       at = pending_.find(stop.text.front(), at + 1)) {
    if (hidden_[at] != 0 && !stop.with_hidden) continue;
    const size_t agreed = agreement(stop, at);
    if (agreed != std::string::npos && agreed >= least) return at;
  }
  return std::string::npos;
}

// Removes the first `end` bytes of what is pending; returns those that are shown.
std::string StopMatcher::take(size_t end) {
  std::string shown;
  for (size_t i = 0; i < end; ++i) {
    if (hidden_[i] == 0) shown += pending_[i];
  }
  pending_.erase(0, end);
  hidden_.erase(0, end);
  return shown;
}

std::string StopMatcher::flush() {
  return take(pending_.size());
}

}  // namespace claa
