#include "prefill/pass.h"

#include <algorithm>
#include <numeric>

#include "core/usize.h"
#include "kv/keep_set.h"
#include "prefill/decoder.h"
#include "prefill/memory_plan.h"

namespace claa {

namespace {

int64_t last_read_layer(const PassContext& context) {
  const ModelConfig& config = context.model.config();
  return context.options.every_row ? config.layers - 1 : config.last_kv_layer();
}

// Those of the prompt and of what may follow it, so that decoding needs no longer table.
int64_t positions_wanted(const PassContext& context) {
  const int64_t after = std::max(context.options.reserve, kMostLookAhead);
  return std::min(context.model.config().context, context.info.tokens + after);
}

std::vector<int32_t> rows_of(const KeepSet& kept, int64_t live) {
  if (!kept.all()) return kept.to_host();
  std::vector<int32_t> rows(usize(live));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

}  // namespace

Pass::Pass(const PassContext& context, std::span<const int32_t> ids, std::vector<int32_t> positions,
           int64_t last_layer)
    : context_(context),
      last_layer_(last_layer),
      last_read_layer_(last_read_layer(context)),
      live_(static_cast<int64_t>(ids.size())),
      positions_(std::make_shared<const std::vector<int32_t>>(std::move(positions))),
      ids_(ids.begin(), ids.end()),
      rope_(context.model.rope(positions_wanted(context), context.info.tokens)),
      work_(config(), backend(), std::min(live_, backend().traits().chunk_rows)) {
  hidden_memory_ = backend().allocate(usize(live_ * config().hidden) * sizeof(float));
  hidden_ = Tensor::matrix(hidden_memory_.data(), DType::kF32, live_, config().hidden);
  held_.resize(usize(config().layers));
  visible_.resize(usize(live_));
  for (int64_t row = 0; row < live_; row += work_.rows()) {
    const int64_t rows = std::min(work_.rows(), live_ - row);
    context_.model.embed(ids.subspan(usize(row), usize(rows)), hidden_.slice_rows(row, rows));
  }
}

Pass::Pass(const Pass& outer, const KeepSet& kept)
    : context_(outer.context_),
      last_layer_(config().layers - 1),
      last_read_layer_(outer.last_read_layer_),
      layer_(outer.layer_),
      half_(Half::kSecond),
      live_(kept.all() ? outer.live_ : kept.count()),
      entered_(outer.live_),
      positions_(outer.positions_),
      ids_(outer.ids_),
      rope_(outer.rope_),
      work_(config(), backend(), std::min(live_, backend().traits().chunk_rows)),
      kv_(outer.kv_),
      held_(outer.held_),
      packed_(outer.packed_),
      visible_(outer.visible_.size()) {
  require(!outer.only_last_row_goes_on(), "draft: no layer is left to draft with");
  const Positions entered = outer.positions_;
  take_rows(outer.hidden_, rows_of(kept, outer.live_), keep_set_tensor(kept));
  find_visible(*entered);
}

bool Pass::step() {
  if (layer_ > last_layer_) return false;
  check_cancelled(context_.options.cancel);
  if (half_ == Half::kFirst) {
    config().spec(layer_).recurrent ? recur_chunk() : project_chunk();
    if (row_ < live_) return true;
    row_ = 0;
    half_ = Half::kSecond;
    if (!between_halves()) layer_ = last_layer_ + 1;
    return true;
  }
  finish_chunk();
  if (row_ < live_) return true;
  row_ = 0;
  half_ = Half::kFirst;
  ++layer_;
  return true;
}

std::vector<float> Pass::logits() {
  Buffer memory = backend().allocate(usize(config().vocabulary) * sizeof(float));
  context_.model.logits(hidden_.slice_rows(0, 1),
                        Tensor::matrix(memory.data(), DType::kF32, 1, config().vocabulary), work_);
  std::vector<float> values(usize(config().vocabulary));
  backend().download(memory.data(), values.size() * sizeof(float), values.data());
  check_logits(values);
  return values;
}

// Memory for `values` values of K, and as many of V, where there is none, as this layer sees it.
KvView Pass::allocate_kv(Buffer& k, Buffer& v, int64_t values) const {
  const int64_t slots = backend().traits().padded(live_);
  const auto cube = [&](Buffer& memory) {
    if (memory.data() == nullptr) {
      const size_t bytes = usize(values * slots) * dtype_bytes(backend().dtype());
      memory = backend().allocate(bytes);
      if (slots != live_) backend().clear(memory.data(), bytes);
    }
    return Tensor::cube(memory.data(), backend().dtype(), config().kv_heads_of(layer_), slots,
                        config().head_size_of(layer_));
  };
  return {cube(k), cube(v), live_};
}

// Where the layer's K and V go: memory of all layers, none of which has more rows than the first, or memory
// that stays for the layers that read it later.
void Pass::begin_kv() {
  entered_ = live_;
  if (!config().is_kv_source(layer_)) {
    int64_t widest = 0;
    for (int64_t layer = 0; layer < config().layers; ++layer)
      widest = std::max(widest, config().kv_size(layer));
    kv_ = allocate_kv(k_memory_, v_memory_, widest);
    return;
  }
  auto held = std::make_shared<HeldKv>();
  kv_ = held->kv = allocate_kv(held->k, held->v, config().kv_size(layer_));
  held->positions = positions_;
  held_[usize(layer_)] = std::move(held);
}

// First half of the layer for some live rows: keys and values.
void Pass::project_chunk() {
  if (!config().has_own_kv(layer_)) {
    kv_ = held_[usize(config().spec(layer_).kv_source)]->kv;
    normed_ = {};
    entered_ = row_ = live_;
    return;
  }
  if (row_ == 0) begin_kv();
  const int64_t rows = std::min(work_.rows(), live_ - row_);
  const Tensor normed = context_.model.attention_norm(layer_, hidden_.slice_rows(row_, rows), work_);
  context_.model.project_kv(layer_, normed, positions_of(row_, rows), *rope_, kv_, row_, work_);
  normed_ = rows == live_ ? normed : Tensor{};
  row_ += rows;
}

// First half of a recurrent layer for some live rows (spec.md 1.9). It comes before any row may go: the state
// is that after all rows that entered.
void Pass::recur_chunk() {
  if (row_ == 0) {
    state_ = make_recurrent_state(config().delta, backend());
    kv_ = {{}, {}, live_};
    entered_ = live_;
  }
  const int64_t rows = std::min(work_.rows(), live_ - row_);
  context_.model.recur(layer_, state_.view, hidden_.slice_rows(row_, rows), work_);
  row_ += rows;
}

void Pass::store_all(KvCache& cache) {
  if (config().spec(layer_).recurrent) {
    cache.store(layer_, std::move(state_));
  } else if (config().has_own_kv(layer_)) {
    cache.store(layer_, kv_, KeepSet{}, positions_, context_.options.reserve);
  }
}

// Where nothing can be dropped and one chunk holds all rows, scores find the window's queries among all of
// them, and none are projected twice.
void Pass::project_all_queries() {
  if (normed_.data == nullptr || !keeps_all_rows(layer_)) return;
  queries_ = Tensor::matrix(work_.q.data, work_.q.dtype, live_, config().q_size(layer_));
  context_.model.project_q(layer_, normed_, positions_of(0, live_), *rope_, queries_, work_);
}

bool Pass::between_halves() {
  const int64_t source = config().spec(layer_).kv_source;
  queries_ = {};
  if (config().spec(layer_).recurrent) {
    normed_ = {};
  } else {
    packed_ = nullptr;  // the last row alone reads K and V of another layer as they are
    if (source < 0 || live_ > 1) {
      backend().pack_kv(kv_, context_.model.softmax_rule(layer_), packed_memory_);
      packed_ = packed_memory_.get();
    }
    project_all_queries();
  }
  RunnerLayerView view(
      {context_.model, *rope_, context_.info, layer_, *positions_, kv_, packed_, work_, hidden_, normed_});
  if (queries_.data != nullptr) view.set_queries(queries_);
  const Positions stored = source < 0 ? positions_ : held_[usize(source)]->positions;
  if (!decide(view)) return false;
  if (only_last_row_goes_on() && live_ > 1) keep_rows({static_cast<int32_t>(live_ - 1)}, Tensor{});
  find_visible(*stored);
  return true;
}

// The slots that each live row sees, of those with the positions `stored`: up to its own, and in a layer with
// a sliding window from the window's first on. Both are by position, so that they hold where tokens have been
// dropped.
void Pass::find_visible(const std::vector<int32_t>& stored) {
  const int64_t window = config().spec(layer_).window;
  first_.clear();
  auto first = stored.begin(), end = stored.begin();
  for (size_t row = 0; row < positions_->size(); ++row) {
    const int32_t position = (*positions_)[row];
    end = std::upper_bound(end, stored.end(), position);
    visible_[row] = static_cast<int32_t>(end - stored.begin());
    if (window == 0) continue;
    first = std::lower_bound(first, stored.end(), position - window + 1);
    first_.push_back(static_cast<int32_t>(first - stored.begin()));
  }
}

VisibleSlots Pass::visible(int64_t row, int64_t rows) const {
  const auto part = [&](const std::vector<int32_t>& slots) {
    return std::span(slots).subspan(usize(row), usize(rows));
  };
  return {part(visible_), first_.empty() ? std::span<const int32_t>() : part(first_)};
}

// Queries, attention and its projection for the live rows from `row` on, which `hidden` holds.
void Pass::attend(int64_t row, const Tensor& hidden) {
  const int64_t rows = hidden.rows();
  const Tensor q = Tensor::matrix(work_.q.data, work_.q.dtype, rows, config().q_size(layer_));
  const bool known = queries_.data != nullptr && entered_ == rows;
  if (!known) {
    const bool normed = normed_.data != nullptr && entered_ == rows;
    context_.model.project_q(layer_, normed ? normed_ : context_.model.attention_norm(layer_, hidden, work_),
                             positions_of(row, rows), *rope_, q, work_);
  }
  context_.model.attend(layer_, q, kv_, packed_, visible(row, rows), hidden, work_);
}

// Second half of the layer for some live rows: attention and feed-forward. In the last layer only the last
// row is left. Rows that stop here are never computed.
void Pass::finish_chunk() {
  const int64_t rows = std::min(work_.rows(), live_ - row_);
  const Tensor hidden = hidden_.slice_rows(row_, rows);
  if (!config().spec(layer_).recurrent) attend(row_, hidden);
  const auto ids = std::span(ids_).subspan(usize(row_), usize(rows));
  context_.model.feed_forward(layer_, ids, hidden, work_);
  row_ += rows;
  if (context_.options.progress) context_.options.progress(layer_, config().layers, row_, live_);
}

void Pass::keep_rows(const std::vector<int32_t>& rows, Tensor indices) {
  require(!rows.empty() && rows.back() == live_ - 1, "a selection must keep the last token");
  take_rows(hidden_, rows, indices);
}

// Compacts the residual stream to the given rows of `from`.
void Pass::take_rows(const Tensor& from, const std::vector<int32_t>& rows, Tensor indices) {
  const int64_t count = static_cast<int64_t>(rows.size());
  Buffer memory = backend().allocate(usize(count * config().hidden) * sizeof(float));
  const Tensor compact = Tensor::matrix(memory.data(), DType::kF32, count, config().hidden);
  Buffer uploaded;
  if (indices.data == nullptr) {
    uploaded = backend().allocate(rows.size() * sizeof(int32_t));
    backend().upload(rows.data(), rows.size() * sizeof(int32_t), uploaded.data());
    indices = Tensor::matrix(uploaded.data(), DType::kI32, 1, count);
  }
  backend().gather_rows(from, indices, compact);
  std::vector<int32_t> positions(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    positions[i] = (*positions_)[usize(rows[i])];
    ids_[i] = ids_[usize(rows[i])];
  }
  ids_.resize(rows.size());
  positions_ = std::make_shared<const std::vector<int32_t>>(std::move(positions));
  hidden_memory_ = std::move(memory);
  hidden_ = compact;
  live_ = count;
}

std::span<const int32_t> Pass::positions_of(int64_t row, int64_t rows) const {
  return std::span(*positions_).subspan(usize(row), usize(rows));
}

namespace {

std::vector<int32_t> all_positions(const PromptInfo& info) {
  std::vector<int32_t> positions(info.ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

}  // namespace

PreviewPass::PreviewPass(const PassContext& context, int last_layer, std::function<void(LayerView&)> observe)
    : Pass(context, context.info.ids, all_positions(context.info), last_layer), observe_(std::move(observe)) {
  require(last_layer >= 0 && last_layer < context.model.config().layers, "a preview of a layer there is not");
}

bool PreviewPass::decide(RunnerLayerView& view) {
  observe_(view);
  // The last layer's keys and window queries were all that was wanted of it.
  return view.layer() < last_layer();
}

StoringPass::StoringPass(const PassContext& context, KvCache& cache, std::function<void(LayerView&)> observe)
    : Pass(context, context.info.ids, all_positions(context.info), context.model.config().layers - 1),
      cache_(cache),
      observe_(std::move(observe)) {}

bool StoringPass::decide(RunnerLayerView& view) {
  if (observe_) observe_(view);
  store_all(cache_);
  return true;
}

void reserve_memory(const PassContext& context, int64_t live,
                    const std::function<int64_t(int64_t)>& cache_rows) {
  Backend& backend = context.model.backend();
  const size_t free = backend.free_bytes();
  if (free == 0) return;
  MemoryPlan plan = plan_memory(context.model.config(), backend.traits(), live, 0);
  plan.cache = cache_bytes(context.model.config(), backend.dtype(), cache_rows);
  check_memory(plan, live, free);
  backend.reserve(plan.prompt());
}

}  // namespace claa
