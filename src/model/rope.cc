#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/usize.h"

namespace claa {
namespace {

// The pair index whose wavelength makes `rotations` turns within the original context.
double yarn_dimension(const RopeConfig& rope, double rotations) {
  return static_cast<double>(rope.rotated) *
         std::log(rope.original_context / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.base));
}

}  // namespace

bool turns_long(const RopeConfig& rope, int64_t tokens) {
  return !rope.long_factors.empty() && static_cast<double>(tokens) > rope.original_context;
}

std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t tokens) {
  std::vector<double> frequencies(usize(rope.rotated / 2));
  const std::vector<float>& factors = turns_long(rope, tokens) ? rope.long_factors : rope.frequency_factors;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(rope.base, -2.0 * static_cast<double>(i) / static_cast<double>(rope.rotated));
    if (!factors.empty()) frequencies[i] /= static_cast<double>(factors[i]);
  }
  if (rope.scaling == RopeScaling::kLinear) {
    for (double& frequency : frequencies) frequency /= rope.factor;
  } else if (rope.scaling == RopeScaling::kYarn) {
    double low = yarn_dimension(rope, rope.beta_fast), high = yarn_dimension(rope, rope.beta_slow);
    if (rope.whole_pairs) low = std::floor(low), high = std::ceil(high);
    low = std::max(0.0, low);
    high = std::min(static_cast<double>(rope.rotated - 1), high);
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double ramp = std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
      frequencies[i] = frequencies[i] * (1 - ramp) + frequencies[i] / rope.factor * ramp;
    }
  }
  return frequencies;
}

double rope_magnitude(const RopeConfig& rope) {
  const bool yarn = rope.scaling == RopeScaling::kYarn;
  if (!yarn && rope.scaling != RopeScaling::kLong) return 1;
  if (rope.attention_factor > 0) return rope.attention_factor;
  return yarn ? 0.1 * std::log(rope.factor) + 1.0 : 1;
}

double rope_temperature(const RopeConfig& rope, int64_t position) {
  if (rope.temperature_scale == 0) return 1;
  const double spans = std::floor(static_cast<double>(position) / rope.original_context);
  return 1 + rope.temperature_scale * std::log1p(spans);
}

namespace {

void add_table(const RopeConfig& rope, int64_t tokens, Backend& backend, RopeTables& to) {
  const int64_t positions = to.positions;
  const std::vector<double> frequencies = rope_frequencies(rope, tokens);
  const int64_t half = rope.rotated / 2;
  std::vector<float> values(usize(2 * positions * half));  // all cos, then all sin
  const size_t sines = usize(positions * half);
  for (int64_t p = 0; p < positions; ++p) {
    const double magnitude = rope_magnitude(rope) * rope_temperature(rope, p);
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * frequencies[usize(i)];
      values[usize(p * half + i)] = static_cast<float>(std::cos(angle) * magnitude);
      values[sines + usize(p * half + i)] = static_cast<float>(std::sin(angle) * magnitude);
    }
  }
  const Buffer& memory = to.memory.emplace_back(backend.allocate(values.size() * sizeof(float)));
  backend.upload(values.data(), values.size() * sizeof(float), memory.data());
  auto* data = static_cast<float*>(memory.data());
  to.tables.push_back({Tensor::matrix(data, DType::kF32, positions, half),
                       Tensor::matrix(data + sines, DType::kF32, positions, half), rope.interleaved});
}

}  // namespace

RopeTables make_rope_tables(std::span<const RopeConfig> ropes, int64_t positions, int64_t tokens,
                            Backend& backend) {
  RopeTables tables;
  tables.positions = positions;
  for (const RopeConfig& rope : ropes) add_table(rope, tokens, backend, tables);
  return tables;
}

std::shared_ptr<const RopeTables> RopeCache::tables(std::span<const RopeConfig> ropes, int64_t positions,
                                                    int64_t tokens, Backend& backend) {
  const bool long_ones = std::any_of(ropes.begin(), ropes.end(),
                                     [&](const RopeConfig& rope) { return turns_long(rope, tokens); });
  const std::scoped_lock lock(mutex_);
  std::shared_ptr<const RopeTables>& longest = longest_[long_ones ? 1 : 0];
  if (longest == nullptr || longest->positions < positions)
    longest = std::make_shared<const RopeTables>(make_rope_tables(ropes, positions, tokens, backend));
  return longest;
}

}  // namespace claa
