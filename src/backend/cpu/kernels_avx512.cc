// The kernels for AVX-512; compiled with the flags of that instruction set (src/CMakeLists.txt).
#define CLAA_KERNELS kKernelsAvx512
#define CLAA_NAMESPACE avx512
#define CLAA_NAME "avx512"
#define CLAA_BF16_DOT 0
#include "backend/cpu/kernels_impl.h"
