#include "prefill/runner.h"

#include <algorithm>
#include <numeric>

#include "core/clock.h"
#include "kv/keep_set.h"
#include "prefill/draft.h"
#include "prefill/layer_view.h"
#include "prefill/look_ahead.h"
#include "prefill/memory_plan.h"

namespace claa {
namespace {

// Time that the device spends on selection: the spans are added up once all work is done.
class SelectClock {
 public:
  explicit SelectClock(Backend& backend) : backend_(backend) {}
  class Scope {
   public:
    explicit Scope(SelectClock* clock) : clock_(clock) {
      if (clock_ != nullptr) begin_ = clock_->backend_.mark();
    }
    ~Scope() {
      if (clock_ != nullptr) clock_->spans_.emplace_back(std::move(begin_), clock_->backend_.mark());
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    SelectClock* clock_;
    Moment begin_;
  };
  double ms() const {
    double total = 0;
    for (const auto& [begin, end] : spans_) total += backend_.ms_between(begin, end);
    return total;
  }

 private:
  Backend& backend_;
  std::vector<std::pair<Moment, Moment>> spans_;
};

using Positions = std::shared_ptr<const std::vector<int32_t>>;

// One pass over (some of) the layers for (some of) the prompt's tokens.
class Pass {
 public:
  Pass(const LlamaModel& model, const RopeTables& rope, const PrefillOptions& options, const PromptInfo& info,
       std::vector<int32_t> ids, std::vector<int32_t> positions)
      : model_(model),
        backend_(model.backend()),
        config_(model.config()),
        rope_(rope),
        options_(options),
        info_(info),
        live_(static_cast<int64_t>(ids.size())),
        positions_(std::make_shared<const std::vector<int32_t>>(std::move(positions))),
        work_(config_, backend_, std::min(live_, backend_.chunk_rows())) {
    allocate();
    for (int64_t row = 0; row < live_; row += work_.rows()) {
      const int64_t rows = std::min(work_.rows(), live_ - row);
      model_.embed(std::span(ids).subspan(static_cast<size_t>(row), static_cast<size_t>(rows)),
                   hidden_.slice_rows(row, rows));
    }
  }

  // The next layers up to last_layer; without a cache K and V are forgotten.
  void run(int64_t last_layer, Run* run, KvCache* cache, PrefillResult* result,
           const std::function<void(LayerView&)>* observe) {
    for (; layer_ <= last_layer; ++layer_) {
      const int64_t layer = layer_;
      const KvView kv = project_keys(layer);
      backend_.pack_kv(kv, packed_);
      if (result != nullptr) result->layers.push_back({live_});
      const Tensor queries = project_all_queries(layer, run);
      const Decision decision = decide(layer, kv, queries, run, observe);
      if (cache != nullptr) {
        const SelectClock::Scope scope(kept_all(decision) ? nullptr : &clock_);
        cache->store(layer, kv, decision.kept, positions_, options_.reserve);
        if (decision.kept_since >= 0 && !kept_all(decision)) {
          for (int64_t earlier = decision.kept_since; earlier < layer; ++earlier)
            cache->cut(earlier, decision.kept, positions_, options_.reserve);
        }
      }
      if (observe != nullptr && layer == last_layer)
        return;  // its keys and window queries were all that was wanted
      finish_layer(layer, kv, queries, decision, result);
    }
  }

  // Drafts as the decision of a layer asked for, if one did, lets `run` listen, and goes back to where the
  // layer decides. True when there are layers to run again.
  bool look_ahead(Run& run, KvCache& cache, PrefillResult& result) {
    if (draft_.tokens == 0) return false;
    {
      const SelectClock::Scope scope(&clock_);
      listen_to_draft({model_, rope_, options_, info_, draft_.layer, draft_.tokens}, logits(), cache, run);
    }
    layer_ = draft_.layer;
    hidden_memory_ = std::move(draft_.memory);
    hidden_ = draft_.hidden;
    positions_ = std::move(draft_.positions);
    live_ = hidden_.rows();
    result.layers.resize(static_cast<size_t>(layer_));
    result.selected = std::move(draft_.selected);
    draft_ = {};
    return true;
  }

