// The kernels of pairs of bf16 for AVX2, whose dot products are emulated: they let every CPU run, in tests,
// the code that a CPU with such an instruction runs. Compiled with the flags of AVX2 (src/CMakeLists.txt).
#define CLAA_KERNELS kKernelsAvx2Bf16
#define CLAA_NAMESPACE avx2bf16
#define CLAA_NAME "avx2bf16"
#define CLAA_BF16_DOT 1
#include "backend/cpu/kernels_impl.h"
