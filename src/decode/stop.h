// Stop strings in streamed text: holds text back while it may still become a stop string. A stop string that
// names a control token is compared with the text and the names of its control tokens, which are not shown.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace claa {

class StopMatcher {
 public:
  // `names_hidden` tells which stop strings name pieces that are not shown; when it is empty, none does.
  explicit StopMatcher(const std::vector<std::string>& stops,
                       const std::function<bool(std::string_view)>& names_hidden = {});
  // Adds text; returns what is safe to show. After a stop string has matched, stopped() is true and no more
  // text is returned.
  std::string push(std::string_view text);
  // Adds a piece that is not shown: the name of a control token.
  std::string push_hidden(std::string_view name);
  // Returns the text held back, when the answer ends for another reason.
  std::string flush();
  bool stopped() const { return stopped_; }

 private:
  struct Stop {
    std::string text;
    bool with_hidden;  // compared with what is not shown, too
  };
  std::string add(std::string_view text, bool hidden);
  // The first place of what is pending where a stop string stands; else where it begins and may go on.
  size_t match(const Stop& stop) const { return find(stop, stop.text.size()); }
  size_t may_begin(const Stop& stop) const { return find(stop, 0); }
  size_t find(const Stop& stop, size_t least) const;
  size_t agreement(const Stop& stop, size_t at) const;
  std::string take(size_t end);

  std::vector<Stop> stops_;
  std::string pending_;
  std::string hidden_;  // for each byte of pending_: 1 when it is not shown, else 0
  bool stopped_ = false;
};

}  // namespace claa
