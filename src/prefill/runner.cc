#include "prefill/runner.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "core/clock.h"
#include "core/usize.h"
#include "kv/keep_set.h"
#include "prefill/draft.h"
#include "prefill/select_clock.h"

namespace claa {

// The pass in which the method decides who lives on and what is kept.
class Prefill::MainPass : public Pass {
 public:
  MainPass(const PassContext& context, std::span<const int32_t> ids, std::vector<int32_t> positions, Run& run,
           PrefillResult& result)
      : Pass(context, ids, std::move(positions), context.model.config().layers - 1),
        run_(run),
        result_(result),
        clock_(context.model.backend()),
        selects_(may_select(run, context.info)) {}
  double select_ms() const { return clock_.ms(); }

 private:
  // Without a chance to drop anything there is no selection to measure.
  static bool may_select(const Run& run, const PromptInfo& info) {
    bool selects = run.first_drop().has_value();
    for (int layer = 0; layer < info.layers; ++layer)
      selects = selects || run.most_kept(layer).value_or(info.tokens) < info.tokens;
    return selects;
  }
  SelectClock* clock(bool selects) { return selects ? &clock_ : nullptr; }

  bool keeps_all_rows(int64_t layer) const override {
    return !only_last_row_goes_on() && !(sees_whole_prompt(context().info, static_cast<int>(layer)) &&
                                         run_.may_drop(static_cast<int>(layer)));
  }
  bool decide(RunnerLayerView& view) override;
  void store(const Decision& decision);
  int64_t draft(const KeepSet& kept, int64_t tokens, const ListenToDraft& listen);

