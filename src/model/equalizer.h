// Channels of one size for linear layers that round their inputs. Rounding to integers of one scale per group
// of channels costs most where a few channels are far larger than the rest, as those of a norm's output are.
// Dividing the norm's weight by a factor a channel, and multiplying the columns of the matrices that read it
// by the same, changes no product but evens out the channels (SmoothQuant, arXiv 2211.10438).
#pragma once

#include <span>
#include <vector>

#include "model/model.h"
#include "model/recurrent_state.h"
#include "model/rope.h"

namespace claa {

// Learns the sizes of channels from a short prompt, tokens of all the vocabulary, that goes through the
// layers while they are loaded: sizes are a matter of the model, much more than of the text.
class Equalizer {
 public:
  // The sample is embedded; `model` gets its layers later and must outlive this.
  explicit Equalizer(const Model& model);

  // The factor of every channel of the norm that comes next, whose weight is `norm` [hidden]: the root of its
  // size in the sample, with the quadratic mean of all sizes as 1. All are 1 where sizes are not finite.
  std::vector<float> factors(std::span<const float> norm) const;
  // The sample goes through the first and the second half of a layer.
  void attend(int64_t layer);
  void feed_forward(int64_t layer);

 private:
  const Model& model_;
  RopeTables rope_;
  Workspace work_;
  struct LayerKv {
    Buffer k, v;
    KvView view;  // [KV heads, sample, head size]
  };
  KvView allocate_kv(int64_t layer);

  std::vector<int32_t> ids_, positions_, visible_;
  Buffer hidden_memory_;
  Tensor hidden_;            // [sample, hidden]
  std::vector<LayerKv> kv_;  // by layer
  RecurrentState state_;     // of a recurrent layer
};

}  // namespace claa
