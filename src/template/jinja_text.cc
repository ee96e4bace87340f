#include "template/jinja_text.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"

namespace claa::jinja {
namespace {

std::vector<Text::Run>::const_iterator run_at(const std::vector<Text::Run>& runs, size_t offset) {
  return std::upper_bound(runs.begin(), runs.end(), offset,
                          [](size_t value, const Text::Run& run) { return value < run.end; });
}

}  // namespace

Text::Text(std::string bytes, Origin origin) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) runs_.push_back({bytes_.size(), origin});
}

void Text::append(std::string_view bytes, Origin origin) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), origin});
  }
}

void Text::append(const Text& other, size_t begin, size_t end) {
  size_t done = begin;
  for (auto run = run_at(other.runs_, begin); done < end && run != other.runs_.end(); ++run) {
    const size_t stop = std::min(run->end, end);
    append(other.view().substr(done, stop - done), run->origin);
    done = stop;
  }
}

Text Text::slice(size_t begin, size_t end) const {
  Text result;
  result.append(*this, begin, end);
  return result;
}

bool CharReader::next(Char& out) {
  if (offset_ >= text_.size()) return false;
  while (text_.runs()[run_].end <= offset_) ++run_;
  const CodePoint point = decode_character(text_.view(), offset_);
  out = {text_.view().substr(offset_, point.size), point.value, offset_, text_.runs()[run_].origin};
  // A character spliced together from two origins counts as the caller's.
  if (out.origin == kFromTemplate && offset_ + point.size > text_.runs()[run_].end) out.origin = kFromCaller;
  offset_ += point.size;
  return true;
}

}  // namespace claa::jinja
