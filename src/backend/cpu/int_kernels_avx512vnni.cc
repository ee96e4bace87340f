// The integer kernels for AVX-512-VNNI; compiled with the flags of that instruction set (src/CMakeLists.txt).
#define CLAA_KERNELS kIntKernelsAvx512Vnni
#define CLAA_NAMESPACE int_avx512vnni
#define CLAA_NAME "avx512vnni"
#include "backend/cpu/int_kernels_impl.h"
