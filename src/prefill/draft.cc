#include "prefill/draft.h"

#include <algorithm>

#include "prefill/decoder.h"
#include "prefill/layer_view.h"

namespace claa {
namespace {

// Queries of drafted tokens: of each layer, those of all tokens together.
class DraftQueries {
 public:
  DraftQueries(const LlamaModel& model, int64_t layers, int64_t tokens) : layers_(layers), tokens_(tokens) {
    const int64_t columns = model.config().heads * model.config().head_size;
    Backend& backend = model.backend();
    memory_ = backend.allocate(static_cast<size_t>(layers * tokens * columns) * dtype_bytes(backend.dtype()));
    all_ = Tensor::matrix(memory_.data(), backend.dtype(), layers * tokens, columns);
  }
  int64_t layers() const { return layers_; }
  // [count, heads * head_size] from token `first` on.
  Tensor of(int64_t layer, int64_t first, int64_t count) const {
    return all_.slice_rows(layer * tokens_ + first, count);
  }

 private:
  int64_t layers_, tokens_;
  Buffer memory_;
  Tensor all_;
};

// Returns how many tokens were fed.
int64_t draft(const DraftPass& pass, std::vector<float> logits, int64_t most, KvCache& cache,
              const DraftQueries& queries) {
  Decoder decoder(pass.model, pass.rope, cache);
  int64_t fed = 0;
  for (; fed < most; ++fed) {
    check_cancelled(pass.options.cancel);
    const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    if (pass.options.ends_answer && pass.options.ends_answer(best)) break;
    logits = decoder.step(best, {}, [&](int64_t layer, const Tensor& own) {
      return layer < queries.layers() ? queries.of(layer, fed, 1) : own;
    });
  }
  return fed;
}

}  // namespace

void listen_to_draft(const DraftPass& pass, std::vector<float> logits, KvCache& cache, Run& run) {
  const int64_t most = std::min(pass.tokens, pass.rope.positions - cache.next_position);
  if (most <= 0) return;
  const DraftQueries queries(pass.model, pass.layer + 1, most);
  const auto next = static_cast<int32_t>(cache.next_position);
  const int64_t fed = draft(pass, std::move(logits), most, cache, queries);
  const Tensor no_hidden;
  Workspace work(pass.model.config(), pass.model.backend(), 1);
  for (int64_t layer = 0; layer < queries.layers() && fed > 0; ++layer) {
    std::vector<int32_t> positions = cache.prompt_positions(layer).front();
    for (int32_t i = 0; i < fed; ++i) positions.push_back(next + i);
    const KvView kv = cache.view(layer);
    require(kv.length == static_cast<int64_t>(positions.size()),
            "a layer before a look-ahead must store all");
    RunnerLayerView view(pass.model, pass.rope.table, pass.info, layer, no_hidden, positions, kv, nullptr,
                         work);
    view.set_queries(queries.of(layer, 0, fed));
    run.listen(view, fed);
  }
  cache.forget(fed);
}

}  // namespace claa
