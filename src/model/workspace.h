// Scratch for one chunk of rows; allocated once per prompt.
#pragma once

#include "backend/activation.h"
#include "backend/backend.h"
#include "model/config.h"

namespace claa {

class Workspace {
 public:
  // Memory for DeviceTraits::padded(rows) rows.
  Workspace(const ModelConfig& config, Backend& backend, int64_t rows);
  // Bytes of the memory of a workspace for `rows` rows.
  static size_t bytes_for(const ModelConfig& config, const DeviceTraits& device, int64_t rows);
  int64_t rows() const { return rows_; }

  Tensor normed;  // [rows, hidden]
  // Columns are those of the widest layer.
  Tensor projected;  // [rows, max(q, 2 kv)] on the way to RoPE
  Tensor q;          // [rows, heads * head_size]
  Tensor attention;  // [rows, heads * head_size]
  Tensor branch;     // [rows, hidden], for models with post-norms
  Tensor gate;       // [rows, max(q, values)], of what attention or a recurrent layer gives
  Tensor gate_up;    // [rows, 2 * ffn]
  Tensor gated;      // [rows, ffn]

  // For models with recurrent layers.
  Tensor mixed;     // [rows, channels] f32: queries, keys and values after the convolution
  Tensor rates;     // [rows, 2 * value heads] f32
  Tensor recalled;  // [rows, values] f32

  // For models whose layers have inputs of their own, of which each is `width` wide.
  Tensor input_x;                // [rows, hidden] activation type: what their matrices read
  Tensor input_product, inputs;  // [rows, width] f32
  Tensor input_gated;            // [rows, width] activation type

  Tensor sum;  // [rows, hidden] f32, for experts beside a feed-forward

  // For models with experts.
  Tensor unrounded;      // [rows, hidden] activation type: what the router reads, and rates
  Tensor router;         // [rows, experts] f32
  ExpertChoice choice;   // [rows, used]
  ExpertRows of_expert;  // rows of one expert
  // For an expert that serves every row.
  Tensor shared_gate;     // [rows, 1] f32
  Tensor shared_gate_up;  // [rows, 2 * width]
  Tensor shared_gated;    // [rows, width]
  Tensor shared_out;      // [rows, hidden] f32

 private:
  Workspace() = default;
  int64_t rows_ = 0;
  Buffer memory_;
};

}  // namespace claa
