// The integer kernels for AVX2; compiled with the flags of that instruction set (src/CMakeLists.txt).
#define CLAA_KERNELS kIntKernelsAvx2
#define CLAA_NAMESPACE int_avx2
#define CLAA_NAME "avx2"
#include "backend/cpu/int_kernels_impl.h"
