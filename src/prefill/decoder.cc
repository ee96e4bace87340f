#include "prefill/decoder.h"

#include <algorithm>

#include "core/finite.h"

#include "core/usize.h"

namespace claa {

int32_t greedy_token(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

void check_logits(std::span<const float> logits) {
  const size_t token = first_not_finite(logits);
  if (token == logits.size()) return;
  fail(ErrorCode::kUnsupported,
       "the model's last layer gives {} for token {}: values went beyond what the type holds; try --dtype "
       "f32, "
       "or if that is in use convert the model anew",
       logits[token], token);
}

Decoder::Decoder(const Model& model, KvCache& cache)
    : model_(model),
      cache_(cache),
      prompt_(cache.next_position),
      rope_(model.rope(std::min(prompt_ + 1, model.config().context), prompt_)),
      work_(model.config(), model.backend(), 1),
      hidden_memory_(model.backend().allocate(usize(model.config().hidden) * sizeof(float))),
      logits_memory_(model.backend().allocate(usize(model.config().vocabulary) * sizeof(float))),
      logits_(usize(model.config().vocabulary)) {}

const std::vector<float>& Decoder::step(int32_t token, const QueryObserver& observe) {
  require(token >= 0 && token < model_.config().vocabulary, "decode: token outside the vocabulary");
  require(cache_.next_position < model_.config().context, "decode: position outside the context");
  constexpr int64_t kMorePositions = 1024;  // so that long answers need few longer tables
  if (cache_.next_position >= rope_->positions)
    rope_ = model_.rope(std::min(cache_.next_position + kMorePositions, model_.config().context), prompt_);
  std::vector<KvView> caches;
  for (int64_t layer = 0; layer < cache_.layers(); ++layer) caches.push_back(cache_.view(layer));
  if (observe) {
    model_.backend().decode([&] { feed(token, caches, observe); });
  } else {
    model_.backend().repeat([&] { feed(token, caches, {}); });
  }
  for (int64_t layer = 0; layer < cache_.layers(); ++layer) cache_.appended(layer);
  ++cache_.next_position;
  model_.backend().download(logits_memory_.data(), logits_.size() * sizeof(float), logits_.data());
  check_logits(logits_);
  return logits_;
}

void Decoder::feed(int32_t token, std::span<const KvView> caches, const QueryObserver& observe) {
  const ModelConfig& config = model_.config();
  const Tensor hidden = Tensor::matrix(hidden_memory_.data(), DType::kF32, 1, config.hidden);
  const int32_t position = static_cast<int32_t>(cache_.next_position);
  model_.embed({&token, 1}, hidden);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    if (config.spec(layer).recurrent) {
      model_.recur(layer, cache_.state(layer), hidden, work_);
      model_.feed_forward(layer, {&token, 1}, hidden, work_);
      continue;
    }
    KvView kv = caches[usize(layer)];
    const Tensor normed = model_.attention_norm(layer, hidden, work_);
    if (config.has_own_kv(layer))
      model_.project_kv(layer, normed, {&position, 1}, *rope_, kv, kv.length, work_);
    const int32_t visible = static_cast<int32_t>(++kv.length);
    const Tensor q = Tensor::matrix(work_.q.data, work_.q.dtype, 1, config.q_size(layer));
    model_.project_q(layer, normed, {&position, 1}, *rope_, q, work_);
    if (observe) observe(layer, q, kv);
    int32_t first = 0;
    VisibleSlots seen{{&visible, 1}};
    if (const int64_t window = config.spec(layer).window; window > 0) {
      first = static_cast<int32_t>(cache_.first_in_window(layer, window));
      seen.first = {&first, 1};
    }
    model_.finish(layer, {&token, 1}, q, kv, nullptr, seen, hidden, work_);
  }
  model_.logits(hidden, Tensor::matrix(logits_memory_.data(), DType::kF32, 1, config.vocabulary), work_);
}

}  // namespace claa
