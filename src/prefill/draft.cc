#include "prefill/draft.h"

#include "core/usize.h"
#include "prefill/decoder.h"

namespace claa {
namespace {

// Queries of drafted tokens on the host: [layer][token][q_size(layer)], in the type of the device.
class DraftQueries {
 public:
  DraftQueries(const Model& model, int64_t layers)
      : backend_(model.backend()), config_(model.config()), rows_(usize(layers)) {}
  int64_t layers() const { return static_cast<int64_t>(rows_.size()); }

  void add(int64_t layer, const Tensor& q) {
    std::vector<std::byte>& rows = rows_[usize(layer)];
    const size_t bytes = usize(q.columns()) * dtype_bytes(q.dtype);
    rows.resize(rows.size() + bytes);
    backend_.download(q.data, bytes, rows.data() + rows.size() - bytes);
  }
  // [tokens, q_size(layer)] on the device, in memory that the next call gives back.
  Tensor of(int64_t layer, int64_t tokens) {
    const std::vector<std::byte>& rows = rows_[usize(layer)];
    memory_ = backend_.allocate(rows.size());
    backend_.upload(rows.data(), rows.size(), memory_.data());
    return Tensor::matrix(memory_.data(), backend_.dtype(), tokens, config_.q_size(layer));
  }

 private:
  Backend& backend_;
  const ModelConfig& config_;
  std::vector<std::vector<std::byte>> rows_;
  Buffer memory_;
};

// Returns how many tokens were fed.
int64_t draft(const PassContext& context, std::vector<float> logits, int64_t most, KvCache& cache,
              DraftQueries& queries) {
  Decoder decoder(context.model, cache);
  int64_t fed = 0;
  for (; fed < most; ++fed) {
    check_cancelled(context.options.cancel);
    const int32_t best = greedy_token(logits);
    if (context.options.ends_answer && context.options.ends_answer(best)) break;
    logits = decoder.step(best, [&](int64_t layer, const Tensor& q, const KvView& /*kv*/) {
      if (layer < queries.layers()) queries.add(layer, q);
    });
  }
  return fed;
}

}  // namespace

int64_t listen_to_draft(const PassContext& context, int64_t layer, int64_t most, std::vector<float> logits,
                        KvCache& cache, const ListenToDraft& listen) {
  DraftQueries queries(context.model, layer + 1);
  const auto next = static_cast<int32_t>(cache.next_position);
  const KvCache::Snapshot before = cache.snapshot();
  const int64_t fed = draft(context, std::move(logits), most, cache, queries);
  const auto rope = context.model.rope(next + fed, context.info.tokens);
  Workspace work(context.model.config(), context.model.backend(), 1);
  for (int64_t past = 0; past <= layer && fed > 0; ++past) {
    if (!sees_whole_prompt(context.info, static_cast<int>(past))) continue;
    std::vector<int32_t> positions = cache.prompt_positions(past).front();
    for (int32_t i = 0; i < fed; ++i) positions.push_back(next + i);
    const KvView kv = cache.view(past);
    require(cache.kept_all(past) && kv.length == cache.length(layer),
            "a layer before a look-ahead must store all of the tokens that are still live");
    RunnerLayerView view({context.model, *rope, context.info, past, positions, kv, nullptr, work, {}, {}});
    view.set_queries(queries.of(past, fed));
    listen(view, fed);
  }
  cache.restore(before);
  return fed;
}

}  // namespace claa
