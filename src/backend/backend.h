// The contract of a device: about twenty coarse operations on tensor views. Models and methods are written
// against it and name no device. `reference` is the naive oracle of the tests; `cpu` is oneDNN and SIMD;
// `cuda`, a shared library of its own that is loaded when it is asked for, is cuBLASLt, cuDNN and own
// kernels.
//
// Numerics: the residual stream, scores and logits are f32; the inputs of linear layers, Q, K and V have the
// activation type (f32 or bf16); projections on their way to RoPE and the gated activation have the wide
// type. All sums accumulate in f32.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "claa/error.h"
#include "claa/scores.h"
#include "claa/stages.h"
#include "core/clock.h"
#include "core/tensor.h"

namespace claa {

struct BackendOptions {
  std::string name = "cpu";
  DType dtype = DType::kBF16;     // activation type
  int threads = 0;                // 0: physical cores
  std::string isa;                // cap: "avx2", "avx512", "avx2bf16" (tests), or "" for the best the CPU has
  bool fp8 = false;               // cuda with bf16: linear layers in FP8 (E4M3), but for the vocabulary's
  bool int8 = false;              // cpu with bf16: integer products, but for the vocabulary's
  std::string cache_folder = {};  // cuda: where the algorithms chosen for products are kept; "": nowhere
};

// A weight in the form its backend multiplies with. Shape [outputs, inputs].
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;
  int64_t outputs = 0;
  int64_t inputs = 0;
  size_t bytes = 0;
};

// Where a weight comes from: fills f32 rows [first, first + count) of [outputs, inputs], row-major. Called by
// several threads at once; it may throw only on the first call.
struct WeightSource {
  int64_t outputs = 0;
  int64_t inputs = 0;
  bool table = false;  // also read by embed(): rows must stay addressable
  std::function<void(int64_t first, int64_t count, float* rows)> fill = {};
  bool gated = false;  // multiplies what swiglu() writes
};

// How many values of a row of kI8 share a scale: a channel far larger than the rest costs precision in its
// own group only. swiglu() writes products of two activations, whose outliers are the worst.
constexpr int64_t kI8Group = 128, kI8GatedGroup = 64;

// cos and sin of every (position, pair): f32 [tokens, head_size / 2] each. `rotated` dimensions may be fewer
// than the head's; the rest passes unchanged.
struct RopeTable {
  Tensor cos;
  Tensor sin;
  bool interleaved = true;  // pairs (2i, 2i+1); false: (i, i + rotated/2)
};

// K and V of one layer: [kv_heads, slots, head_size]; the first `length` slots are valid.
struct KvView {
  Tensor k;
  Tensor v;
  int64_t length = 0;
};

// A point in the order of a device's work.
struct Moment {
  Stopwatch host;                // started then
  std::shared_ptr<void> device;  // the mark of a device that works on its own
};

// K and V rearranged for many queries; memory is reused from layer to layer.
class PackedKv {
 public:
  virtual ~PackedKv() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;
  virtual std::string description() const = 0;  // instruction set, threads
  virtual DType dtype() const = 0;
  // Rows of a chunk that keeps the device busy and its caches warm.
  virtual int64_t chunk_rows() const = 0;
  // Type of q, kv and gate_up below: f32, or the activation type where bytes moved cost more than they carry.
  virtual DType wide_dtype() const { return DType::kF32; }
  // Preferred output type of rms_norm() and swiglu() where linear layers alone read it: kF8 or kI8 where
  // these round their input anyway. The vocabulary's product reads the activation type. Columns of kI8 come
  // in fours.
  virtual DType linear_dtype() const { return dtype(); }
  // True if linear() rounds its inputs so coarsely, with many channels per scale, that the channels of a norm
  // should be of one size (model/equalizer.h).
  virtual bool wants_even_channels() const { return false; }
  // Rows of memory that attention() of `rows` packed rows needs in q, out, K and V: a kernel made for a range
  // of lengths touches what lies behind the last row. K and V hold finite values there.
  virtual int64_t padded(int64_t rows) const { return rows; }

  virtual Buffer allocate(size_t bytes) = 0;
  virtual void upload(const void* host, size_t bytes, void* device) = 0;
  virtual void download(const void* device, size_t bytes, void* host) = 0;
  virtual void clear(void* device, size_t bytes) = 0;  // to zeros
  // Most device memory in use since the last call; 0 where that is the process's own memory.
  virtual size_t peak_bytes() { return 0; }
  // Device memory that allocate() can still give; 0 where that is the machine's own memory.
  virtual size_t free_bytes() { return 0; }
  // Allocates `bytes` of device memory up front, for the next allocate() calls, unless the process holds as
  // much unused: no layer then waits for the driver, and shortage shows before the first one. Throws
  // kOutOfMemory.
  virtual void reserve(size_t /*bytes*/) {}
  // Waits for all work; where nothing is left running, it returns at once.
  virtual void synchronize() {}
  // Runs a step that repeats with other ids, positions, slots, visible counts and cache lengths but the same
  // memory, as a decode step does; a device may record it once. It may run `work` several times, so `work`
  // must not change the caller's state. It may call embed(), linear() and the operations named after it,
  // rms_norm(), add_bias(), rope(), rope_store(), swiglu() and attention() without packed K and V.
  virtual void repeat(const std::function<void()>& work) { work(); }
  // A point after all that the device has been asked for until now, and the milliseconds of its work between
  // two such points, the later of which it must have reached.
  virtual Moment mark() { return {}; }
  virtual double ms_between(const Moment& from, const Moment& to) { return from.host.ms() - to.host.ms(); }
  // Milliseconds of the device by kind of work between the two calls, which cost a little time of their own;
  // empty where the device does not measure itself.
  virtual void start_profile() {}
  virtual std::vector<StageTime> stop_profile() { return {}; }

