// Gates of outputs and rows, and the parts of recurrent layers, row by row in f64.
#include <cmath>

#include "backend/reference/access.h"
#include "backend/reference/reference_backend.h"
#include "core/usize.h"

namespace claa::reference {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}
double softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

double squares_of(const Tensor& x, int64_t row, int64_t first, int64_t count) {
  double sum = 0;
  for (int64_t c = first; c < first + count; ++c)
    sum += static_cast<double>(get(x, 0, row, c)) * get(x, 0, row, c);
  return sum;
}

// One row of one value head.
struct DeltaRow {
  const float *q, *k, *v;
  double decay, take;
  int64_t size;
  // s [key, value], out [value]
  void apply(float* s, float* out) const {
    const double scale = 1 / std::sqrt(static_cast<double>(size));
    for (int64_t c = 0; c < size; ++c) {
      double known = 0, sum = 0;
      for (int64_t i = 0; i < size; ++i) known += static_cast<double>(k[i]) * decay * s[i * size + c];
      const double taken = take * (v[c] - known);
      for (int64_t i = 0; i < size; ++i) {
        const double now = decay * s[i * size + c] + k[i] * taken;
        s[i * size + c] = static_cast<float>(now);
        sum += q[i] * now;
      }
      out[c] = static_cast<float>(sum * scale);
    }
  }
};

}  // namespace

void ReferenceBackend::gate_output(const Tensor& gate, const Tensor& x) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t c = 0; c < x.columns(); ++c)
      put(x, 0, r, c, static_cast<float>(get(x, 0, r, c) * sigmoid(get(gate, 0, r, c))));
  }
}

void ReferenceBackend::add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    const double share = sigmoid(get(gate, 0, r, 0));
    for (int64_t c = 0; c < x.columns(); ++c)
      put(out, 0, r, c, static_cast<float>(get(out, 0, r, c) + share * get(x, 0, r, c)));
  }
}

void ReferenceBackend::convolve(const Tensor& x, const Tensor& weight, const Tensor& columns,
                                const Tensor& out) {
  const int64_t carried = weight.rows() - 1;
  // Of the carried rows and those of x, one after another.
  const auto input = [&](int64_t row, int64_t c) {
    return row < carried ? columns.ptr<float>(0, row)[c] : get(x, 0, row - carried, c);
  };
  for (int64_t c = 0; c < x.columns(); ++c) {
    for (int64_t r = 0; r < x.rows(); ++r) {
      double sum = 0;
      for (int64_t j = 0; j <= carried; ++j)
        sum += static_cast<double>(weight.ptr<float>(0, j)[c]) * input(r + j, c);
      out.ptr<float>(0, r)[c] = static_cast<float>(sum * sigmoid(sum));
    }
    for (int64_t r = 0; r < carried; ++r) columns.ptr<float>(0, r)[c] = input(x.rows() + r, c);
  }
}

void ReferenceBackend::unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t first = 0; first < heads * head_size; first += head_size) {
      const double scale = 1 / std::sqrt(squares_of(x, r, first, head_size) + eps);
      for (int64_t c = first; c < first + head_size; ++c)
        put(x, 0, r, c, static_cast<float>(get(x, 0, r, c) * scale));
    }
  }
}

void ReferenceBackend::delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates,
                                  const Tensor& memory, const Tensor& out) {
  const int64_t keys = heads.key_heads * heads.size;
  for (int64_t h = 0; h < heads.value_heads; ++h) {
    const int64_t key_head = h % heads.key_heads * heads.size;
    for (int64_t r = 0; r < qkv.rows(); ++r) {
      const float *row = qkv.ptr<float>(0, r), *input = rates.inputs.ptr<float>(0, r);
      const double g =
          rates.decay.ptr<float>()[h] * softplus(static_cast<double>(input[h]) + rates.step.ptr<float>()[h]);
      const DeltaRow one{row + key_head,
                         row + keys + key_head,
                         row + 2 * keys + h * heads.size,
                         std::exp(g),
                         sigmoid(input[heads.value_heads + h]),
                         heads.size};
      one.apply(memory.ptr<float>(h), out.ptr<float>(0, r) + h * heads.size);
    }
  }
}

void ReferenceBackend::gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                                        const Tensor& out) {
  const int64_t size = weight.columns();
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t first = 0; first < x.columns(); first += size) {
      const double mean = squares_of(x, r, first, size) / static_cast<double>(size);
      const double scale = 1 / std::sqrt(mean + eps);
      for (int64_t i = 0; i < size; ++i) {
        const double g = get(gate, 0, r, first + i);
        const double value = get(x, 0, r, first + i) * scale * get(weight, 0, 0, i) * g * sigmoid(g);
        put(out, 0, r, first + i, static_cast<float>(value));
      }
    }
  }
}

}  // namespace claa::reference
