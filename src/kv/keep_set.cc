#include "kv/keep_set.h"

#include "core/usize.h"

namespace claa {

int64_t Scores::rows() const {
  return impl_ ? impl_->tensor.rows() : 0;
}
int64_t Scores::tokens() const {
  return impl_ ? impl_->tensor.columns() : 0;
}

std::vector<float> Scores::to_host() const {
  std::vector<float> values(usize(rows() * tokens()));
  if (impl_) impl_->backend->download(impl_->tensor.data, impl_->tensor.bytes(), values.data());
  return values;
}

int64_t KeepSet::rows() const {
  return impl_ ? impl_->tensor.rows() : 1;
}
int64_t KeepSet::count() const {
  require(impl_ != nullptr, "KeepSet: 'all' has no count of its own");
  return impl_->tensor.columns();
}

std::vector<int32_t> KeepSet::to_host() const {
  require(impl_ != nullptr, "KeepSet: 'all' has no indices");
  std::vector<int32_t> indices(usize(rows() * count()));
  impl_->backend->download(impl_->tensor.data, impl_->tensor.bytes(), indices.data());
  return indices;
}

std::shared_ptr<Scores::Impl> make_scores(Backend& backend, int64_t rows, int64_t tokens) {
  auto impl = std::make_shared<Scores::Impl>();
  impl->memory = backend.allocate(usize(rows * tokens) * sizeof(float));
  impl->tensor = Tensor::matrix(impl->memory.data(), DType::kF32, rows, tokens);
  impl->backend = &backend;
  return impl;
}

std::shared_ptr<KeepSet::Impl> make_keep_set(Backend& backend, int64_t rows, int64_t count) {
  auto impl = std::make_shared<KeepSet::Impl>();
  impl->memory = backend.allocate(usize(rows * count) * sizeof(int32_t));
  impl->tensor = Tensor::matrix(impl->memory.data(), DType::kI32, rows, count);
  impl->backend = &backend;
  return impl;
}

Tensor keep_set_tensor(const KeepSet& set) {
  return set.all() ? Tensor{} : set.impl()->tensor;
}

}  // namespace claa
