#include "model/equalizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/usize.h"

namespace claa {
namespace {

// With 16 tokens errors are the same, with 8 a few percent larger.
constexpr int64_t kSample = 32;

// The least size of a channel, as a share of the quadratic mean of all channels: the sample cannot tell how
// large a channel becomes that it hardly uses.
constexpr double kSmallest = 0.2;

// Ids that are spread evenly over the vocabulary, however many there are: steps of the golden ratio.
std::vector<int32_t> sample_ids(int64_t vocabulary) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < kSample; ++i) {
    const double turn = 0.6180339887498949 * static_cast<double>(i);
    ids.push_back(static_cast<int32_t>((turn - std::floor(turn)) * static_cast<double>(vocabulary)));
  }
  return ids;
}

}  // namespace

Equalizer::Equalizer(const Model& model)
    : model_(model),
      rope_(make_rope_tables(model.config().ropes, kSample, kSample, model.backend())),
      work_(model.config(), model.backend(), kSample),
      ids_(sample_ids(model.config().vocabulary)),
      positions_(kSample),
      visible_(kSample),
      kv_(usize(model.config().layers)) {
  const ModelConfig& config = model.config();
  Backend& backend = model.backend();
  std::iota(positions_.begin(), positions_.end(), 0);
  std::iota(visible_.begin(), visible_.end(), 1);
  hidden_memory_ = backend.allocate(usize(kSample * config.hidden) * sizeof(float));
  hidden_ = Tensor::matrix(hidden_memory_.data(), DType::kF32, kSample, config.hidden);
  model.embed(ids_, hidden_);
}

KvView Equalizer::allocate_kv(int64_t layer) {
  const ModelConfig& config = model_.config();
  Backend& backend = model_.backend();
  const int64_t slots = backend.traits().padded(kSample), heads = config.kv_heads_of(layer);
  const auto cube = [&](Buffer& memory) {
    const size_t bytes = usize(heads * slots * config.head_size_of(layer));
    memory = backend.allocate(bytes * dtype_bytes(backend.dtype()));
    backend.clear(memory.data(), memory.bytes());
    return Tensor::cube(memory.data(), backend.dtype(), heads, slots, config.head_size_of(layer));
  };
  LayerKv& kv = kv_[usize(layer)];
  return {cube(kv.k), cube(kv.v), kSample};
}

std::vector<float> Equalizer::factors(std::span<const float> norm) const {
  const size_t columns = norm.size();
  std::vector<float> hidden(usize(kSample) * columns);
  model_.backend().download(hidden_.data, hidden.size() * sizeof(float), hidden.data());
  std::vector<double> squares(columns);  // of the sample's channels, normed
  for (auto row = hidden.begin(); row != hidden.end(); row += static_cast<int64_t>(columns)) {
    const double sum = std::inner_product(row, row + static_cast<int64_t>(columns), row, 0.0);
    const double scale = 1 / (sum / static_cast<double>(columns) + model_.config().norm_eps);
    for (size_t i = 0; i < columns; ++i) {
      const double value = static_cast<double>(row[static_cast<int64_t>(i)]) * norm[i];
      squares[i] += value * value * scale;
    }
  }
  const double mean = std::accumulate(squares.begin(), squares.end(), 0.0) / static_cast<double>(columns);
  std::vector<float> result(columns, 1.0f);
  if (!(mean > 0) || !std::isfinite(mean)) return result;
  for (size_t i = 0; i < columns; ++i) {
    result[i] = static_cast<float>(std::sqrt(std::max(std::sqrt(squares[i] / mean), kSmallest)));
  }
  return result;
}

void Equalizer::attend(int64_t layer) {
  const ModelConfig& config = model_.config();
  if (config.spec(layer).recurrent) {
    state_ = make_recurrent_state(config.delta, model_.backend());
    model_.recur(layer, state_.view, hidden_, work_);
    return;
  }
  const Tensor normed = model_.attention_norm(layer, hidden_, work_);
  const bool own = config.has_own_kv(layer);
  LayerKv& kv = kv_[usize(own ? layer : config.spec(layer).kv_source)];
  if (own) {
    kv.view = allocate_kv(layer);
    model_.project_kv(layer, normed, positions_, rope_, kv.view, 0, work_);
  }
  const Tensor q = Tensor::matrix(work_.q.data, work_.q.dtype, kSample, config.q_size(layer));
  model_.project_q(layer, normed, positions_, rope_, q, work_);
  model_.attend(layer, q, kv.view, nullptr, visible_, hidden_, work_);
}

void Equalizer::feed_forward(int64_t layer) {
  model_.feed_forward(layer, ids_, hidden_, work_);
}

}  // namespace claa
