#include "decode/sampler.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/usize.h"

namespace claa {

void check_sampling(const SamplingParams& params) {
  const auto inside = [](const char* name, double value, double low, double high) {
    if (!std::isfinite(value) || value < low || value > high) {
      fail(ErrorCode::kInvalidArgument, "{} must be from {} to {}, not {}", name, low, high, value);
    }
  };
  inside("temperature", params.temperature, 0, 100);
  inside("top_p", params.top_p, 0, 1);
  inside("min_p", params.min_p, 0, 1);
  inside("repetition_penalty", params.repetition_penalty, 0.01, 100);
  inside("top_k", static_cast<double>(params.top_k), 0, 1e9);
}

void Sampler::fill_candidates(std::span<const float> logits, std::span<const int32_t> seen) {
  std::vector<Candidate>& all = candidates_;
  all.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) all[i] = {static_cast<int32_t>(i), logits[i], 0};
  if (params_.repetition_penalty != 1) {
    const float penalty = static_cast<float>(params_.repetition_penalty);
    std::vector<bool> done(logits.size());
    for (const int32_t id : seen) {
      const size_t i = usize(id);
      if (i >= done.size() || done[i]) continue;
      done[i] = true;
      all[i].logit = all[i].logit > 0 ? all[i].logit / penalty : all[i].logit * penalty;
    }
  }
}

int32_t Sampler::next(std::span<const float> logits, std::span<const int32_t> seen) {
  require(!logits.empty(), "sampler: no logits");
  const bool greedy = params_.temperature <= 0;
  if (greedy && params_.repetition_penalty == 1)
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  };
  fill_candidates(logits, seen);
  std::vector<Candidate>& all = candidates_;
  if (greedy) return std::min_element(all.begin(), all.end(), better)->id;

  const size_t limit = params_.top_k > 0 ? std::min(usize(params_.top_k), all.size()) : all.size();
  std::partial_sort(all.begin(), all.begin() + static_cast<int64_t>(limit), all.end(), better);
  all.resize(limit);
  double total = 0;
  for (Candidate& c : all) {
    c.probability = std::exp((static_cast<double>(c.logit) - all.front().logit) / params_.temperature);
    total += c.probability;
  }
  double mass = 0;
  size_t count = 0;
  const double floor = params_.min_p * all.front().probability;
  for (; count < all.size(); ++count) {  // at least the best candidate survives
    if (count > 0 && (mass >= params_.top_p * total || all[count].probability < floor)) break;
    mass += all[count].probability;
  }
  // 53 random bits give the same draw on every standard library.
  double draw = static_cast<double>(random_() >> 11) * 0x1p-53 * mass;
  for (size_t i = 0; i + 1 < count; ++i) {
    draw -= all[i].probability;
    if (draw < 0) return all[i].id;
  }
  return all[count - 1].id;
}

}  // namespace claa
