// Heat map of a prompt: every token with its score and whether it was kept, as a web page or for a terminal.
// Pure functions of a trace: no files, no model, no environment.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "claa/engine.h"

namespace claa::cli {

struct HeatToken {
  int32_t id = 0;
  // visible_text() (text/visible.h) of its bytes. A character that spans several tokens
  // stands on the last of them, so the text may be empty.
  std::string text;
  bool kept = true;
  bool window = false;  // one of the last prompt tokens, which observe and are always kept
  int level = -1;       // colour, 0 to 9; -1: none
  float score = 0;
  int64_t rank = 0;    // by score, 1 is best; 0: not scored
  int64_t caches = 0;  // number of the Heatmap::caches that hold the token
};

struct Heatmap {
  std::string model;
  PrefillSummary prefill;
  std::string answer;
  FinishReason finish = FinishReason::kLength;
  std::vector<HeatToken> tokens;
  // True if tokens left the residual stream. Otherwise "kept" means: in at least half of the counted caches.
  bool selected = false;
  int64_t kept = 0;    // tokens
  int64_t scored = 0;  // tokens; 0: the colour is the share of caches
  // A cache is that of one layer and KV head. Only caches that lack part of the prompt are counted: the
  // others hold every token and show nothing.
  int64_t caches = 0;
  int64_t all_caches = 0;
};

// `token_bytes`: raw bytes of each prompt token, which may begin or end inside a character.
Heatmap make_heatmap(const Trace& trace, const ModelSummary& model,
                     const std::vector<std::string>& token_bytes);

// Label and sentence of each line that both forms print above the text. The answer comes last.
std::vector<std::pair<std::string, std::string>> heatmap_facts(const Heatmap& map);
// Meaning of the two marks: kept, and not kept.
std::pair<std::string, std::string> heatmap_marks(const Heatmap& map);
// Meaning of the colour; empty when there is none.
std::string heatmap_scale(const Heatmap& map);

// Shows where in the prompt the kept tokens lie, in at most `bins` equal stretches.
struct HeatBin {
  int64_t begin, end;  // tokens
  double share;        // kept tokens; without a selection, the mean share of caches
};
std::vector<HeatBin> heatmap_bins(const Heatmap& map, int64_t bins);

// One self-contained page, without scripts or anything loaded from elsewhere.
std::string heatmap_html(const Heatmap& map);
// The map for a terminal. Without colour, kept text stands as it is and a run of dropped tokens becomes " […N
// tokens…] ".
std::string heatmap_text(const Heatmap& map, bool color);

}  // namespace claa::cli
