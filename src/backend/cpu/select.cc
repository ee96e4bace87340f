// Which kernels a CPU runs.
#include <cpuid.h>

#include "backend/cpu/cpu_backend.h"

namespace claa::cpu {

const Kernels& select_kernels(const std::string& cap, DType dtype) {
  if (!cap.empty() && cap != "avx2" && cap != "avx512" && cap != kEmulatedBf16) {
    fail(ErrorCode::kInvalidArgument,
         "unknown instruction set cap '{}'; choose avx2, avx512 or, for tests, {}", cap, kEmulatedBf16);
  }
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    fail(ErrorCode::kUnsupported,
         "this CPU has no AVX2 and FMA; the cpu backend needs both (try --device reference)");
  }
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (cap == kEmulatedBf16 && dtype == DType::kBF16) return kKernelsAvx2Bf16;
  if (cap == kEmulatedBf16 || cap == "avx2" || !avx512) return kKernelsAvx2;
  // The bf16 kernels take every unit for a pair of bf16 values: f32 has kernels of its own.
  const bool bf16 = dtype == DType::kBF16 && cap.empty() && __builtin_cpu_supports("avx512bf16");
  return bf16 ? kKernelsAvx512Bf16 : kKernelsAvx512;
}

bool bf16_pays(const std::string& cap) {
  if (cap == kEmulatedBf16 || !select_kernels(cap, DType::kBF16).bf16_dot) return false;
  return onednn_has_amx() || __builtin_cpu_is("amd");
}

namespace {

// g++ 12 and clang 14 do not know the name of AVX-VNNI at run time: leaf 7, part 1, bit 4 of EAX. Its vectors
// are those of AVX2, which the operating system is asked for with that.
bool has_avx_vnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || eax < 1) return false;
  __cpuid_count(7, 1, eax, ebx, ecx, edx);
  return (eax & (1u << 4)) != 0 && __builtin_cpu_supports("avx2");
}

}  // namespace

const IntKernels& select_int_kernels(const std::string& cap) {
  return cap.empty() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")
             ? kIntKernelsAvx512Vnni
             : kIntKernelsAvx2;
}

const BlockKernels& select_block_kernels(const std::string& cap) {
  if (!cap.empty()) return kBlockKernelsAvx2;
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
    return kBlockKernelsAvx512Vnni;
  return has_avx_vnni() ? kBlockKernelsAvxVnni : kBlockKernelsAvx2;
}

}  // namespace claa::cpu
