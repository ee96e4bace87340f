// Stop strings in streamed text: holds back what may yet become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace claa {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);
  // Adds text; returns what is safe to show. After a stop string has matched, stopped() is true and nothing
  // more comes.
  std::string push(std::string_view text);
  // What was held back, when the answer ends for another reason.
  std::string flush();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace claa
