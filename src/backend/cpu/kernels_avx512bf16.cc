// The kernels for AVX-512-BF16; compiled with the flags of that instruction set (src/CMakeLists.txt).
#define CLAA_KERNELS kKernelsAvx512Bf16
#define CLAA_NAMESPACE avx512bf16
#define CLAA_NAME "avx512bf16"
#define CLAA_BF16_DOT 1
#include "backend/cpu/kernels_impl.h"
