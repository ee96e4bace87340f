// Block formats of four bits or fewer that stand for the values of a short table: IQ4, floats of four bits,
// and numbers of base three.
#include <bit>

#include "gguf/blocks.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

namespace claa::gguf {
namespace {

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
// Twice the floats of one sign, two exponent and one fraction bits.
constexpr int8_t kE2m1Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Low nibbles of `count` bytes, then high ones.
void put_table(const int8_t (&values)[16], float scale, const uint8_t* in, int count, float* out) {
  for (int i = 0; i < count; ++i) {
    out[i] = scale * static_cast<float>(values[in[i] & 15]);
    out[i + count] = scale * static_cast<float>(values[in[i] >> 4]);
  }
}

// Half of 2^(e - 127), as the table is doubled. The two smallest are subnormal.
float half_of_e8m0(uint8_t e) {
  const uint32_t bits = e < 2 ? uint32_t{0x00200000} << e : static_cast<uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

// Half of an unsigned float with four exponent bits of bias 7 and three fraction bits; 0x7F is 0 by the
// format's practice.
float half_of_e4m3(uint8_t bits) {
  if (bits == 0x7F) return 0;
  const int exponent = bits >> 3 & 15;
  const auto fraction = static_cast<float>(bits & 7);
  if (exponent == 0) return fraction * 0x1p-10f;
  const float power = std::bit_cast<float>(static_cast<uint32_t>(exponent - 8 + 127) << 23);
  return (1 + fraction / 8) * power;
}

}  // namespace

void block_iq4_nl(const uint8_t* in, float* out) {
  put_table(kIq4Values, load_half(in), in + 2, 16, out);
}

// Eight scales of six bits: two high bits in a word, four low ones in nibbles; then 16 bytes for each 32
// elements.
void block_iq4_xs(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const auto high = load<uint16_t>(reinterpret_cast<const std::byte*>(in + 2));
  for (int group = 0; group < 8; ++group) {
    const int low = in[4 + group / 2] >> (4 * (group % 2)) & 15;
    const int scale = low | (high >> (2 * group) & 3) << 4;
    put_table(kIq4Values, d * static_cast<float>(scale - 32), in + 8 + 16 * group, 16, out + 32 * group);
  }
}

void block_mxfp4(const uint8_t* in, float* out) {
  put_table(kE2m1Values, half_of_e8m0(in[0]), in + 1, 16, out);
}

// Four scales, of 16 elements each. A tensor's own scale is another tensor (see TensorScales).
void block_nvfp4(const uint8_t* in, float* out) {
  for (int group = 0; group < 4; ++group)
    put_table(kE2m1Values, half_of_e4m3(in[group]), in + 4 + 8 * group, 8, out + 16 * group);
}

// Five numbers of base three in a byte, as a fraction of 256: multiplied by 3^n the byte keeps, modulo 256,
// what follows digit n, and three times that has the digit above the byte. 32 bytes of five, 16 of five, then
// 4 of four.
void block_tq1_0(const uint8_t* in, float* out) {
  const float d = load_half(in + 52);
  const auto put = [&](int first, int bytes, int digits) {
    uint32_t power = 1;
    for (int n = 0; n < digits; ++n, power *= 3) {
      for (int i = 0; i < bytes; ++i) {
        const uint32_t rest = in[first + i] * power & 255;
        *out++ = d * static_cast<float>(static_cast<int>(rest * 3 >> 8) - 1);
      }
    }
  };
  put(0, 32, 5);
  put(32, 16, 5);
  put(48, 4, 4);
}

// Two bits each: in each half, bits 2n and 2n+1 of 32 bytes are elements 32n..32n+31.
void block_tq2_0(const uint8_t* in, float* out) {
  const float d = load_half(in + 64);
  for (int half = 0; half < 2; ++half) {
    for (int shift = 0; shift < 8; shift += 2) {
      for (int i = 0; i < 32; ++i) *out++ = d * static_cast<float>((in[32 * half + i] >> shift & 3) - 1);
    }
  }
}

}  // namespace claa::gguf
