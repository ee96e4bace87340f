#!/usr/bin/env python3
"""The time that a GPU's matrix products and attention alone take for a model shape: what a prefill cannot go below.

    python3 bench/peers/ceilings.py --tokens 8192,16384 [--shape llama-3.1-8b] [--json]

Bare bf16 products (torch, cuBLASLt) of every linear layer, then causal attention (cuDNN) of every layer, timed with CUDA
events; medians of 7 after 2 warm-ups (--runs, --warmups). The last layer counts like the others. Needs torch with CUDA.
"""
import argparse
import json
import statistics

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# layers, hidden, ffn, heads, KV heads, head size
SHAPES = {
    "llama-3.1-8b": (32, 4096, 14336, 32, 8, 128),
    "llama-3.2-3b": (28, 3072, 8192, 24, 8, 128),
    "llama-3.2-1b": (16, 2048, 8192, 32, 8, 64),
    "mistral-nemo-12b": (40, 5120, 14336, 32, 8, 128),
    "qwen2.5-7b": (28, 3584, 18944, 28, 4, 128),
}
VOCABULARY = {"llama-3.1-8b": 128256, "llama-3.2-3b": 128256, "llama-3.2-1b": 128256, "mistral-nemo-12b": 131072,
              "qwen2.5-7b": 152064}


def median_ms(work, runs=7, warmups=2):
    for _ in range(warmups):
        work()
    times = []
    for _ in range(runs):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def linear_ms(runs, tokens, layers, hidden, ffn, heads, kv_heads, size):
    """All layers' products one after another, as a prefill runs them: clocks under load are what counts."""
    products = [(heads * size, hidden), (2 * kv_heads * size, hidden), (hidden, heads * size), (2 * ffn, hidden), (hidden, ffn)]
    pairs = [(torch.randn(tokens, inputs, device="cuda", dtype=torch.bfloat16),
              torch.randn(outputs, inputs, device="cuda", dtype=torch.bfloat16)) for outputs, inputs in products]

    def work():
        for _ in range(layers):
            for x, weight in pairs:
                torch.nn.functional.linear(x, weight)

    return median_ms(work, *runs)


def attention_ms(runs, tokens, layers, heads, kv_heads, size):
    q = torch.randn(1, heads, tokens, size, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.randn(1, kv_heads, tokens, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def work():
        for _ in range(layers):
            torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return median_ms(work, *runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="llama-3.1-8b", choices=SHAPES)
    parser.add_argument("--tokens", default="8192,16384,32768")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warmups", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    layers, hidden, ffn, heads, kv_heads, size = SHAPES[options.shape]
    runs, rows = (options.runs, options.warmups), []
    for tokens in map(int, options.tokens.split(",")):
        linear = linear_ms(runs, tokens, layers, hidden, ffn, heads, kv_heads, size)
        attention = attention_ms(runs, tokens, layers, heads, kv_heads, size)
        rows.append({"shape": options.shape, "tokens": tokens, "linear_ms": round(linear, 2),
                     "attention_ms": round(attention, 2), "sum_ms": round(linear + attention, 2)})
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{options.shape}, {torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| tokens | linear ms | attention ms | sum ms |\n|---:|---:|---:|---:|")
    for row in rows:
        print(f"| {row['tokens']} | {row['linear_ms']} | {row['attention_ms']} | {row['sum_ms']} |")


if __name__ == "__main__":
    main()
