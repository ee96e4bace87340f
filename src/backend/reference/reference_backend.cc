#include "backend/reference/reference_backend.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "backend/host_ops.h"
#include "backend/reference/access.h"
#include "core/usize.h"

namespace claa::reference {
namespace {

struct ReferenceWeight : PackedWeight {
  std::vector<float> rows;  // [outputs, inputs], rounded to the activation type
};

struct ReferencePackedKv : PackedKv {};

// Rotated value `i` of a head whose first value is x[0].
float rotated(const float* x, int64_t i, const RopeTable& table, int64_t position) {
  const int64_t half = table.cos.columns();
  if (i >= 2 * half) return x[i];
  const int64_t pair = table.interleaved ? i / 2 : i % half;
  const bool first = table.interleaved ? i % 2 == 0 : i < half;
  const int64_t other = table.interleaved ? i ^ 1 : (first ? i + half : i - half);
  const float c = table.cos.ptr<float>(0, position)[pair], s = table.sin.ptr<float>(0, position)[pair];
  return first ? x[i] * c - x[other] * s : x[other] * s + x[i] * c;
}

double dot(const Tensor& q, int64_t row, int64_t column, const Tensor& k, int64_t plane, int64_t slot) {
  double sum = 0;
  for (int64_t i = 0; i < k.columns(); ++i) {
    sum += static_cast<double>(get(q, 0, row, column + i)) * get(k, plane, slot, i);
  }
  return sum;
}

double capped(double x, double cap) {
  return cap * std::tanh(x / cap);
}

// Shares of attention of one head from its logits s[0, seen), in place.
void softmax(std::vector<double>& s, int64_t seen, const SoftmaxRule& rule, int64_t head) {
  if (rule.soft_cap > 0) {
    for (int64_t j = 0; j < seen; ++j) s[usize(j)] = capped(s[usize(j)], rule.soft_cap);
  }
  double top = *std::max_element(s.begin(), s.begin() + seen);
  if (rule.has_sinks()) top = std::max(top, static_cast<double>(rule.sink(head)));
  double sum = rule.has_sinks() ? std::exp(rule.sink(head) - top) : 0;
  for (int64_t j = 0; j < seen; ++j) sum += s[usize(j)] = std::exp(s[usize(j)] - top);
  for (int64_t j = 0; j < seen; ++j) s[usize(j)] /= sum;
}

// The GELU is x/2 (1 + tanh u), which is x / (1 + e^(-2u)) and loses no digits so.
double gated(double gate, double up, Activation activation) {
  const auto logistic = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  switch (activation) {
    case Activation::kSilu:
      return gate * logistic(gate) * up;
    case Activation::kGelu: {
      const double u = std::sqrt(2.0 / std::numbers::pi) * (gate + 0.044715 * gate * gate * gate);
      return gate * logistic(2.0 * u) * up;
    }
    case Activation::kClamped: {
      constexpr double kLimit = kClampedLimit;
      const double low = std::min(gate, kLimit);
      return low * logistic(static_cast<double>(kClampedSlope) * low) * (std::clamp(up, -kLimit, kLimit) + 1);
    }
  }
  return 0;
}

// 1 / sqrt(mean(x^2) + eps) of `count` values of a row.
double norm_scale(const Tensor& x, int64_t row, int64_t first, int64_t count, float eps) {
  double squares = 0;
  for (int64_t c = first; c < first + count; ++c)
    squares += static_cast<double>(get(x, 0, row, c)) * get(x, 0, row, c);
  return 1.0 / std::sqrt(squares / static_cast<double>(count) + eps);
}

}  // namespace

DeviceTraits device_traits(const BackendOptions& options) {
  DeviceTraits traits;
  traits.dtype = traits.linear = options.dtype;
  traits.chunk_rows = 64;
  return traits;
}

size_t weight_bytes(const WeightSource& shape) {
  return usize(shape.outputs * shape.inputs) * sizeof(float);
}

ReferenceBackend::ReferenceBackend(DType dtype) {
  BackendOptions options;
  options.dtype = dtype;
  traits_ = reference::device_traits(options);
}

std::unique_ptr<PackedWeight> ReferenceBackend::prepare(const WeightSource& source) {
  auto weight = std::make_unique<ReferenceWeight>();
  weight->outputs = source.outputs;
  weight->inputs = source.inputs;
  weight->rows.resize(usize(source.outputs * source.inputs));
  source.fill(0, source.outputs, weight->rows.data());
  if (traits_.dtype == DType::kBF16) {
    for (float& value : weight->rows) value = to_float(to_bf16(value));
  }
  weight->bytes = weight->rows.size() * sizeof(float);
  return weight;
}

void ReferenceBackend::embed(const PackedWeight& table, std::span<const int32_t> ids, float scale,
                             const Tensor& out, int64_t first) {
  const auto& weight = static_cast<const ReferenceWeight&>(table);
  for (size_t r = 0; r < ids.size(); ++r) {
    const float* from = weight.rows.data() + ids[r] * weight.inputs + first;
    std::transform(from, from + out.columns(), out.ptr<float>(0, static_cast<int64_t>(r)),
                   [scale](float value) { return scale * value; });
  }
}

void ReferenceBackend::linear(const Tensor& x, const PackedWeight& packed, const Tensor& out,
                              bool accumulate) {
  const auto& weight = static_cast<const ReferenceWeight&>(packed);
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t o = 0; o < weight.outputs; ++o) {
      const float* row = weight.rows.data() + o * weight.inputs;
      double sum = accumulate ? out.ptr<float>(0, r)[o] : 0.0;
      for (int64_t i = 0; i < weight.inputs; ++i) sum += static_cast<double>(get(x, 0, r, i)) * row[i];
      out.ptr<float>(0, r)[o] = static_cast<float>(sum);
    }
  }
}

