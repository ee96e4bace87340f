#include "cli/heatmap.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/counts.h"
#include "core/usize.h"
#include "text/utf8.h"
#include "text/visible.h"

namespace claa::cli {
namespace {

constexpr int64_t kLevels = 10;

int level_of(int64_t part, int64_t whole) {
  return static_cast<int>(std::min(kLevels - 1, kLevels * part / whole));
}

void fill_texts(const Trace& trace, const std::vector<std::string>& token_bytes, Heatmap& map) {
  map.tokens.resize(trace.prompt_tokens.size());
  Utf8Stream characters;
  for (size_t i = 0; i < map.tokens.size(); ++i) {
    map.tokens[i].id = trace.prompt_tokens[i];
    if (i < token_bytes.size()) map.tokens[i].text = visible_text(characters.push(token_bytes[i]));
  }
  if (!map.tokens.empty()) map.tokens.back().text += visible_text(characters.flush());
}

// Counts, for each token, how many of the incomplete caches hold it.
void count_caches(const Trace& trace, int64_t kv_heads, Heatmap& map) {
  const auto add = [&](const std::vector<int32_t>& positions, int64_t caches) {
    for (const int32_t position : positions) {
      const auto at = usize(position);
      if (position >= 0 && at < map.tokens.size()) map.tokens[at].caches += caches;
    }
  };
  for (const LayerTrace& layer : trace.layers) {
    map.all_caches += kv_heads;
    if (layer.kept_all) {
      const auto live = usize(layer.live);
      // Only the last set of live tokens is recorded; which tokens were live between two drops is not.
      if (live >= map.tokens.size() || !trace.selected || trace.selected->size() != live) continue;
      add(*trace.selected, kv_heads);
    } else {
      const auto lists = static_cast<int64_t>(layer.kept.size());
      for (const std::vector<int32_t>& kept : layer.kept) add(kept, lists == 1 ? kv_heads : 1);
    }
    map.caches += kv_heads;
  }
}

void mark_kept(const Trace& trace, Heatmap& map) {
  map.selected = trace.selected.has_value();
  if (map.selected) {
    for (HeatToken& token : map.tokens) token.kept = false;
    for (const int32_t position : *trace.selected) map.tokens.at(usize(position)).kept = true;
  } else {
    for (HeatToken& token : map.tokens) token.kept = 2 * token.caches >= map.caches;
  }
  map.kept = std::count_if(map.tokens.begin(), map.tokens.end(), [](const HeatToken& t) { return t.kept; });
}

// Ranks as top-k does: by score, then by lower index. Scores are heavy-tailed, so the colour is the share of
// tokens with a lower score, which gives equal scores one colour.
void apply_scores(const std::vector<float>& scores, Heatmap& map) {
  const size_t count = std::min(scores.size(), map.tokens.size());
  const auto value = [&](size_t i) {  // a NaN would break the order
    return std::isnan(scores[i]) ? -std::numeric_limits<float>::infinity() : scores[i];
  };
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return value(a) > value(b); });
  size_t lower = 0;
  for (size_t r = count; r-- > 0;) {
    HeatToken& token = map.tokens[order[r]];
    if (r + 1 < count && value(order[r]) != value(order[r + 1])) lower = count - 1 - r;
    token.score = scores[order[r]];
    token.rank = static_cast<int64_t>(r) + 1;
    token.level = level_of(static_cast<int64_t>(lower), static_cast<int64_t>(count));
  }
  map.scored = static_cast<int64_t>(count);
}

int64_t window_size(const Trace& trace) {
  const size_t tokens = trace.prompt_tokens.size();
  if (!trace.scores.empty()) return static_cast<int64_t>(tokens - std::min(trace.scores.size(), tokens));
  int64_t window = 0;
  for (const auto& [name, text] : trace.answer.prefill.params) {
    if (name == "window") std::from_chars(text.data(), text.data() + text.size(), window);
  }
  return std::clamp<int64_t>(window, 0, static_cast<int64_t>(tokens));
}

void mark_window(int64_t window, Heatmap& map) {
  if (!map.prefill.active) return;
  for (size_t i = map.tokens.size() - usize(window); i < map.tokens.size(); ++i) {
    HeatToken& token = map.tokens[i];
    // The mark says that the window is always kept; a method that does otherwise does not get it.
    token.window = token.kept && token.caches == map.caches;
    if (token.window) token.level = -1;
  }
}

