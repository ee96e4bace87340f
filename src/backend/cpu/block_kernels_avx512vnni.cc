// The kernels of blocks for AVX-512 VNNI, in vectors of 256 bits; compiled with the flags of that instruction
// set (src/CMakeLists.txt).
#define CLAA_KERNELS kBlockKernelsAvx512Vnni
#define CLAA_NAMESPACE block_avx512vnni
#define CLAA_NAME "avx512vnni"
#define CLAA_DOT8(a, b) _mm256_dpbusd_epi32(_mm256_setzero_si256(), a, b)
#include "backend/cpu/block_kernels_impl.h"