  virtual std::unique_ptr<PackedWeight> prepare(const WeightSource& source) = 0;

  // out[r] = rows ids[r] of the table [vocabulary, hidden]; out f32.
  virtual void embed(const PackedWeight& table, std::span<const int32_t> ids, const Tensor& out) = 0;
  // out = x W^T (+ out when accumulate); x [rows, inputs] activation type or linear_dtype(), out [rows,
  // outputs] f32 or the wide type.
  virtual void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) = 0;
  // out = x / sqrt(mean(x^2) + eps) * weight; x f32, out activation type or linear_dtype(), weight f32
  // [1, columns].
  virtual void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) = 0;
  // x[r] += bias; x wide type, bias f32.
  virtual void add_bias(const Tensor& x, const Tensor& bias) = 0;
  // q [rows, heads * head_size] wide type, rotated at table rows `positions` -> out, activation type, same
  // shape.
  virtual void rope(const Tensor& q, int64_t head_size, const RopeTable& table,
                    std::span<const int32_t> positions, const Tensor& out) = 0;
  // kv [rows, 2 * kv_heads * head_size] wide type (all K, then all V): rotated K and V go to slots [slot,
  // slot + rows).
  virtual void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                          const KvView& cache, int64_t slot) = 0;
  // rope() and rope_store() of x W^T; `wide` is memory for what comes between, which a device may leave as it
  // is.
  virtual void linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide, int64_t head_size,
                           const RopeTable& table, std::span<const int32_t> positions, const Tensor& out) {
    linear(x, weight, wide, false);
    rope(wide, head_size, table, positions, out);
  }
  virtual void linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                                 const RopeTable& table, std::span<const int32_t> positions,
                                 const KvView& cache, int64_t slot) {
    linear(x, weight, wide, false);
    rope_store(wide, table, positions, cache, slot);
  }
  // out = silu(gate) * up; gate_up [rows, 2 * columns] wide type (gate first), out activation type or
  // linear_dtype().
  virtual void swiglu(const Tensor& gate_up, const Tensor& out) = 0;
  // swiglu() of x W^T, with memory as above.
  virtual void linear_swiglu(const Tensor& x, const PackedWeight& weight, const Tensor& gate_up,
                             const Tensor& out) {
    linear(x, weight, gate_up, false);
    swiglu(gate_up, out);
  }

  // Prepares K and V for attention() and window_scores(); `reuse` may hold an earlier layer's memory.
  virtual void pack_kv(const KvView& kv, std::unique_ptr<PackedKv>& reuse) = 0;
  // Causal attention by position: row r sees slots [0, visible[r]). q, out [rows, heads * head_size],
  // activation type. `packed` may be null (few rows). visible is ascending.
  virtual void attention(const Tensor& q, const KvView& kv, const PackedKv* packed,
                         std::span<const int32_t> visible, const Tensor& out) = 0;
  // Scores of the window queries q [window, heads * head_size] (the last `window` of kv.length tokens).
  // out f32 [score_rows(spec), tokens]; see ScoreSpec for the order of the reductions. `packed` may be null
  // (few query rows). With a window of one row and all columns the query may come from after the keys: it
  // sees them all.
  virtual void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                             const Tensor& out) = 0;
  // [heads, tokens] of several layers -> [1, tokens].
  virtual void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                         const Tensor& out) = 0;
  // Per row of scores [rows, tokens] the `count` best by (score desc, index asc), ascending by index, then
  // the indices tokens .. tokens + forced_tail - 1. out i32 [rows, count + forced_tail].
  virtual void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) = 0;

  // out[r] = x[indices[r]]; indices i32 [1, rows] on the device; x f32. Not in place.
  virtual void gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) = 0;
  // Per KV head the rows `indices` (one row for all heads, or one per head); "all" when indices has no data.
  virtual void gather_kv(const KvView& from, const Tensor& indices, const KvView& to) = 0;
};

// Rows of the result of window_scores().
int64_t score_rows(const ScoreSpec& spec, int64_t heads, int64_t kv_heads);
// Columns of the result of window_scores().
int64_t score_tokens(const ScoreSpec& spec, int64_t length);
// Throws Error{kInvalidArgument} for a spec that makes no sense for this shape.
void check_score_spec(const ScoreSpec& spec, int64_t heads, int64_t kv_heads, int64_t length);

// The fastest activation type of a device: bf16 where it is multiplied natively, else f32.
DType best_dtype(const BackendOptions& options);

// Resolves "auto" for this machine: cuda where there is a GPU that can be used, else cpu. Other names
// stay.
std::string resolve_device(const std::string& name);

// From the words of a user: a device as resolve_device() takes it, dtype "auto", "f32", "bf16", "int8" (cpu
// alone) or "fp8" (cuda alone), threads from 0 (physical cores) to 1024. Throws Error{kInvalidArgument}.
BackendOptions backend_options(const std::string& device, const std::string& dtype, int threads,
                               const std::string& isa);

// Throws Error{kInvalidArgument} (unknown name) or kUnsupported (this machine cannot).
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace claa