  Run& run_;
  PrefillResult& result_;
  SelectClock clock_;
  bool selects_;
  std::vector<int64_t> waiting_;  // layers that store all until a later one decides for them
};

bool Prefill::MainPass::decide(RunnerLayerView& view) {
  result_.layers.push_back({live()});
  if (!sees_whole_prompt(context().info, static_cast<int>(layer()))) {
    store_all(*result_.cache);  // a window is short-lived, and found by position
    return true;
  }
  view.set_draft([this](const KeepSet& kept, int64_t tokens, const ListenToDraft& listen) {
    return draft(kept, tokens, listen);
  });
  Decision decision;
  {
    const SelectClock::Scope scope(clock(selects_));
    decision = run_.decide(view);
  }
  store(decision);
  if (!decision.live.all() && layer() < last_layer()) check_drop(context().info, static_cast<int>(layer()));
  if (!only_last_row_goes_on() && !decision.live.all()) {
    require(waiting_.empty(), "a layer's cache must be decided before its tokens stop being live");
    const SelectClock::Scope scope(&clock_);
    keep_rows(decision.live.to_host(), keep_set_tensor(decision.live));
    result_.selected = *positions();
  }
  return true;
}

void Prefill::MainPass::store(const Decision& decision) {
  const int64_t reserve = context().options.reserve;
  const bool all = !decision.kept || decision.kept->all();
  const SelectClock::Scope scope(clock(!all));
  result_.cache->store(layer(), kv(), all ? KeepSet{} : *decision.kept, positions(), reserve);
  if (!decision.kept) {
    waiting_.push_back(layer());
    return;
  }
  if (decision.kept && !decision.kept->all()) {
    for (const int64_t earlier : waiting_) result_.cache->cut(earlier, *decision.kept, positions(), reserve);
  }
  waiting_.clear();
}

int64_t Prefill::MainPass::draft(const KeepSet& kept, int64_t tokens, const ListenToDraft& listen) {
  KvCache& cache = *result_.cache;
  const int64_t most = std::min(tokens, context().model.config().context - cache.next_position);
  if (most <= 0) return 0;
  cache.store(layer(), kv(), KeepSet{}, positions(), context().options.reserve);
  std::vector<float> logits;
  {
    StoringPass pass(*this, kept, cache);
    while (pass.step()) {
    }
    logits = pass.logits();
  }
  return listen_to_draft(context(), layer(), most, std::move(logits), cache, listen);
}

PromptInfo prompt_info(const ModelConfig& config, int64_t tokens) {
  PromptInfo info;
  info.tokens = tokens;
  info.layers = static_cast<int>(config.layers);
  info.heads = static_cast<int>(config.heads);
  info.kv_heads = static_cast<int>(config.kv_heads);  // of the layers that rank, where they differ
  info.head_size = static_cast<int>(config.head_size);
  for (const LayerSpec& spec : config.specs) {
    info.windowed.push_back(spec.window > 0);
    info.recurrent.push_back(spec.recurrent);
  }
  if (const int64_t last = config.last_kv_layer(); last < config.layers - 1) {
    info.first_shared = static_cast<int>(last) + 1;
    for (info.first_read = 0; !config.is_kv_source(info.first_read);) ++info.first_read;
  }
  return info;
}

namespace {

// The ascending, unique tokens of an entry, with the protected ones added.
std::vector<int32_t> entering_tokens(const Entry& entry, const PromptInfo& info) {
  int32_t previous = -1;
  for (const int32_t position : entry.tokens) {
    require(position > previous && position < info.tokens,
            "an entry must be ascending, unique and inside the prompt");
    previous = position;
  }
  std::vector<int32_t> above, all;
  for (const TokenRange& span : info.protected_spans) {
    for (int64_t t = span.begin; t < span.end; ++t) above.push_back(static_cast<int32_t>(t));
  }
  std::set_union(entry.tokens.begin(), entry.tokens.end(), above.begin(), above.end(),
                 std::back_inserter(all));
  return all;
}

void check_spans(std::span<const TokenRange> spans, int64_t tokens) {
  int64_t end = 0;
  for (const TokenRange& span : spans) {
    require(span.begin >= end && span.begin < span.end && span.end <= tokens,
            "protected spans must be ascending, disjoint and inside the prompt");
    end = span.end;
  }
}

}  // namespace

Prefill::Prefill(const Model& model, std::vector<int32_t> ids, const Method& method, PrefillOptions options)
    : model_(model), ids_(std::move(ids)), options_(std::move(options)) {
  const int64_t tokens = static_cast<int64_t>(ids_.size());
  require(tokens > 0 && tokens <= model.config().context, "prefill: prompt length outside the context");
  check_spans(options_.protected_spans, tokens);
  info_ = prompt_info(model.config(), tokens);
  info_.ids = ids_;
  info_.model_fingerprint = options_.model_fingerprint;
  info_.protected_spans = options_.protected_spans;
  info_.profiled = options_.profiled;
  run_ = method.start(info_);
  if (const auto drop = run_->first_drop(); drop && *drop >= 0) check_drop(info_, *drop);
  const ScopedTimer timer(result_.entry_ms);
  begin_preview();
}

Prefill::~Prefill() = default;

void Prefill::begin_preview() {
  const std::optional<PreviewSpec> spec = run_->preview_spec();
  if (!spec) return;
  if (spec->look_ahead) {
    const bool drafted = spec->look_ahead->drafter && options_.drafter != nullptr;
    look_ahead_ = std::make_unique<LookAheadPass>(drafted ? *options_.drafter : model_, ids_,
                                                  *spec->look_ahead, options_);
    return;
  }
  preview_ = std::make_unique<PreviewPass>(PassContext{model_, options_, info_}, spec->last_layer,
                                           [this](LayerView& view) { run_->preview(view); });
}

bool Prefill::step_preview() {
  const ScopedTimer timer(result_.entry_ms);
  return preview_ != nullptr ? preview_->step() : look_ahead_ != nullptr && look_ahead_->step();
}

bool Prefill::step() {
  if (done_) return false;
  if (pass_ == nullptr) {
    if (!step_preview()) begin_pass();
    return true;
  }
  if (pass_->step()) return true;
  finish();
  done_ = true;
  return false;
}

void Prefill::begin_pass() {
  Entry entry;
  {
    const ScopedTimer timer(result_.entry_ms);
    entry = run_->entry(look_ahead_ != nullptr ? look_ahead_->result() : std::vector<float>());
    preview_ = nullptr;
    look_ahead_ = nullptr;
  }
  pass_info_ = info_;
  std::vector<int32_t> entering = ids_, positions(ids_.size());
  std::iota(positions.begin(), positions.end(), 0);
  if (!entry.tokens.empty()) {
    positions = result_.selected = entering_tokens(entry, info_);
    entering.clear();
    for (const int32_t position : positions) entering.push_back(ids_[usize(position)]);
    if (entry.renumber) {
      std::iota(positions.begin(), positions.end(), 0);
      pass_info_.protected_spans.clear();  // they name other positions; all of them have entered
    }
  }
  const int64_t live = static_cast<int64_t>(entering.size());
  const PassContext context{model_, options_, pass_info_};
  reserve_memory(context, live, [&](int64_t index) {
    const int layer = static_cast<int>(index);
    const int64_t most = sees_whole_prompt(info_, layer) ? run_->most_kept(layer).value_or(live) : live;
    return std::min(live, most) + options_.reserve;
  });
  result_.cache = std::make_unique<KvCache>(model_.config(), model_.backend());
  const int64_t next = entry.renumber ? live : info_.tokens;
  result_.cache->next_position =
      entry.next_position < 0 ? next : std::max<int64_t>(entry.next_position, positions.back() + 1);
  pass_ = std::make_unique<MainPass>(context, entering, std::move(positions), *run_, result_);
}

bool Prefill::dropped() const {
  bool dropped = !result_.selected.empty() && static_cast<int64_t>(result_.selected.size()) < info_.tokens;
  for (int64_t layer = 0; layer < result_.cache->layers(); ++layer)
    dropped = dropped || !result_.cache->kept_all(layer);
  return dropped;
}

void Prefill::finish() {
  result_.kept_tokens = result_.layers[usize(model_.config().last_kv_layer())].live;
  result_.logits = pass_->logits();
  result_.select_ms = pass_->select_ms();
  result_.report = run_->report();
  if (result_.report.active && !info_.protected_spans.empty() && !dropped()) {
    result_.report.active = false;
    result_.report.reason = "the protected tokens and the window are the whole prompt";
  }
  if (result_.report.active && model_.config().recurrent_layers() > 0) {
    std::string& note = result_.report.note;
    note += std::string(note.empty() ? "" : ", ") + "unmeasured in a model with recurrent layers";
  }
}

PrefillResult run_prefill(const Model& model, std::span<const int32_t> ids, const Method& method,
                          const PrefillOptions& options) {
  Prefill prefill(model, {ids.begin(), ids.end()}, method, options);
  while (prefill.step()) {
  }
  return prefill.take();
}

}  // namespace claa
