// How far a ranking can be trusted, and how many tokens it needs, from its scores alone.
#pragma once

#include <span>
#include <vector>

#include "claa/budget.h"

namespace claa {

// `rows`: what each head (or group of heads) gives every token, all of the same length and not negative; the
// ranking is their sum, of which the best `chosen` tokens are kept. Without rows, tokens or choice nothing
// speaks against the ranking: confidence 1. Signals are NaN-free; scores that are all zero have confidence 0.
RankingSignals ranking_signals(std::span<const std::vector<float>> rows, int64_t chosen);

// The fewest tokens, best first, whose scores (not negative) make up `mass` of their sum.
int64_t tokens_of_mass(std::span<const float> scores, double mass);

}  // namespace claa
