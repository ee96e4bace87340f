// The grids of the IQ1, IQ2 and IQ3 block formats: what four or eight neighbouring weights may be together,
// before their signs and scales.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace claa::gguf {

template <size_t kPoints, size_t kSize>
using Grid = std::array<std::array<int8_t, kSize>, kPoints>;

extern const Grid<256, 8> kGridIq2Xxs;
extern const Grid<512, 8> kGridIq2Xs;
extern const Grid<1024, 8> kGridIq2S;
extern const Grid<256, 4> kGridIq3Xxs;
extern const Grid<512, 4> kGridIq3S;
extern const Grid<2048, 8> kGridIq1;  // of IQ1_S and IQ1_M

}  // namespace claa::gguf
