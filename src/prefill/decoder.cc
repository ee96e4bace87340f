#include "prefill/decoder.h"

namespace claa {

Decoder::Decoder(const LlamaModel& model, const RopeTables& rope, KvCache& cache)
    : model_(model),
      rope_(rope),
      cache_(cache),
      work_(model.config(), model.backend(), 1),
      hidden_memory_(model.backend().allocate(static_cast<size_t>(model.config().hidden) * sizeof(float))),
      logits_memory_(
          model.backend().allocate(static_cast<size_t>(model.config().vocabulary) * sizeof(float))),
      logits_(static_cast<size_t>(model.config().vocabulary)) {}

const std::vector<float>& Decoder::step(int32_t token, const QueryObserver& observe,
                                        const QueryPlace& place) {
  require(token >= 0 && token < model_.config().vocabulary, "decode: token outside the vocabulary");
  require(cache_.next_position < rope_.positions, "decode: position outside the rope table");
  std::vector<KvView> caches;
  for (int64_t layer = 0; layer < cache_.layers(); ++layer) caches.push_back(cache_.view(layer));
  if (observe || place) {
    feed(token, caches, observe, place);
  } else {
    model_.backend().repeat([&] { feed(token, caches, {}, {}); });
  }
  for (int64_t layer = 0; layer < cache_.layers(); ++layer) cache_.appended(layer);
  ++cache_.next_position;
  model_.backend().download(logits_memory_.data(), logits_.size() * sizeof(float), logits_.data());
  return logits_;
}

void Decoder::feed(int32_t token, std::span<const KvView> caches, const QueryObserver& observe,
                   const QueryPlace& place) {
  const ModelConfig& config = model_.config();
  const Tensor hidden = Tensor::matrix(hidden_memory_.data(), DType::kF32, 1, config.hidden);
  const int32_t position = static_cast<int32_t>(cache_.next_position);
  model_.embed({&token, 1}, hidden);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    KvView kv = caches[static_cast<size_t>(layer)];
    model_.project_kv(layer, hidden, {&position, 1}, rope_.table, kv, kv.length, work_);
    const int32_t visible = static_cast<int32_t>(++kv.length);
    const Tensor q = place ? place(layer, work_.q) : work_.q;
    model_.project_q_normed(layer, 0, {&position, 1}, rope_.table, q, work_);
    if (observe) observe(layer, q, kv);
    model_.finish(layer, q, kv, nullptr, {&visible, 1}, hidden, work_);
  }
  model_.logits(hidden, Tensor::matrix(logits_memory_.data(), DType::kF32, 1, config.vocabulary), work_);
}

}  // namespace claa
