#include "kv/cache.h"

#include <algorithm>

#include "core/usize.h"
#include "kv/keep_set.h"

namespace claa {

KvCache::KvCache(const ModelConfig& config, Backend& backend)
    : delta_(config.delta), backend_(backend), layers_(usize(config.layers)) {
  for (int64_t i = 0; i < config.layers; ++i) {
    Layer& layer = layers_[usize(i)];
    layer.source = config.has_own_kv(i) ? i : config.spec(i).kv_source;
    layer.kv_heads = config.kv_heads_of(i);
    layer.head_size = config.head_size_of(i);
  }
}

KvCache::Layer& KvCache::own(int64_t index) {
  require(layers_[usize(index)].source == index, "a layer that shares another's K and V stores nothing");
  return layers_[usize(index)];
}

KvView KvCache::view_of(const Layer& layer) const {
  const auto cube = [&](const Buffer& memory) {
    return Tensor::cube(memory.data(), backend_.dtype(), layer.kv_heads, layer.capacity, layer.head_size);
  };
  return {cube(layer.k), cube(layer.v), layer.length};
}

void KvCache::allocate(Layer& layer, int64_t capacity) {
  const size_t bytes = usize(layer.kv_heads * capacity * layer.head_size) * dtype_bytes(backend_.dtype());
  layer.k = backend_.allocate(bytes);
  layer.v = backend_.allocate(bytes);
  layer.capacity = capacity;
}

void KvCache::store(int64_t index, const KvView& live, const KeepSet& kept,
                    std::shared_ptr<const std::vector<int32_t>> positions, int64_t reserve) {
  Layer& layer = own(index);
  const int64_t count = kept.all() ? live.length : kept.count();
  allocate(layer, count + reserve);
  layer.length = count;
  layer.kept = kept;
  layer.positions = std::move(positions);
  backend_.gather_kv(live, keep_set_tensor(kept), view_of(layer));
}

void KvCache::cut(int64_t index, const KeepSet& kept,
                  const std::shared_ptr<const std::vector<int32_t>>& positions, int64_t reserve) {
  Layer& layer = own(index);
  require(layer.kept.all() && layer.positions == positions,
          "cut: the layer must store all of the tokens that are still live");
  Layer whole = std::move(layer);
  store(index, view_of(whole), kept, positions, reserve);
}

void KvCache::store(int64_t index, RecurrentState state) {
  layers_[usize(index)].state = std::move(state);
}

KvView KvCache::view(int64_t index) {
  Layer& layer = at(index);
  if (recurrent(layer)) return {};
  if (layer.length == layer.capacity) {
    constexpr int64_t kGrowth = 64;  // at least; doubling would waste most for long prompts
    Layer larger;
    larger.kv_heads = layer.kv_heads;
    larger.head_size = layer.head_size;
    allocate(larger, layer.capacity + std::max(kGrowth, layer.capacity / 8));
    larger.length = layer.length;
    backend_.gather_kv(view_of(layer), Tensor{}, view_of(larger));
    layer.k = std::move(larger.k);
    layer.v = std::move(larger.v);
    layer.capacity = larger.capacity;
  }
  return view_of(layer);
}

void KvCache::appended(int64_t index) {
  Layer& layer = layers_[usize(index)];
  if (layer.source == index && !recurrent(layer)) ++layer.length;
}

int64_t KvCache::first_in_window(int64_t index, int64_t window) const {
  const Layer& layer = at(index);
  require(layer.kept.all(), "a layer with a sliding window stores all of its live tokens");
  const std::vector<int32_t>& prompt = *layer.positions;
  const int64_t stored = static_cast<int64_t>(prompt.size()), appended = layer.length - stored;
  const int64_t first_position = next_position - window + 1, first_appended = next_position - appended;
  if (first_position > first_appended) return stored + first_position - first_appended;
  const auto at = std::lower_bound(prompt.begin(), prompt.end(), first_position);
  return at - prompt.begin();
}

KvCache::Snapshot KvCache::snapshot() const {
  Snapshot snapshot;
  snapshot.next_position = next_position;
  for (const Layer& layer : layers_) {
    snapshot.lengths.push_back(layer.length);
    if (!recurrent(layer)) continue;
    snapshot.states.push_back(make_recurrent_state(delta_, backend_));
    backend_.copy(layer.state.memory.data(), layer.state.memory.bytes(),
                  snapshot.states.back().memory.data());
  }
  return snapshot;
}

void KvCache::restore(const Snapshot& snapshot) {
  require(snapshot.lengths.size() == layers_.size(), "restore: a snapshot of another cache");
  auto state = snapshot.states.begin();
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = layers_[i];
    require(snapshot.lengths[i] <= layer.length, "restore: the layer has fewer rows");
    layer.length = snapshot.lengths[i];
    if (!recurrent(layer)) continue;
    require(state != snapshot.states.end(), "restore: a snapshot without the layer's state");
    backend_.copy(state->memory.data(), state->memory.bytes(), layer.state.memory.data());
    ++state;
  }
  next_position = snapshot.next_position;
}

size_t KvCache::Snapshot::bytes() const {
  size_t total = 0;
  for (const RecurrentState& state : states) total += state.memory.bytes();
  return total;
}

std::vector<std::vector<int32_t>> KvCache::prompt_positions(int64_t index) const {
  const Layer& layer = at(index);
  if (recurrent(layer)) return {std::vector<int32_t>()};
  require(layer.positions != nullptr, "prompt_positions: the layer stores nothing");
  if (layer.kept.all()) return {*layer.positions};
  const std::vector<int32_t> kept = layer.kept.to_host();
  std::vector<std::vector<int32_t>> heads(usize(layer.kept.rows()));
  for (size_t i = 0; i < kept.size(); ++i) {
    heads[i / usize(layer.kept.count())].push_back((*layer.positions)[usize(kept[i])]);
  }
  return heads;
}

size_t KvCache::bytes() const {
  size_t total = 0;
  for (const Layer& layer : layers_) total += layer.k.bytes() + layer.v.bytes() + layer.state.memory.bytes();
  return total;
}

}  // namespace claa
