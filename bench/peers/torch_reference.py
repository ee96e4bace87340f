#!/usr/bin/env python3
"""Time to first token of full and claa prefill in PyTorch, as fast as it goes there: random weights of a published shape.

    python3 bench/peers/torch_reference.py --tokens 8192,16384 --keep 0.1,0.2,0.4 [--shape llama-3.1-8b] [--json FILE]

bf16, attention through cuDNN, the elementwise work between compiled by torch.compile, selection as the authors' code does it
(no work is left out that their code does): scores of the last 8 queries, average pooling of 7, every layer from the fifth on
keeps its own K and V by head, and after layer 15 the tokens that the maximum over four layers and all heads chooses live on.
CUDA events around a prefill, from ids to the next token; medians of 7 after 2 warm-ups. Needs torch with CUDA.
"""
import argparse
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ceilings import SHAPES, VOCABULARY, median_ms

WINDOW, KERNEL, BUFFERED, DEFERRED = 8, 7, 4, 4  # observers, pooling, layers aggregated, layers that keep all K and V
COMPILED = {"dynamic": True, "fullgraph": True}


@torch.compile(**COMPILED)
def rms_norm(x, weight):
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5) * weight).to(torch.bfloat16)


@torch.compile(**COMPILED)
def rotate(x, cos, sin):
    """x [tokens, heads, size]; cos, sin [tokens, size / 2] -> [heads, tokens, size]."""
    first, second = x.float().chunk(2, -1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((first * cos - second * sin, first * sin + second * cos), -1).to(torch.bfloat16).transpose(0, 1)


@torch.compile(**COMPILED)
def swiglu(gate_up):
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


@torch.compile(**COMPILED)
def window_scores(q, k):
    """q [heads, WINDOW, size], k [KV heads, tokens, size] -> [KV heads, tokens - WINDOW] (spec.md 2.2)."""
    kv_heads, tokens, size = k.shape
    logits = (q.reshape(kv_heads, -1, size) @ k.transpose(1, 2)).float() / math.sqrt(size)
    logits = logits.view(q.shape[0], WINDOW, tokens)
    future = torch.ones(WINDOW, WINDOW, dtype=torch.bool, device=q.device).triu(1)
    logits = torch.cat((logits[..., :-WINDOW], logits[..., -WINDOW:].masked_fill(future, -math.inf)), -1)
    summed = logits.softmax(-1)[..., :-WINDOW].sum(1)
    pooled = F.avg_pool1d(summed, KERNEL, stride=1, padding=KERNEL // 2)
    return pooled.view(kv_heads, -1, tokens - WINDOW).sum(1)


def chosen(scores, budget):
    """The best budget - WINDOW columns of every row and the window, ascending."""
    best = scores.topk(budget - WINDOW, dim=-1).indices.sort(-1).values
    last = torch.arange(scores.shape[-1], scores.shape[-1] + WINDOW, device=scores.device)
    return torch.cat((best, last.expand(*best.shape[:-1], WINDOW)), -1)


class Model:
    def __init__(self, shape):
        self.layers, hidden, ffn, self.heads, self.kv_heads, self.size = SHAPES[shape]
        vocabulary = VOCABULARY[shape]

        def matrix(outputs, inputs):
            return torch.randn(outputs, inputs, device="cuda", dtype=torch.bfloat16) / math.sqrt(inputs)

        self.embedding, self.output = matrix(vocabulary, hidden), matrix(vocabulary, hidden)
        self.norm = torch.ones(hidden, device="cuda")
        q_size, kv_size = self.heads * self.size, self.kv_heads * self.size
        self.weights = [(matrix(q_size + 2 * kv_size, hidden), matrix(hidden, q_size), matrix(2 * ffn, hidden),
                         matrix(hidden, ffn)) for _ in range(self.layers)]
        self.vocabulary = vocabulary

    def rope(self, positions):
        frequencies = 500000.0 ** (-torch.arange(0, self.size, 2, device="cuda", dtype=torch.float32) / self.size)
        angles = positions.float()[:, None] * frequencies
        return angles.cos(), angles.sin()

    def layer(self, index, hidden, cos, sin):
        """hidden in place; returns q, k, v [heads, tokens, size]."""
        qkv_weight, out_weight, gate_up, down = self.weights[index]
        qkv = F.linear(rms_norm(hidden, self.norm), qkv_weight)
        q, k, v = qkv.view(len(hidden), -1, self.size).split((self.heads, self.kv_heads, self.kv_heads), 1)
        q, k, v = rotate(q, cos, sin), rotate(k, cos, sin), v.transpose(0, 1)
        attended = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True, enable_gqa=True)[0]
        hidden += F.linear(attended.transpose(0, 1).reshape(len(hidden), -1), out_weight)
        hidden += F.linear(swiglu(F.linear(rms_norm(hidden, self.norm), gate_up)), down)
        return q, k, v

    def prefill(self, ids, keep=None):
        """The next token; keep: None for full, else claa's rate."""
        hidden = self.embedding[ids]
        cos, sin = self.rope(torch.arange(len(ids), device="cuda"))
        budget, select, buffered, cache = int(len(ids) * (keep or 1)), self.layers // 2 - 1, [], []
        for index in range(self.layers):
            q, k, v = self.layer(index, hidden, cos, sin)
            if keep is not None and index <= select and (index >= DEFERRED or index > select - BUFFERED):
                scores = window_scores(q[:, -WINDOW:], k)
                buffered = (buffered + [scores])[-BUFFERED:]
                if index >= DEFERRED:
                    rows = chosen(scores, budget)[..., None].expand(-1, -1, self.size)
                    k, v = k.gather(1, rows), v.gather(1, rows)
            cache.append((k.contiguous(), v.contiguous()))
            if keep is not None and index == select:
                live = chosen(torch.stack(buffered).amax((0, 1)), budget)
                hidden, cos, sin = hidden[live], cos[live], sin[live]
        return F.linear(rms_norm(hidden[-1:], self.norm), self.output).argmax()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="llama-3.1-8b", choices=SHAPES)
    parser.add_argument("--tokens", default="8192,16384")
    parser.add_argument("--keep", default="0.1,0.2,0.4")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warmups", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    model, rows = Model(options.shape), []
    with torch.inference_mode(), sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        for tokens in map(int, options.tokens.split(",")):
            ids = torch.randint(model.vocabulary, (tokens,), device="cuda")
            for keep in [None, *map(float, options.keep.split(","))]:
                torch.cuda.reset_peak_memory_stats()
                ms = median_ms(lambda: model.prefill(ids, keep), options.runs, options.warmups)
                rows.append({"peer": "torch", "shape": options.shape, "method": "full" if keep is None else "claa",
                             "keep": 1 if keep is None else keep, "tokens": tokens, "ttft_ms": round(ms, 2),
                             "peak_bytes": torch.cuda.max_memory_allocated(), "version": torch.__version__})
                print("torch {method} {keep}: {tokens} tokens in {ttft_ms} ms".format(**rows[-1]), flush=True)
                if options.json:
                    options.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
