// Chosen query heads: which of them score the prompt, and with what weight.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "claa/export.h"
#include "claa/prefill.h"

namespace claa {

struct LayerHead {
  int layer = 0;
  int head = 0;      // a query head of the layer
  float weight = 1;  // positive and finite
  bool operator==(const LayerHead&) const = default;
};

// "layer.head*weight,layer.head,..." (no weight: 1), in the order of layers and heads; "" is none. Throws
// Error{kInvalidArgument} naming `owner` and the part that is malformed, that repeats a head or whose weight
// is not a positive number.
CLAA_API std::vector<LayerHead> parse_heads(std::string_view owner, std::string_view text);
// Returns a text that parse_heads() reads back exactly.
CLAA_API std::string show_heads(const std::vector<LayerHead>& heads);
// Throws Error{kInvalidArgument} for a head that a model of `layers` layers of `heads` query heads lacks, or
// whose layer comes after `last_layer`.
CLAA_API void check_heads(std::string_view owner, const std::vector<LayerHead>& chosen, int layers, int heads,
                          int last_layer);
// Those of one layer, as ScoreSpec::only takes them.
CLAA_API std::vector<HeadWeight> heads_of_layer(const std::vector<LayerHead>& heads, int layer);

// A first, milder selection: after `layer` only this rate of the prompt lives on until the next one.
struct EarlyDrop {
  int layer = 0;
  double rate = 1;
  bool operator==(const EarlyDrop&) const = default;
};

// "layer:rate,..."; "" is none. Throws Error{kInvalidArgument} naming `owner` and what is malformed: layers
// must rise, rates must fall and lie between 0 and 1.
CLAA_API std::vector<EarlyDrop> parse_early_drops(std::string_view owner, std::string_view text);
// Throws Error{kInvalidArgument} unless they come at or after the first chosen head, which decides, and
// before the selection layer.
CLAA_API void check_early_drops(std::string_view owner, const std::vector<EarlyDrop>& drops,
                                const std::vector<LayerHead>& chosen, int selection_layer);

}  // namespace claa
