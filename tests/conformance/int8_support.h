// Shared by the tests of dtype int8 of the cpu: the backend at every instruction set, and K and V with
// queries.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "conformance/backend_support.h"

namespace claa::test {

inline std::unique_ptr<Backend> make_int8(const std::string& isa, int threads = 2) {
  BackendOptions options{"cpu", DType::kBF16, threads, isa};
  options.int8 = true;
  return make_backend(options);
}

// The parameter is the cap on the instruction set.
class Int8Test : public testing::TestWithParam<std::string> {
 protected:
  Int8Test() : backend(make_int8(GetParam())), random(4) {}
  std::unique_ptr<Backend> backend;
  Random random;
};

// Queries, K, V and the output of attention.
struct AttentionCase {
  AttentionCase(int64_t kv_heads, int64_t group, int64_t head_size, int64_t length, int64_t rows)
      : q(DType::kBF16, rows, kv_heads * group * head_size),
        k(DType::kBF16, kv_heads, length, head_size),
        v(DType::kBF16, kv_heads, length, head_size),
        view{k.tensor, v.tensor, length},
        out(DType::kBF16, rows, kv_heads * group * head_size) {}
  void run(Backend& on, std::span<const int32_t> visible) {
    std::unique_ptr<PackedKv> packed;
    on.pack_kv(view, rule, packed);
    on.attention(q.tensor, view, packed.get(), visible, rule, out.tensor);
  }
  Array q, k, v;
  KvView view;
  Array out;
  SoftmaxRule rule;
};

inline std::vector<std::string> int8_isas() {
  std::vector<std::string> listed = {"", "avx512", "avx2"};
  std::erase_if(listed, [](const std::string& isa) {
    return !is_a_device_of_its_own({"cpu", DType::kBF16, 1, isa});
  });
  return listed;
}

#define CLAA_EVERY_ISA(Suite)                                                \
  INSTANTIATE_TEST_SUITE_P(Isa, Suite, testing::ValuesIn(test::int8_isas()), \
                           [](const auto& info) { return info.param.empty() ? "best" : info.param; })

}  // namespace claa::test
