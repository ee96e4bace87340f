// The kernels for AVX2; compiled with the flags of that instruction set (src/CMakeLists.txt).
#define CLAA_KERNELS kKernelsAvx2
#define CLAA_NAMESPACE avx2
#define CLAA_NAME "avx2"
#define CLAA_BF16_DOT 0
#include "backend/cpu/kernels_impl.h"
