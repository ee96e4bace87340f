#!/usr/bin/env python3
"""Time to first token of Hugging Face transformers: LlamaForCausalLM of Llama 3.1 8B's shape with random bf16 weights.

    python3 bench/peers/hf_prefill.py --tokens 8192,16384 [--json FILE]

sdpa attention, a cache, logits of the last position alone; CUDA events, medians of 7 after 2 warm-ups. Needs torch with CUDA
and transformers.
"""
import argparse
import json
import pathlib

import torch
import transformers

from ceilings import SHAPES, VOCABULARY, median_ms


def make_model(shape):
    layers, hidden, ffn, heads, kv_heads, size = SHAPES[shape]
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY[shape], hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=size, max_position_embeddings=131072,
        rope_theta=500000.0, tie_word_embeddings=False, attn_implementation="sdpa")
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = transformers.LlamaForCausalLM(config)
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="llama-3.1-8b", choices=[s for s in SHAPES if s.startswith("llama")])
    parser.add_argument("--tokens", default="8192,16384")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warmups", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    model, rows = make_model(options.shape), []
    with torch.inference_mode():
        for tokens in map(int, options.tokens.split(",")):
            ids = torch.randint(VOCABULARY[options.shape], (1, tokens), device="cuda")
            ms = median_ms(lambda: model(ids, use_cache=True, logits_to_keep=1).logits.argmax(), options.runs, options.warmups)
            rows.append({"peer": "transformers", "shape": options.shape, "method": "full", "keep": 1, "tokens": tokens,
                         "ttft_ms": round(ms, 2), "peak_bytes": torch.cuda.max_memory_allocated(),
                         "version": f"transformers {transformers.__version__}, torch {torch.__version__}"})
            print("transformers: {tokens} tokens in {ttft_ms} ms".format(**rows[-1]), flush=True)
            if options.json:
                options.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
