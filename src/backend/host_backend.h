// The part that every backend on host memory shares: allocation, copies, gathers, aggregation, top-k and the
// choice of experts.
#pragma once

#include "backend/backend.h"

namespace claa {

class HostBackend : public Backend {
 public:
  Buffer allocate(size_t bytes) override;
  void upload(const void* host, size_t bytes, void* device) override;
  void download(const void* device, size_t bytes, void* host) override;
  void clear(void* device, size_t bytes) override;
  void copy(const void* from, size_t bytes, void* to) override;
  void add_bias(const Tensor& x, const Tensor& bias) override;
  void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                 const Tensor& out) override;
  void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) override;
  void gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) override;
  void choose_experts(const Tensor& logits, const ExpertChoice& choice) override;
  void gather_activations(const Tensor& x, std::span<const int32_t> rows, const Tensor& out) override;
  void add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                const Tensor& out) override;
  void gather_kv(const KvView& from, const Tensor& indices, const KvView& to) override;
};

}  // namespace claa
