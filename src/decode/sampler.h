// Chooses the next token from logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "claa/engine.h"

namespace claa {

// Throws Error{kInvalidArgument} naming a value out of range.
void check_sampling(const SamplingParams& params);

// Order: repetition penalty (divides positive, multiplies negative logits of seen tokens), then greedy when
// the temperature is 0; else temperature, top-k, top-p, min-p, and a draw. Equal logits: the lower id wins.
class Sampler {
 public:
  explicit Sampler(const SamplingParams& params) : params_(params), random_(params.seed) {}
  // `seen` holds the prompt and the answer so far; ids may repeat.
  int32_t next(std::span<const float> logits, std::span<const int32_t> seen);

 private:
  struct Candidate {
    int32_t id;
    float logit;
    double probability;
  };
  void fill_candidates(std::span<const float> logits, std::span<const int32_t> seen);

  SamplingParams params_;
  std::vector<Candidate> candidates_;  // one per token of the vocabulary; its memory serves every token
  std::mt19937_64 random_;             // its sequence is fixed by the C++ standard, unlike the distributions
};

}  // namespace claa
