// One block of each format to f32, written from the layout of the format. The f32 operations and their order
// are part of the format's practice (d * q, then + m or - m, each rounded), so no multiply may be fused into
// an add: the compiler must not contract, which ISO mode of GCC guarantees and clang is told in each file.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/half.h"
#include "gguf/byte_reader.h"

namespace claa::gguf {

inline float load_half(const uint8_t* from) {
  return half_to_float(load<uint16_t>(reinterpret_cast<const std::byte*>(from)));
}

// blocks_k.cc: 256 elements
void block_q2_k(const uint8_t* in, float* out);
void block_q3_k(const uint8_t* in, float* out);
void block_q4_k(const uint8_t* in, float* out);
void block_q5_k(const uint8_t* in, float* out);
void block_q6_k(const uint8_t* in, float* out);

// blocks_iq.cc: 256 elements
void block_iq1_s(const uint8_t* in, float* out);
void block_iq1_m(const uint8_t* in, float* out);
void block_iq2_xxs(const uint8_t* in, float* out);
void block_iq2_xs(const uint8_t* in, float* out);
void block_iq2_s(const uint8_t* in, float* out);
void block_iq3_xxs(const uint8_t* in, float* out);
void block_iq3_s(const uint8_t* in, float* out);

// blocks_tables.cc: 32 elements, 256, 32, 64, 256 and 256
void block_iq4_nl(const uint8_t* in, float* out);
void block_iq4_xs(const uint8_t* in, float* out);
void block_mxfp4(const uint8_t* in, float* out);
void block_nvfp4(const uint8_t* in, float* out);
void block_tq1_0(const uint8_t* in, float* out);
void block_tq2_0(const uint8_t* in, float* out);

}  // namespace claa::gguf
