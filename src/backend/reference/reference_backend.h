// The naive backend: plain loops with f64 sums, the oracle that every other backend is tested against. Never
// tuned.
#pragma once

#include "backend/device_rows.h"
#include "backend/host_backend.h"

namespace claa::reference {

class ReferenceBackend : public HostBackend {
 public:
  explicit ReferenceBackend(DType dtype) : dtype_(dtype) {}

  const char* name() const override { return "reference"; }
  std::string description() const override { return fmt::format("reference, {}", dtype_name(dtype_)); }
  DType dtype() const override { return dtype_; }
  int64_t chunk_rows() const override { return kChunkRows; }

  std::unique_ptr<PackedWeight> prepare(const WeightSource& source) override;
  void embed(const PackedWeight& table, std::span<const int32_t> ids, const Tensor& out) override;
  void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) override;
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void rope(const Tensor& q, int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
            const Tensor& out) override;
  void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                  const KvView& cache, int64_t slot) override;
  void swiglu(const Tensor& gate_up, const Tensor& out) override;
  void pack_kv(const KvView& kv, std::unique_ptr<PackedKv>& reuse) override;
  void attention(const Tensor& q, const KvView& kv, const PackedKv* packed, std::span<const int32_t> visible,
                 const Tensor& out) override;
  void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                     const Tensor& out) override;

 private:
  DType dtype_;
};

}  // namespace claa::reference
