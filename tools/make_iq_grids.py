#!/usr/bin/env python3
"""Makes src/gguf/iq_grids.cc: the grids of the IQ1, IQ2 and IQ3 block formats, as the `gguf` Python package has them.

    python3 -m venv .venv && .venv/bin/pip install gguf==0.19.0 numpy==2.4.6
    .venv/bin/python tools/make_iq_grids.py

The grids are tables of facts from ggml, whose notice is in NOTICE. A point of a grid is written as four hexadecimal
digits: eight values of two bits each, or four of four bits each, the first value in the lowest bits, as the number of the
value in the list beside the grid.
"""

import pathlib

import numpy as np
from gguf import quants

GRIDS = {
    "kGridIq2Xxs": quants.IQ2_XXS, "kGridIq2Xs": quants.IQ2_XS, "kGridIq2S": quants.IQ2_S,
    "kGridIq3Xxs": quants.IQ3_XXS, "kGridIq3S": quants.IQ3_S, "kGridIq1": quants.IQ1_S,
}
HEAD = '''// The grids of IQ1, IQ2 and IQ3. Tables of facts from ggml (https://github.com/ggml-org/ggml), MIT licence,
// Copyright (c) 2023-2026 The ggml authors; the notice is in NOTICE. Made by tools/make_iq_grids.py.
#include "gguf/iq_grids.h"

#include <string_view>

namespace claa::gguf {
namespace {

constexpr uint32_t hex_digit(char c) {
  return static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
}

// Four digits per point; each value is the number of one of `values`.
template <size_t kPoints, size_t kSize, size_t kValues>
constexpr Grid<kPoints, kSize> grid_of(std::string_view digits, const int8_t (&values)[kValues]) {
  constexpr size_t kBits = 16 / kSize;
  Grid<kPoints, kSize> grid{};
  for (size_t i = 0; i < kPoints; ++i) {
    uint32_t point = 0;
    for (size_t d = 0; d < 4; ++d) point = point << 4 | hex_digit(digits[4 * i + d]);
    for (size_t j = 0; j < kSize; ++j) grid[i][j] = values[point >> (kBits * j) & ((1u << kBits) - 1)];
  }
  return grid;
}

'''


def digits(points, values):
    size = points.shape[1]
    bits = 16 // size
    numbers = np.searchsorted(np.array(values), points)
    return "".join(f"{sum(int(n) << bits * i for i, n in enumerate(row)):04x}" for row in numbers)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    text = HEAD
    tail = ""
    for name, quant in GRIDS.items():
        quant.init_grid()
        points = quant.grid.reshape(quant.grid_shape)
        short = name[len("kGrid"):]
        text += f"constexpr int8_t kValues{short}[] = {{{', '.join(str(v) for v in quant.grid_map)}}};\n"
        hexadecimal = digits(points, quant.grid_map)
        lines = [hexadecimal[i:i + 104] for i in range(0, len(hexadecimal), 104)]
        text += f"constexpr std::string_view kDigits{short} =\n"
        text += "\n".join(f'    "{line}"' for line in lines) + ";\n\n"
        rows, size = quant.grid_shape
        tail += f"constinit const Grid<{rows}, {size}> {name} = grid_of<{rows}, {size}>(kDigits{short}, kValues{short});\n"
    (root / "src/gguf/iq_grids.cc").write_text(text + "}  // namespace\n\n" + tail + "\n}  // namespace claa::gguf\n")


if __name__ == "__main__":
    main()
