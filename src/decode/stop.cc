#include "decode/stop.h"

#include <algorithm>

#include "core/check.h"

namespace claa {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  constexpr size_t kMaxStops = 16, kMaxBytes = 256;
  if (stops_.size() > kMaxStops) {
    fail(ErrorCode::kInvalidArgument, "at most {} stop strings, not {}", kMaxStops, stops_.size());
  }
  for (const std::string& stop : stops_) {
    if (stop.empty() || stop.size() > kMaxBytes) {
      fail(ErrorCode::kInvalidArgument, "a stop string must have 1 to {} bytes, not {}", kMaxBytes,
           stop.size());
    }
  }
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  pending_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, pending_.find(stop));
  if (first != std::string::npos) {
    stopped_ = true;
    std::string shown = pending_.substr(0, first);
    pending_.clear();
    return shown;
  }
  size_t held = 0;  // length of the longest tail that begins a stop string
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, pending_.size()); length > held; --length) {
      if (pending_.ends_with(std::string_view(stop).substr(0, length))) held = length;
    }
  }
  std::string shown = pending_.substr(0, pending_.size() - held);
  pending_.erase(0, shown.size());
  return shown;
}

std::string StopMatcher::flush() {
  return std::exchange(pending_, {});
}

}  // namespace claa
