// The kernels of blocks for AVX-VNNI, which CPUs without AVX-512 have; compiled with the flags of that
// instruction set (src/CMakeLists.txt).
#define CLAA_KERNELS kBlockKernelsAvxVnni
#define CLAA_NAMESPACE block_avxvnni
#define CLAA_NAME "avxvnni"
#define CLAA_DOT8(a, b) _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), a, b)
#include "backend/cpu/block_kernels_impl.h"
