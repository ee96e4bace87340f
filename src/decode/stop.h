// Stop strings in streamed text: holds text back while it may still become a stop string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace claa {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);
  // Adds text; returns what is safe to show. After a stop string has matched, stopped() is true and no more
  // text is returned.
  std::string push(std::string_view text);
  // Returns the text held back, when the answer ends for another reason.
  std::string flush();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace claa