void ReferenceBackend::rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    const double scale = norm_scale(x, r, 0, x.columns(), eps);
    for (int64_t c = 0; c < x.columns(); ++c) {
      put(out, 0, r, c, static_cast<float>(get(x, 0, r, c) * scale * get(weight, 0, 0, c)));
    }
  }
}

void ReferenceBackend::add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    const double scale = norm_scale(x, r, 0, x.columns(), eps);
    for (int64_t c = 0; c < x.columns(); ++c) {
      out.ptr<float>(0, r)[c] += static_cast<float>(get(x, 0, r, c) * scale * get(weight, 0, 0, c));
    }
  }
}

void ReferenceBackend::convert(const Tensor& x, const Tensor& out) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t c = 0; c < x.columns(); ++c) put(out, 0, r, c, get(x, 0, r, c));
  }
}

void ReferenceBackend::soft_cap(const Tensor& x, float cap) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t c = 0; c < x.columns(); ++c)
      put(x, 0, r, c, static_cast<float>(capped(get(x, 0, r, c), cap)));
  }
}

void ReferenceBackend::scale(const Tensor& x, const Tensor& factor) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t c = 0; c < x.columns(); ++c) put(x, 0, r, c, get(x, 0, r, c) * get(factor, 0, 0, 0));
  }
}

void ReferenceBackend::norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) {
  const int64_t head_size = weight.columns();
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t first = 0; first < heads * head_size; first += head_size) {
      const double scale = norm_scale(x, r, first, head_size, eps);
      for (int64_t i = 0; i < head_size; ++i) {
        put(x, 0, r, first + i, static_cast<float>(get(x, 0, r, first + i) * scale * get(weight, 0, 0, i)));
      }
    }
  }
}

void ReferenceBackend::rope(const Tensor& q, int64_t head_size, const RopeTable& table,
                            std::span<const int32_t> positions, const Tensor& out) {
  for (int64_t r = 0; r < q.rows(); ++r) {
    for (int64_t c = 0; c < q.columns(); ++c) {
      const float* head = q.ptr<float>(0, r) + c / head_size * head_size;
      put(out, 0, r, c, rotated(head, c % head_size, table, positions[usize(r)]));
    }
  }
}

void ReferenceBackend::rope_store(const Tensor& kv, const RopeTable& table,
                                  std::span<const int32_t> positions, const KvView& cache, int64_t slot) {
  const int64_t head_size = cache.k.columns(), heads = cache.k.planes();
  for (int64_t r = 0; r < kv.rows(); ++r) {
    for (int64_t h = 0; h < heads; ++h) {
      const float* k = kv.ptr<float>(0, r) + h * head_size;
      for (int64_t i = 0; i < head_size; ++i) {
        put(cache.k, h, slot + r, i, rotated(k, i, table, positions[usize(r)]));
        put(cache.v, h, slot + r, i, k[heads * head_size + i]);
      }
    }
  }
}

void ReferenceBackend::gate(const Tensor& gate_up, Activation activation, const Tensor& out) {
  const int64_t n = out.columns();
  gate_apart(gate_up.slice_columns(0, n), gate_up.slice_columns(n, n), activation, out);
}

void ReferenceBackend::gate_apart(const Tensor& gate, const Tensor& up, Activation activation,
                                  const Tensor& out) {
  for (int64_t r = 0; r < out.rows(); ++r) {
    for (int64_t c = 0; c < out.columns(); ++c) {
      const double value = gated(get(gate, 0, r, c), get(up, 0, r, c), activation);
      put(out, 0, r, c, static_cast<float>(value));
    }
  }
}

