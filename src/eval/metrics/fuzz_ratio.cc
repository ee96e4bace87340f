// fuzz.ratio of fuzzywuzzy on difflib.SequenceMatcher: twice the characters in matching blocks over all
// characters, where blocks are the longest match, then the longest left and right of it, and so on.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "eval/metrics/metric_text.h"
#include "eval/metrics/metrics.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace claa::eval {
namespace {

struct Block {
  size_t a, b, size;
};
struct Range {
  size_t a_begin, a_end, b_begin, b_end;
};

std::u32string characters_of(std::string_view valid_utf8) {
  std::u32string characters;
  for (size_t offset = 0; offset < valid_utf8.size();) {
    const CodePoint c = decode_character(valid_utf8, offset);
    characters += static_cast<char32_t>(c.value);
    offset += c.size;
  }
  return characters;
}

class SequenceMatcher {
 public:
  SequenceMatcher(std::string_view a, std::string_view b)
      : a_(characters_of(a)), b_(characters_of(b)), lengths_(b_.size() + 1) {
    for (size_t j = 0; j < b_.size(); ++j) places_[b_[j]].push_back(j);
    if (b_.size() < kAutojunkFrom) return;
    const size_t most = b_.size() / 100 + 1;
    std::erase_if(places_, [most](const auto& entry) { return entry.second.size() > most; });
  }

  double ratio() {
    size_t matched = 0;
    std::vector<Range> open{{0, a_.size(), 0, b_.size()}};
    while (!open.empty()) {
      const Range range = open.back();
      open.pop_back();
      const Block block = longest_match(range);
      if (block.size == 0) continue;
      matched += block.size;
      if (range.a_begin < block.a && range.b_begin < block.b) {
        open.push_back({range.a_begin, block.a, range.b_begin, block.b});
      }
      if (block.a + block.size < range.a_end && block.b + block.size < range.b_end) {
        open.push_back({block.a + block.size, range.a_end, block.b + block.size, range.b_end});
      }
    }
    return 2.0 * static_cast<double>(matched) / static_cast<double>(a_.size() + b_.size());
  }

 private:
  static constexpr size_t kAutojunkFrom = 200;  // characters of b

  // The longest match that holds no frequent character, the first in a, then in b; it is then extended at
  // both ends over equal characters, frequent or not.
  Block longest_match(const Range& range) {
    Block best{range.a_begin, range.b_begin, 0};
    std::vector<size_t> touched;  // places of lengths_ that the last character of a set
    for (size_t i = range.a_begin; i < range.a_end; ++i) touched = extend_matches(i, range, touched, best);
    for (size_t place : touched) lengths_[place] = 0;
    while (best.a > range.a_begin && best.b > range.b_begin && a_[best.a - 1] == b_[best.b - 1]) {
      --best.a;
      --best.b;
      ++best.size;
    }
    while (best.a + best.size < range.a_end && best.b + best.size < range.b_end &&
           a_[best.a + best.size] == b_[best.b + best.size]) {
      ++best.size;
    }
    return best;
  }

  // lengths_[j + 1] is the length of the match that ends at character i of a and j of b. Those of i - 1 are
  // read before any of i is written. Returns the places now set.
  std::vector<size_t> extend_matches(size_t i, const Range& range, const std::vector<size_t>& touched,
                                     Block& best) {
    std::vector<size_t> now;
    std::vector<size_t> lengths_now;
    const auto found = places_.find(a_[i]);
    if (found != places_.end()) {
      const std::vector<size_t>& places = found->second;
      auto j = std::lower_bound(places.begin(), places.end(), range.b_begin);
      for (; j != places.end() && *j < range.b_end; ++j) {
        const size_t length = lengths_[*j] + 1;
        now.push_back(*j + 1);
        lengths_now.push_back(length);
        if (length > best.size) best = {i + 1 - length, *j + 1 - length, length};
      }
    }
    for (size_t place : touched) lengths_[place] = 0;
    for (size_t k = 0; k < now.size(); ++k) lengths_[now[k]] = lengths_now[k];
    return now;
  }

  std::u32string a_, b_;
  std::unordered_map<char32_t, std::vector<size_t>> places_;  // places of a character in b, ascending
  std::vector<size_t> lengths_;                               // zero between two calls of longest_match
};

}  // namespace

int fuzz_ratio(std::string_view a, std::string_view b) {
  const std::string text_a = replace_invalid_utf8(a);
  const std::string text_b = replace_invalid_utf8(b);
  if (text_a == text_b) return 100;
  if (text_a.empty() || text_b.empty()) return 0;
  // Halves are rounded to the even neighbour, as in Python.
  return static_cast<int>(std::nearbyint(100 * SequenceMatcher(text_a, text_b).ratio()));
}

double code_sim_score(std::string_view prediction, std::string_view answer) {
  const std::string_view text = without_leading_newlines(prediction);
  std::string_view code;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.find_first_of("`#") == std::string_view::npos && line.find("//") == std::string_view::npos) {
      code = line;
      break;
    }
    begin = end + 1;
  }
  return fuzz_ratio(code, answer) / 100.0;
}

}  // namespace claa::eval
