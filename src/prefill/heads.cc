#include "claa/heads.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <tuple>

#include "core/check.h"
#include "core/usize.h"

namespace claa {
namespace {

template <class T>
bool take(std::string_view& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  text.remove_prefix(usize(end - text.data()));
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

LayerHead parse_head(std::string_view owner, std::string_view part) {
  LayerHead head;
  std::string_view rest = part;
  bool well = take(rest, head.layer) && take(rest, '.') && take(rest, head.head);
  if (well && !rest.empty()) well = take(rest, '*') && take(rest, head.weight) && rest.empty();
  if (!well || head.layer < 0 || head.head < 0) {
    fail(ErrorCode::kInvalidArgument, "{}: heads must be LAYER.HEAD*WEIGHT separated by commas, not '{}'",
         owner, part);
  }
  if (!std::isfinite(head.weight) || head.weight <= 0) {
    fail(ErrorCode::kInvalidArgument, "{}: the weight of head {}.{} must be a positive number, not {}", owner,
         head.layer, head.head, head.weight);
  }
  return head;
}

}  // namespace

std::vector<LayerHead> parse_heads(std::string_view owner, std::string_view text) {
  std::vector<LayerHead> heads;
  if (text.empty()) return heads;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    heads.push_back(parse_head(owner, text.substr(begin, end - begin)));
    begin = end + 1;
  }
  const auto place = [](const LayerHead& h) { return std::tuple(h.layer, h.head); };
  std::sort(heads.begin(), heads.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
  const auto twice = std::adjacent_find(heads.begin(), heads.end(),
                                        [&](const auto& a, const auto& b) { return place(a) == place(b); });
  if (twice != heads.end()) {
    fail(ErrorCode::kInvalidArgument, "{}: head {}.{} is listed twice; add up its weights", owner,
         twice->layer, twice->head);
  }
  return heads;
}

std::string show_heads(const std::vector<LayerHead>& heads) {
  std::string text;
  for (const LayerHead& h : heads) {
    text += fmt::format("{}{}.{}", text.empty() ? "" : ",", h.layer, h.head);
    if (h.weight != 1) text += fmt::format("*{}", h.weight);
  }
  return text;
}

void check_heads(std::string_view owner, const std::vector<LayerHead>& chosen, int layers, int heads,
                 int last_layer) {
  for (const LayerHead& h : chosen) {
    if (h.layer >= layers || h.head >= heads) {
      fail(ErrorCode::kInvalidArgument,
           "{}: there is no head {}.{} in a model of {} layers with {} query heads each; choose from those",
           owner, h.layer, h.head, layers, heads);
    }
    if (h.layer > last_layer) {
      fail(ErrorCode::kInvalidArgument,
           "{}: head {}.{} comes after the selection layer {} and cannot take part in its choice; leave it "
           "out",
           owner, h.layer, h.head, last_layer);
    }
  }
}

std::vector<EarlyDrop> parse_early_drops(std::string_view owner, std::string_view text) {
  std::vector<EarlyDrop> drops;
  for (size_t begin = 0; !text.empty() && begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    std::string_view rest = part;
    EarlyDrop drop;
    const bool well = take(rest, drop.layer) && take(rest, ':') && take(rest, drop.rate) && rest.empty();
    if (!well || drop.layer < 0 || !(drop.rate > 0 && drop.rate < 1)) {
      fail(ErrorCode::kInvalidArgument,
           "{}: early_drops must be LAYER:RATE separated by commas, rates between 0 and 1, not '{}'", owner,
           part);
    }
    if (!drops.empty() && (drop.layer <= drops.back().layer || drop.rate >= drops.back().rate)) {
      fail(ErrorCode::kInvalidArgument, "{}: early_drops '{}' must name rising layers and falling rates",
           owner, text);
    }
    drops.push_back(drop);
    begin = end + 1;
  }
  return drops;
}

void check_early_drops(std::string_view owner, const std::vector<EarlyDrop>& drops,
                       const std::vector<LayerHead>& chosen, int selection_layer) {
  if (drops.empty()) return;
  if (chosen.empty())
    fail(ErrorCode::kInvalidArgument,
         "{}: early_drops needs heads, which choose what is dropped; give heads, or a profile with heads",
         owner);
  if (drops.front().layer >= chosen.front().layer && drops.back().layer < selection_layer) return;
  fail(ErrorCode::kInvalidArgument,
       "{}: early_drops come at or after the first chosen head's layer {} and before the selection layer {}, "
       "not at {} to {}",
       owner, chosen.front().layer, selection_layer, drops.front().layer, drops.back().layer);
}

std::vector<HeadWeight> heads_of_layer(const std::vector<LayerHead>& heads, int layer) {
  std::vector<HeadWeight> result;
  for (const LayerHead& h : heads) {
    if (h.layer == layer) result.push_back({h.head, h.weight});
  }
  return result;
}

}  // namespace claa
