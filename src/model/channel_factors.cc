#include "model/channel_factors.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/usize.h"

namespace claa {
namespace {

// Between which the equalizer's factors lie: not below the root of its least share, nor above the fourth root
// of the number of channels. A file with others was not written by it.
constexpr float kLeast = 0.4f, kMost = 64;

size_t channels_of(const ModelConfig& config) {
  int64_t count = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const WeightSpec& spec : config.family->layer_weights(config, layer))
      count += is_read_by_matrices(spec.role) ? spec.inputs : 0;
  }
  return usize(count);
}

std::vector<float> read(const CacheFile* file, size_t channels) {
  const std::string bytes = file == nullptr ? "" : file->read();
  std::vector<float> factors(channels);
  if (channels == 0 || bytes.size() != channels * sizeof(float)) return {};
  std::memcpy(factors.data(), bytes.data(), bytes.size());
  const bool sound =
      std::all_of(factors.begin(), factors.end(), [](float f) { return f >= kLeast && f <= kMost; });
  return sound ? factors : std::vector<float>{};
}

}  // namespace

ChannelFactors::ChannelFactors(const Model& model, const CacheFile* kept)
    : kept_(kept), factors_(read(kept, channels_of(model.config()))) {
  if (factors_.empty()) equalizer_.emplace(model);
}

std::vector<float> ChannelFactors::next(std::span<const float> norm) {
  if (equalizer_) {
    const std::vector<float> learned = equalizer_->factors(norm);
    factors_.insert(factors_.end(), learned.begin(), learned.end());
  }
  require(given_ + norm.size() <= factors_.size(), "factors of fewer channels than the norms have");
  const auto first = factors_.begin() + static_cast<int64_t>(given_);
  given_ += norm.size();
  return {first, first + static_cast<int64_t>(norm.size())};
}

void ChannelFactors::attend(int64_t layer) {
  if (equalizer_) equalizer_->attend(layer);
}

void ChannelFactors::feed_forward(int64_t layer) {
  if (equalizer_) equalizer_->feed_forward(layer);
}

void ChannelFactors::keep() const {
  if (!equalizer_ || kept_ == nullptr) return;
  kept_->write({reinterpret_cast<const char*>(factors_.data()), factors_.size() * sizeof(float)});
}

}  // namespace claa