  int64_t live() const { return live_; }
  // Of the device, whose work must be done.
  double select_ms() const { return clock_.ms(); }
  const Positions& positions() const { return positions_; }
  // Logits of the only row left after the last layer.
  std::vector<float> logits() {
    Buffer memory = backend_.allocate(static_cast<size_t>(config_.vocabulary) * sizeof(float));
    model_.logits(hidden_.slice_rows(0, 1), Tensor::matrix(memory.data(), DType::kF32, 1, config_.vocabulary),
                  work_);
    std::vector<float> values(static_cast<size_t>(config_.vocabulary));
    backend_.download(memory.data(), values.size() * sizeof(float), values.data());
    return values;
  }

 private:
  static bool kept_all(const Decision& decision) { return decision.kept.all(); }

  void allocate() {
    const size_t hidden_bytes = static_cast<size_t>(live_ * config_.hidden) * sizeof(float);
    const size_t kv_bytes =
        static_cast<size_t>(config_.kv_heads * backend_.padded(live_) * config_.head_size) *
        dtype_bytes(backend_.dtype());
    hidden_memory_ = backend_.allocate(hidden_bytes);
    for (Buffer* memory : {&k_memory_, &v_memory_}) {
      *memory = backend_.allocate(kv_bytes);
      if (backend_.padded(live_) != live_) backend_.clear(memory->data(), kv_bytes);
    }
    hidden_ = Tensor::matrix(hidden_memory_.data(), DType::kF32, live_, config_.hidden);
    visible_.resize(static_cast<size_t>(live_));
  }

  // First half of the layer for all live tokens: keys and values, chunk by chunk.
  KvView project_keys(int64_t layer) {
    const int64_t slots = backend_.padded(live_);
    const auto cube = [this, slots](const Buffer& memory) {
      return Tensor::cube(memory.data(), backend_.dtype(), config_.kv_heads, slots, config_.head_size);
    };
    const KvView kv{cube(k_memory_), cube(v_memory_), live_};
    for (int64_t row = 0; row < live_; row += work_.rows()) {
      check_cancelled(options_.cancel);
      const int64_t rows = std::min(work_.rows(), live_ - row);
      model_.project_kv(layer, hidden_.slice_rows(row, rows), span_of(row, rows), rope_.table, kv, row,
                        work_);
    }
    return kv;
  }

  // Queries of all live tokens before anything is decided, where nothing can be dropped and one chunk holds
  // them: scores then find the window's among them. Else no data.
  Tensor project_all_queries(int64_t layer, const Run* run) {
    const int last = static_cast<int>(config_.layers) - 1;
    if (run == nullptr || layer == last || live_ > work_.rows() || run->may_drop(static_cast<int>(layer)))
      return {};
    const Tensor q = work_.q.slice_rows(0, live_);
    model_.project_q_normed(layer, 0, span_of(0, live_), rope_.table, q, work_);
    return q;
  }

  Decision decide(int64_t layer, const KvView& kv, const Tensor& queries, Run* run,
                  const std::function<void(LayerView&)>* observe) {
    RunnerLayerView view(model_, rope_.table, info_, layer, hidden_, *positions_, kv, packed_.get(), work_);
    if (queries.data != nullptr) view.set_queries(queries);
    if (observe != nullptr) (*observe)(view);
    if (run == nullptr) return {};
    const SelectClock::Scope scope(run->keeps_all() ? nullptr : &clock_);
    return run->decide(view);
  }

