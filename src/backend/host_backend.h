// The part that every backend on host memory shares: allocation, copies, gathers, aggregation and top-k.
#pragma once

#include "backend/backend.h"

namespace claa {

class HostBackend : public Backend {
 public:
  Buffer allocate(size_t bytes) override;
  void upload(const void* host, size_t bytes, void* device) override;
  void download(const void* device, size_t bytes, void* host) override;
  void clear(void* device, size_t bytes) override;
  void add_bias(const Tensor& x, const Tensor& bias) override;
  void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                 const Tensor& out) override;
  void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) override;
  void gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) override;
  void gather_kv(const KvView& from, const Tensor& indices, const KvView& to) override;
};

}  // namespace claa
