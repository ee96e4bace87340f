#!/usr/bin/env python3
"""Writes a GGUF model of random weights in the shape of a published one and in the mix of formats of a Q4_K_M file.

What a file of that kind costs in memory, loading, prefill and decoding does not depend on its values, so that no 5 GB
need be fetched: fewer layers than the model has are enough, as all are alike. The mix is llama.cpp's: Q4_K, but Q6_K for
the output, and for the values and down projections of half of the layers.

    python3 tools/make_mixed_model.py --layers 8 build/mixed-8b.gguf
    build/cpu/claa bench -m build/mixed-8b.gguf -p 512,2048 --methods full -t 1 --weights resident --dtype int8
"""
import argparse
import pathlib
import sys

import numpy as np
from gguf import GGUFWriter
from gguf import GGMLQuantizationType as Type

SHAPES = {  # hidden, ffn, heads, KV heads, head size, vocabulary, RoPE base
    "llama-3.1-8b": (4096, 14336, 32, 8, 128, 128256, 500000.0),
    "llama-3.2-1b": (2048, 8192, 32, 8, 64, 128256, 500000.0),
}


def halves(value, count):
    return np.full((count, 1), value, dtype=np.float16).view(np.uint8).reshape(count, 2)


def q4_k(rng, rows, inputs):
    """Numbers of four bits around 7.5, so that the minimum makes their mean zero; the spread keeps activations in size."""
    blocks = rows * inputs // 256
    step = 1 / (4.6 * np.sqrt(inputs))
    scales = np.zeros((blocks, 12), dtype=np.uint8)  # 32 for every scale and 60 for every minimum, in six bits
    scales[:, 0:4] = 32 | 0x80
    scales[:, 4:8] = 60 | 0xC0
    scales[:, 8:12] = 0 | (60 & 15) << 4
    numbers = rng.integers(0, 256, (blocks, 128), dtype=np.uint8)
    packed = np.concatenate([halves(step / 32, blocks), halves(step * 7.5 / 60, blocks), scales, numbers], axis=1)
    return packed.reshape(rows, -1), Type.Q4_K


def q6_k(rng, rows, inputs):
    blocks = rows * inputs // 256
    step = 1 / (18.5 * np.sqrt(inputs))
    packed = np.concatenate([rng.integers(0, 256, (blocks, 192), dtype=np.uint8), np.full((blocks, 16), 32, dtype=np.uint8),
                             halves(step / 32, blocks)], axis=1)
    return packed.reshape(rows, -1), Type.Q6_K


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="llama-3.1-8b")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("path", type=pathlib.Path)
    options = parser.parse_args()
    hidden, ffn, heads, kv_heads, head_size, vocabulary, base = SHAPES[options.shape]
    rng = np.random.default_rng(1)
    writer = GGUFWriter(options.path, "llama")
    writer.add_name(f"{options.shape} of random weights, {options.layers} layers")
    writer.add_block_count(options.layers)
    writer.add_context_length(131072)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(base)
    writer.add_rope_dimension_count(head_size)
    writer.add_vocab_size(vocabulary)
    # GPT-2's alphabet, so that every text has tokens, one merge, without which no file is complete, and names for the rest.
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    tokens = [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]
    tokens += ["th", *(f"<{index}>" for index in range(257, vocabulary))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_merges(["t h"])

    def add(name, make, rows, inputs):
        data, kind = make(rng, rows, inputs)
        writer.add_tensor(name, data, raw_dtype=kind)

    def add_norm(name):
        writer.add_tensor(name, np.ones(hidden, dtype=np.float32))

    add("token_embd.weight", q4_k, vocabulary, hidden)
    add("output.weight", q6_k, vocabulary, hidden)
    add_norm("output_norm.weight")
    for layer in range(options.layers):
        block = f"blk.{layer}."
        more = q6_k if layer % 2 == 0 else q4_k
        add_norm(block + "attn_norm.weight")
        add(block + "attn_q.weight", q4_k, heads * head_size, hidden)
        add(block + "attn_k.weight", q4_k, kv_heads * head_size, hidden)
        add(block + "attn_v.weight", more, kv_heads * head_size, hidden)
        add(block + "attn_output.weight", q4_k, hidden, heads * head_size)
        add_norm(block + "ffn_norm.weight")
        add(block + "ffn_gate.weight", q4_k, ffn, hidden)
        add(block + "ffn_up.weight", q4_k, ffn, hidden)
        add(block + "ffn_down.weight", more, hidden, ffn)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{options.path}: {options.path.stat().st_size / 1e9:.2f} GB", file=sys.stderr)


if __name__ == "__main__":
    main()
