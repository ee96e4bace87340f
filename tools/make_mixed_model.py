#!/usr/bin/env python3
"""Writes a GGUF model of random weights in the shape of a published one and in the mix of formats of a Q4_K_M file.

What a file of that kind costs in memory, loading, prefill and decoding does not depend on its values, so that no 5 GB
need be fetched: fewer layers than the model has are enough, as all are alike. The mix is llama.cpp's: Q4_K, but Q6_K for
the output, and for the values and down projections of half of the layers.

    python3 tools/make_mixed_model.py --layers 8 build/mixed-8b.gguf
    build/cpu/claa bench -m build/mixed-8b.gguf -p 512,2048 --methods full -t 1 --weights resident --dtype int8
"""
import argparse
import dataclasses
import pathlib
import sys

import numpy as np
from gguf import GGUFWriter
from gguf import GGMLQuantizationType as Type

@dataclasses.dataclass
class Shape:
    architecture: str
    hidden: int
    ffn: int  # of an expert where there are experts
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    rope_base: float
    tied: bool = False
    experts: int = 0
    experts_used: int = 0


SHAPES = {
    "llama-3.1-8b": Shape("llama", 4096, 14336, 32, 8, 128, 128256, 5e5),
    "llama-3.2-1b": Shape("llama", 2048, 8192, 32, 8, 64, 128256, 5e5),
    "qwen3-4b": Shape("qwen3", 2560, 9728, 32, 8, 128, 151936, 1e6, tied=True),
    "qwen3-30b-a3b": Shape("qwen3moe", 2048, 768, 32, 4, 128, 151936, 1e6, experts=128, experts_used=8),
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


def write_settings(writer, shape, name, layers):
    writer.add_name(f"{name} of random weights, {layers} layers")
    writer.add_block_count(layers)
    writer.add_context_length(131072)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_vocab_size(shape.vocabulary)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
        writer.add_expert_feed_forward_length(shape.ffn)


def write_tokenizer(writer, vocabulary):
    """GPT-2's alphabet, so that every text has tokens, one merge, without which no file is complete, and names for the rest."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    tokens = [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]
    tokens += ["th", *(f"<{index}>" for index in range(257, vocabulary))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_merges(["t h"])


class Tensors:
    def __init__(self, writer):
        self.writer = writer
        self.rng = np.random.default_rng(1)

    def add(self, name, make, rows, inputs):
        data, kind = make(self.rng, rows, inputs)
        self.writer.add_tensor(name, data, raw_dtype=kind)

    def add_experts(self, name, make, experts, rows, inputs):
        data, kind = make(self.rng, experts * rows, inputs)
        self.writer.add_tensor(name, data.reshape(experts, rows, -1), raw_dtype=kind)

    def add_norm(self, name, size):
        self.writer.add_tensor(name, np.ones(size, dtype=np.float32))

    def add_router(self, name, experts, hidden):
        self.writer.add_tensor(name, self.rng.normal(0, hidden**-0.5, (experts, hidden)).astype(np.float32))


def write_layer(tensors, shape, layer):
    block = f"blk.{layer}."
    more = q6_k if layer % 2 == 0 else q4_k
    q_size, kv_size = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    tensors.add_norm(block + "attn_norm.weight", shape.hidden)
    tensors.add(block + "attn_q.weight", q4_k, q_size, shape.hidden)
    tensors.add(block + "attn_k.weight", q4_k, kv_size, shape.hidden)
    tensors.add(block + "attn_v.weight", more, kv_size, shape.hidden)
    if shape.architecture != "llama":
        tensors.add_norm(block + "attn_q_norm.weight", shape.head_size)
        tensors.add_norm(block + "attn_k_norm.weight", shape.head_size)
    tensors.add(block + "attn_output.weight", q4_k, shape.hidden, q_size)
    tensors.add_norm(block + "ffn_norm.weight", shape.hidden)
    if shape.experts:
        tensors.add_router(block + "ffn_gate_inp.weight", shape.experts, shape.hidden)
        tensors.add_experts(block + "ffn_gate_exps.weight", q4_k, shape.experts, shape.ffn, shape.hidden)
        tensors.add_experts(block + "ffn_up_exps.weight", q4_k, shape.experts, shape.ffn, shape.hidden)
        tensors.add_experts(block + "ffn_down_exps.weight", more, shape.experts, shape.hidden, shape.ffn)
    else:
        tensors.add(block + "ffn_gate.weight", q4_k, shape.ffn, shape.hidden)
        tensors.add(block + "ffn_up.weight", q4_k, shape.ffn, shape.hidden)
        tensors.add(block + "ffn_down.weight", more, shape.hidden, shape.ffn)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="llama-3.1-8b")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("path", type=pathlib.Path)
    options = parser.parse_args()
    shape = SHAPES[options.shape]
    writer = GGUFWriter(options.path, shape.architecture)
    write_settings(writer, shape, options.shape, options.layers)
    write_tokenizer(writer, shape.vocabulary)
    tensors = Tensors(writer)
    # A matrix that also gives the logits has the format of an output.
    tensors.add("token_embd.weight", q6_k if shape.tied else q4_k, shape.vocabulary, shape.hidden)
    if not shape.tied:
        tensors.add("output.weight", q6_k, shape.vocabulary, shape.hidden)
    tensors.add_norm("output_norm.weight", shape.hidden)
    for layer in range(options.layers):
        write_layer(tensors, shape, layer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{options.path}: {options.path.stat().st_size / 1e9:.2f} GB", file=sys.stderr)


if __name__ == "__main__":
    main()