  // Second half: queries, attention, projection and feed-forward for the rows that go on. In the last layer
  // that is the last token alone. Rows that stop here are never computed.
  void finish_layer(int64_t layer, const KvView& kv, const Tensor& queries, const Decision& decision,
                    PrefillResult* result) {
    std::iota(visible_.begin(), visible_.begin() + live_, 1);
    const int64_t entered = live_;
    if (layer == config_.layers - 1) {
      keep_rows({static_cast<int32_t>(live_ - 1)}, Tensor{}, result, layer);
    } else if (!decision.live.all()) {
      const SelectClock::Scope scope(&clock_);
      if (decision.look_ahead > 0 && result != nullptr)
        draft_ = {layer, decision.look_ahead, {}, hidden_, positions_, result->selected};
      keep_rows(decision.live.to_host(), keep_set_tensor(decision.live), result, layer);
    }
    for (int64_t row = 0; row < live_; row += work_.rows()) {
      check_cancelled(options_.cancel);
      const int64_t rows = std::min(work_.rows(), live_ - row);
      const Tensor hidden = hidden_.slice_rows(row, rows);
      const Tensor q = work_.q.slice_rows(0, rows);
      if (entered != rows) {
        model_.project_q(layer, hidden, span_of(row, rows), rope_.table, q, work_);
      } else if (queries.data == nullptr) {  // project_keys() left the norms of just these rows
        model_.project_q_normed(layer, 0, span_of(row, rows), rope_.table, q, work_);
      }
      model_.finish(layer, q, kv, packed_.get(),
                    std::span(visible_).subspan(static_cast<size_t>(row), static_cast<size_t>(rows)), hidden,
                    work_);
      if (options_.progress) options_.progress(layer, config_.layers, row + rows, live_);
    }
  }

  // Compacts the residual stream to the given live rows; visible_ then counts the keys each surviving query
  // sees.
  void keep_rows(const std::vector<int32_t>& rows, Tensor indices, PrefillResult* result, int64_t layer) {
    require(!rows.empty() && rows.back() == live_ - 1, "a selection must keep the last token");
    const int64_t count = static_cast<int64_t>(rows.size());
    Buffer memory = backend_.allocate(static_cast<size_t>(count * config_.hidden) * sizeof(float));
    const Tensor compact = Tensor::matrix(memory.data(), DType::kF32, count, config_.hidden);
    Buffer uploaded;
    if (indices.data == nullptr) {
      uploaded = backend_.allocate(rows.size() * sizeof(int32_t));
      backend_.upload(rows.data(), rows.size() * sizeof(int32_t), uploaded.data());
      indices = Tensor::matrix(uploaded.data(), DType::kI32, 1, count);
    }
    backend_.gather_rows(hidden_, indices, compact);
    std::vector<int32_t> positions(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      positions[i] = (*positions_)[static_cast<size_t>(rows[i])];
      visible_[i] = rows[i] + 1;
    }
    positions_ = std::make_shared<const std::vector<int32_t>>(std::move(positions));
    if (result != nullptr && layer != config_.layers - 1) result->selected = *positions_;
    if (draft_.layer == layer) draft_.memory = std::move(hidden_memory_);
    hidden_memory_ = std::move(memory);
    hidden_ = compact;
    live_ = count;
  }

  std::span<const int32_t> span_of(int64_t row, int64_t rows) const {
    return std::span(*positions_).subspan(static_cast<size_t>(row), static_cast<size_t>(rows));
  }

  const LlamaModel& model_;
  Backend& backend_;
  const ModelConfig& config_;
  const RopeTables& rope_;
  const PrefillOptions& options_;
  PromptInfo info_;
  int64_t layer_ = 0;  // the next one
  int64_t live_;
  Positions positions_;  // of the live tokens
  Workspace work_;
  Buffer hidden_memory_, k_memory_, v_memory_;
  Tensor hidden_;  // [live, hidden] f32, the residual stream
  std::unique_ptr<PackedKv> packed_;
  std::vector<int32_t> visible_;  // keys that each query row sees
  SelectClock clock_{backend_};
  // What a look-ahead will want: where it goes back to, and what entered that layer.
  struct Draft {
    int64_t layer = -1, tokens = 0;
    Buffer memory;
    Tensor hidden;
    Positions positions;
    std::vector<int32_t> selected;
  } draft_;
};

class RunnerPasses : public Passes {
 public:
  RunnerPasses(const LlamaModel& model, const RopeTables& rope, const PrefillOptions& options,
               const PromptInfo& info)
      : model_(model), rope_(rope), options_(options), info_(info) {}
  void run_layers(int last_layer, const std::function<void(LayerView&)>& observe) override {
    require(last_layer >= 0 && last_layer < model_.config().layers, "run_layers: no such layer");
    const std::span<const int32_t> ids = info_.ids;
    std::vector<int32_t> positions(ids.size());
    std::iota(positions.begin(), positions.end(), 0);
    Pass pass(model_, rope_, options_, info_, {ids.begin(), ids.end()}, std::move(positions));
    pass.run(last_layer, nullptr, nullptr, nullptr, &observe);
  }
  std::vector<float> look_ahead(const LookAheadSpec& spec) override {
    const bool drafted = spec.drafter && options_.drafter != nullptr;
    return run_look_ahead(drafted ? *options_.drafter : model_, info_.ids, spec, options_);
  }