namespace {

// x[row] W^T + bias [outputs].
std::vector<double> product(const Tensor& x, int64_t row, const PackedWeight& packed, const Tensor& bias,
                            int64_t expert) {
  const auto& weight = static_cast<const ReferenceWeight&>(packed);
  std::vector<double> sums(usize(weight.outputs));
  for (int64_t o = 0; o < weight.outputs; ++o) {
    if (bias.data != nullptr) sums[usize(o)] = get(bias, 0, expert, o);
    for (int64_t i = 0; i < weight.inputs; ++i) {
      sums[usize(o)] += static_cast<double>(get(x, 0, row, i)) * weight.rows[usize(o * weight.inputs + i)];
    }
  }
  return sums;
}

}  // namespace

void ReferenceBackend::mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                                   const ExpertRows& memory, const Tensor& hidden) {
  const int64_t width = memory.gated.columns();
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t i = 0; i < choice.ids.columns(); ++i) {
      const int32_t e = choice.ids.ptr<int32_t>(0, r)[i];
      const std::vector<double> gate_up =
          product(x, r, *experts.gate_up.each[usize(e)], experts.gate_up_bias, e);
      for (int64_t c = 0; c < width; ++c) {
        const double value = gated(gate_up[usize(c)], gate_up[usize(width + c)], experts.activation);
        put(memory.gated, 0, 0, c, static_cast<float>(value));
      }
      const std::vector<double> out =
          product(memory.gated, 0, *experts.down.each[usize(e)], experts.down_bias, e);
      const double weight = get(choice.weights, 0, r, i);
      for (int64_t c = 0; c < hidden.columns(); ++c)
        put(hidden, 0, r, c, static_cast<float>(get(hidden, 0, r, c) + weight * out[usize(c)]));
    }
  }
}

void ReferenceBackend::pack_kv(const KvView& /*kv*/, const SoftmaxRule& /*rule*/,
                               std::unique_ptr<PackedKv>& reuse) {
  if (reuse == nullptr) reuse = std::make_unique<ReferencePackedKv>();
}

void ReferenceBackend::attention(const Tensor& q, const KvView& kv, const PackedKv* /*packed*/,
                                 const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out) {
  const int64_t head_size = kv.k.columns(), heads = q.columns() / head_size, group = heads / kv.k.planes();
  std::vector<double> s(usize(kv.length));
  for (int64_t r = 0; r < q.rows(); ++r) {
    const int64_t first = visible.first_of(r), seen = visible.end_of(r) - first;
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t j = 0; j < seen; ++j) {
        s[usize(j)] =
            dot(q, r, h * head_size, kv.k, h / group, first + j) / std::sqrt(static_cast<double>(head_size));
      }
      softmax(s, seen, rule, h);
      for (int64_t i = 0; i < head_size; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < seen; ++j) sum += s[usize(j)] * get(kv.v, h / group, first + j, i);
        put(out, 0, r, h * head_size + i, static_cast<float>(sum));
      }
    }
  }
}

void ReferenceBackend::window_scores(const Tensor& q, const KvView& kv, const PackedKv* /*packed*/,
                                     const ScoreSpec& spec, const SoftmaxRule& rule, const Tensor& out) {
  const int64_t head_size = kv.k.columns(), heads = q.columns() / head_size, group = heads / kv.k.planes();
  check_score_spec(spec, heads, kv.k.planes(), kv.length);
  const int64_t tokens = score_tokens(spec, kv.length);
  const int64_t rows = spec.rows == Reduce::kKeep ? spec.window : 1;
  const int64_t listed = spec.only.empty() ? heads : static_cast<int64_t>(spec.only.size());
  std::vector<float> per_head(usize(listed * rows * tokens));
  std::vector<double> s(usize(kv.length));
  for (int64_t n = 0; n < listed; ++n) {
    const int64_t head = spec.only.empty() ? n : spec.only[usize(n)].head;
    for (int64_t i = 0; i < spec.window; ++i) {
      const int64_t seen = kv.length - spec.window + i + 1;
      std::fill(s.begin(), s.end(), spec.softmax ? 0.0 : -INFINITY);
      for (int64_t j = 0; j < seen; ++j) {
        s[usize(j)] = dot(q, i, head * head_size, kv.k, head / group, j) /
                      (spec.scale ? std::sqrt(static_cast<double>(head_size)) : 1.0);
      }
      if (spec.softmax) softmax(s, seen, rule, head);
      for (int64_t t = 0; t < tokens; ++t) {
        const float value = static_cast<float>(s[usize(t)]);
        float& to = per_head[usize((n * rows + (rows > 1 ? i : 0)) * tokens + t)];
        to = spec.rows == Reduce::kKeep || i == 0 ? value
             : spec.rows == Reduce::kSum          ? to + value
                                                  : std::max(to, value);
      }
    }
  }
  host::reduce_scores(per_head, heads, kv.k.planes(), rows, tokens, spec, out);
}

}  // namespace claa::reference
