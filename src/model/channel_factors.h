// The factors of channels (equalizer.h), learned while a model is loaded, or kept by an earlier load of it:
// learning takes a short prompt through all layers, which is most of the time of loading a large model.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/cache_file.h"
#include "model/equalizer.h"

namespace claa {

class ChannelFactors {
 public:
  // `model` gets its layers later and must outlive this, and so must `kept`, which may be null. What is kept
  // for another number of channels counts as nothing.
  ChannelFactors(const Model& model, const CacheFile* kept);

  // The factor of every channel of the norm that comes next, whose weight is `norm` [hidden].
  std::vector<float> next(std::span<const float> norm);
  // The first and the second half of a layer have been loaded.
  void attend(int64_t layer);
  void feed_forward(int64_t layer);
  // All layers have been loaded: keeps what was learned for the next time.
  void keep() const;

 private:
  const CacheFile* kept_;
  std::vector<float> factors_;  // of all norms, one after another; grows while they are learned
  size_t given_ = 0;
  std::optional<Equalizer> equalizer_;  // none where the factors were kept
};

}  // namespace claa
