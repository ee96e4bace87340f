#!/usr/bin/env python3
"""Makes tests/data/gguf/quants.gguf: for every block format a tensor of random blocks and its f32 values.

The file is written, and the values are computed, by the `gguf` Python package, so it tests our dequantisation against an
independent implementation and our reader against the writer that most model files come from. Besides it holds one
metadata pair of every type, and for each format with a table of values the checksum of what 512 blocks, which the test
makes again, have as values: enough for every entry of every table. Deterministic: the same versions give the same bytes.

    python3 -m venv .venv && .venv/bin/pip install gguf==0.19.0 numpy==2.4.6
    .venv/bin/python tools/make_quant_goldens.py
"""

import argparse
import pathlib
import zlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, GGUFValueType as Value, GGUFWriter
from gguf.quants import dequantize

# Positions of the f16 scales in a block; random bits there could be infinity or NaN, whose payloads numpy may change.
SCALES = {
    Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
# +0, -0, smallest and largest subnormal, smallest normal, 1, largest, and their negatives
EXTREMES = np.array([0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0x7BFF, 0x8001, 0x83FF, 0x8400, 0xBC00, 0xFBFF],
                    dtype=np.uint16)
ROWS = 4
# The formats with tables of values, with the positions of their scales and of the byte that holds the scale's exponent.
TABLES = {
    Type.IQ1_S: [0], Type.IQ1_M: [], Type.IQ2_XXS: [0], Type.IQ2_XS: [0], Type.IQ2_S: [0], Type.IQ3_XXS: [0],
    Type.IQ3_S: [0], Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.MXFP4: [], Type.NVFP4: [], Type.TQ1_0: [52], Type.TQ2_0: [64],
}
EXPONENT_OF_IQ1_M = 55
CHECKED_BLOCKS = 512


def finite_halves(rng, count):
    bits = rng.integers(0, 1 << 16, count, dtype=np.uint16)
    return np.where((bits & 0x7C00) == 0x7C00, bits & 0xBFFF, bits).astype(np.uint16)


def random_blocks(rng, kind):
    """ROWS rows of blocks: random bits, then rows of all-zero and all-one numbers, under random and extreme scales."""
    elements, size = GGML_QUANT_SIZES[kind]
    columns = 3 if elements == 256 else 6
    blocks = rng.integers(0, 256, (ROWS * columns, size), dtype=np.uint8)
    blocks[1, :] = 0x00
    blocks[2, :] = 0xFF
    blocks[3, :] = 0x0F
    blocks[4, :] = 0xAA
    if kind == Type.IQ1_M:
        blocks[:, EXPONENT_OF_IQ1_M] &= 0xBF
    for n, at in enumerate(SCALES[kind] if kind in SCALES else TABLES[kind]):
        scales = finite_halves(rng, len(blocks))
        scales[-6:] = EXTREMES[6 * n:6 * n + 6]
        scales[1:7] = np.roll(EXTREMES[5:11], n)
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(ROWS, columns * size)


def checked_blocks(kind):
    """CHECKED_BLOCKS blocks of a sequence that tests/gguf/quants_test.cc makes too, with finite scales."""
    size = GGML_QUANT_SIZES[kind][1]
    state, made = int(kind), bytearray()
    for _ in range(CHECKED_BLOCKS * size):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        made.append(state >> 24)
    blocks = np.frombuffer(bytes(made), dtype=np.uint8).reshape(CHECKED_BLOCKS, size).copy()
    for at in [EXPONENT_OF_IQ1_M] if kind == Type.IQ1_M else [scale + 1 for scale in TABLES[kind]]:
        blocks[:, at] &= 0xBF
    return blocks


def add_tables(writer, rng):
    for kind in TABLES:
        blocks = random_blocks(rng, kind)
        writer.add_tensor(f"{kind.name}.blocks", blocks, raw_dtype=kind)
        with np.errstate(over="ignore"):  # the largest scale of MXFP4
            writer.add_tensor(f"{kind.name}.values", dequantize(blocks, kind))
            values = np.ascontiguousarray(dequantize(checked_blocks(kind), kind), dtype=np.float32)
        writer.add_uint32(f"test.crc.{kind.name}", zlib.crc32(values.tobytes()))


def add_metadata(writer):
    writer.add_string("general.name", "quant goldens: häßlich, 日本")
    writer.add_uint8("test.u8", 255)
    writer.add_int8("test.i8", -128)
    writer.add_uint16("test.u16", 65535)
    writer.add_int16("test.i16", -32768)
    writer.add_uint32("test.u32", 4294967295)
    writer.add_int32("test.i32", -2147483648)
    writer.add_uint64("test.u64", 18446744073709551615)
    writer.add_int64("test.i64", -9223372036854775808)
    writer.add_float32("test.f32", 0.1)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.true", True)
    writer.add_bool("test.false", False)
    writer.add_key_value("test.strings", ["", "a", "häß", "\u0000nul"], Value.ARRAY, Value.STRING)
    writer.add_key_value("test.ints", [1, -2, 3], Value.ARRAY, Value.INT32)
    writer.add_key_value("test.floats", [0.5, -1.25], Value.ARRAY, Value.FLOAT32)
    writer.add_key_value("test.bools", [True, False, True], Value.ARRAY, Value.BOOL)
    writer.add_key_value("test.bytes", [0, 128, 255], Value.ARRAY, Value.UINT8)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default=root / "tests/data/gguf/quants.gguf")
    output = pathlib.Path(parser.parse_args().output)
    output.parent.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(20260216)
    writer = GGUFWriter(output, "test")
    add_metadata(writer)
    for kind in SCALES:
        blocks = random_blocks(rng, kind)
        writer.add_tensor(f"{kind.name}.blocks", blocks, raw_dtype=kind)
        writer.add_tensor(f"{kind.name}.values", dequantize(blocks, kind))
    halves = np.concatenate([finite_halves(rng, 500), EXTREMES]).reshape(ROWS, -1)
    writer.add_tensor("F16.blocks", halves.view(np.float16))
    writer.add_tensor("F16.values", halves.view(np.float16).astype(np.float32))
    brains = finite_halves(rng, 512).reshape(ROWS, -1).view(np.uint8)
    writer.add_tensor("BF16.blocks", brains, raw_dtype=Type.BF16)
    writer.add_tensor("BF16.values", dequantize(brains, Type.BF16))
    add_tables(writer, rng)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