std::string percent(double share) {
  return fmt::format("{:.1f}%", 100 * share);
}

std::string kept_sentence(const Heatmap& map) {
  const auto tokens = static_cast<int64_t>(map.tokens.size());
  if (!map.prefill.active) {
    return fmt::format("all {} tokens; nothing dropped: {}", group_digits(tokens), map.prefill.reason);
  }
  const std::string kept = fmt::format("{} of {} tokens ({})", group_digits(map.kept), group_digits(tokens),
                                       percent(static_cast<double>(map.kept) / static_cast<double>(tokens)));
  if (!map.selected) return kept + " are in at least half of the caches; every token was computed";
  if (!map.prefill.selection_layer) return kept + "; only they were computed";
  return fmt::format("{}; selection layer {}: only they are live after it", kept,
                     *map.prefill.selection_layer);
}

std::string caches_sentence(const Heatmap& map) {
  int64_t entries = 0;
  for (const HeatToken& token : map.tokens) entries += token.caches;
  const double mean =
      static_cast<double>(entries) / static_cast<double>(map.caches) / static_cast<double>(map.tokens.size());
  return fmt::format(
      "{} of {}, one for each layer and KV head, lack part of the prompt; they hold {} of it on average",
      map.caches, map.all_caches, percent(mean));
}

}  // namespace

Heatmap make_heatmap(const Trace& trace, const ModelSummary& model,
                     const std::vector<std::string>& token_bytes) {
  Heatmap map;
  map.model = visible_line(model.name.empty() ? model.file : model.name);
  map.prefill = trace.answer.prefill;
  map.answer = visible_text(trace.answer.text);
  map.finish = trace.answer.finish;
  fill_texts(trace, token_bytes, map);
  count_caches(trace, std::max<int64_t>(model.kv_heads, 1), map);
  mark_kept(trace, map);
  if (!trace.scores.empty()) {
    apply_scores(trace.scores, map);
  } else if (map.caches > 0) {
    for (HeatToken& token : map.tokens) token.level = level_of(token.caches, map.caches);
  }
  mark_window(window_size(trace), map);
  return map;
}

std::vector<std::pair<std::string, std::string>> heatmap_facts(const Heatmap& map) {
  std::string method = map.prefill.method;
  for (size_t i = 0; i < map.prefill.params.size(); ++i) {
    const auto& [name, value] = map.prefill.params[i];
    method += fmt::format("{}{} {}", i == 0 ? ": " : ", ", name, value);
  }
  std::vector<std::pair<std::string, std::string>> facts = {
      {"Model", map.model}, {"Method", visible_line(method)}, {"Kept", visible_line(kept_sentence(map))}};
  if (map.caches > 0) facts.emplace_back("Caches", caches_sentence(map));
  facts.emplace_back("Answer", map.answer + (map.finish == FinishReason::kLength ? " …" : ""));
  return facts;
}

std::pair<std::string, std::string> heatmap_marks(const Heatmap& map) {
  if (!map.prefill.active) return {"kept", ""};
  if (map.selected) return {"kept", "dropped"};
  return {"in at least half of the caches", "in fewer than half"};
}

std::string heatmap_scale(const Heatmap& map) {
  if (map.scored > 0) return "colour: rank of the score, as the share of scored tokens with a lower one";
  return map.caches > 0 ? "colour: share of the caches that hold the token" : "";
}

std::vector<HeatBin> heatmap_bins(const Heatmap& map, int64_t bins) {
  const auto tokens = static_cast<int64_t>(map.tokens.size());
  const int64_t count = std::min(bins, tokens);
  std::vector<HeatBin> result;
  for (int64_t b = 0; b < count; ++b) {
    HeatBin bin{b * tokens / count, (b + 1) * tokens / count, 0};
    for (int64_t i = bin.begin; i < bin.end; ++i) {
      const HeatToken& token = map.tokens[usize(i)];
      if (map.selected || map.caches == 0) {
        bin.share += token.kept ? 1 : 0;
      } else {
        bin.share += static_cast<double>(token.caches) / static_cast<double>(map.caches);
      }
    }
    bin.share /= static_cast<double>(bin.end - bin.begin);
    result.push_back(bin);
  }
  return result;
}

}  // namespace claa::cli
