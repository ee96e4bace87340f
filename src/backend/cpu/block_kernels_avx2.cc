// The kernels of blocks for AVX2; compiled with the flags of that instruction set (src/CMakeLists.txt).
#define CLAA_KERNELS kBlockKernelsAvx2
#define CLAA_NAMESPACE block_avx2
#define CLAA_NAME "avx2"
#define CLAA_DOT8(a, b) _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1))
#include "backend/cpu/block_kernels_impl.h"