 private:
  const LlamaModel& model_;
  const RopeTables& rope_;
  const PrefillOptions& options_;
  const PromptInfo& info_;
};

// What a method of someone else's may get wrong.
void check_entry(const Entry& entry, int64_t tokens) {
  int32_t previous = -1;
  for (const int32_t position : entry.tokens) {
    require(position > previous && position < tokens,
            "an entry must be ascending, unique and inside the prompt");
    previous = position;
  }
}

}  // namespace

PromptInfo prompt_info(const ModelConfig& config, int64_t tokens) {
  PromptInfo info;
  info.tokens = tokens;
  info.layers = static_cast<int>(config.layers);
  info.heads = static_cast<int>(config.heads);
  info.kv_heads = static_cast<int>(config.kv_heads);
  info.head_size = static_cast<int>(config.head_size);
  return info;
}

PrefillResult run_prefill(const LlamaModel& model, const RopeTables& rope, std::span<const int32_t> ids,
                          const Method& method, const PrefillOptions& options) {
  const int64_t tokens = static_cast<int64_t>(ids.size());
  require(tokens > 0 && tokens <= rope.positions, "run_prefill: prompt length outside the rope table");
  PromptInfo info = prompt_info(model.config(), tokens);
  info.ids = ids;
  info.model_fingerprint = options.model_fingerprint;
  const std::unique_ptr<Run> run = method.start(info);
  RunnerPasses passes(model, rope, options, info);
  PrefillResult result;
  Entry entry;
  {
    ScopedTimer timer(result.entry_ms);
    entry = run->entry(passes);
  }

  std::vector<int32_t> entering(ids.begin(), ids.end()), positions(ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  if (!entry.tokens.empty()) {
    check_entry(entry, tokens);
    entering.clear();
    for (const int32_t position : entry.tokens) entering.push_back(ids[static_cast<size_t>(position)]);
    positions = entry.tokens;
    if (entry.renumber) std::iota(positions.begin(), positions.end(), 0), positions.resize(entering.size());
  }

  if (!entry.tokens.empty()) result.selected = entry.tokens;
  if (const size_t free = model.backend().free_bytes(); free > 0) {
    const int64_t live = static_cast<int64_t>(entering.size());
    const MemoryPlan plan =
        plan_memory(model.config(), device_rows(model.backend()), false, live, options.reserve);
    check_memory(plan, run->keeps_all(), live, free);
    model.backend().reserve(plan.from_start(run->keeps_all()));
  }
  result.cache = std::make_unique<KvCache>(model.config(), model.backend());
  Pass pass(model, rope, options, info, std::move(entering), std::move(positions));
  result.cache->next_position = entry.next_position >= 0 ? entry.next_position
                                : entry.renumber         ? static_cast<int64_t>(entry.tokens.size())
                                                         : tokens;
  const int64_t last_layer = model.config().layers - 1;
  pass.run(last_layer, run.get(), result.cache.get(), &result, nullptr);
  if (pass.look_ahead(*run, *result.cache, result))
    pass.run(last_layer, run.get(), result.cache.get(), &result, nullptr);
  result.kept_tokens = result.layers.back().live;
  result.logits = pass.logits();
  result.select_ms = pass.select_ms();
  result.report = run->report();
  result.cache->reusable = !result.report.active;
  return result;
}

}  // namespace claa
