#!/usr/bin/env python3
"""Makes the tiny random models of tests/data/tiny and their goldens, from transformers.

    python3 -m venv /tmp/tiny
    /tmp/tiny/bin/pip install torch==2.4.1 transformers==4.46.3 gguf==0.10.0 sentencepiece==0.2.0 'numpy<2'
    /tmp/tiny/bin/python tools/make_tiny_model.py tests/data/tiny

One model per style: Llama 3.1 (RoPE scaling as a table of divisors, groups of 4, head size 128, a separate output),
Mistral (groups of 2, head size 64, theta 1e6) and Qwen2 (bias, rotation by halves, tied output). Weights are multiples
of 2^-k in a few bits, so that the file can hold them as F16 without a difference. Each model gets a GGUF with a minimal
tokenizer, and a JSON with input ids, the logits of the last token, and the same for a subset of the tokens at their
original positions, which is what remains after a drop.
"""

import json
import math
import pathlib
import sys

import gguf
import numpy as np
import torch
from transformers import (AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config)

VOCABULARY = 199
TOKENS = 61
SUBSET = [0, 1, 5, 6, 17, 18, 19, 33, 40, 41, 55, 58, 60]

LLAMA3_SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 32}


def styles():
    common = dict(vocab_size=VOCABULARY, max_position_embeddings=256, use_cache=False)
    yield "llama3", "llama", LlamaConfig(hidden_size=96, intermediate_size=96, num_hidden_layers=2,
                                         num_attention_heads=4, num_key_value_heads=1, head_dim=128,
                                         rope_theta=500000.0, rope_scaling=dict(LLAMA3_SCALING), rms_norm_eps=1e-5,
                                         tie_word_embeddings=False, **common)
    yield "mistral", "llama", MistralConfig(hidden_size=96, intermediate_size=96, num_hidden_layers=3,
                                            num_attention_heads=4, num_key_value_heads=2, head_dim=64, rope_theta=1e6,
                                            rms_norm_eps=1e-5, tie_word_embeddings=False, sliding_window=None, **common)
    yield "qwen2", "qwen2", Qwen2Config(hidden_size=96, intermediate_size=96, num_hidden_layers=3,
                                        num_attention_heads=4, num_key_value_heads=2, rope_theta=1e6,
                                        rms_norm_eps=1e-6, tie_word_embeddings=True, **common)


def randomise(model):
    """Random weights that F16 holds exactly; queries and keys are scaled up so that attention is far from uniform."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "norm" in name:
                drawn = 1 + 0.1 * noise
            elif value.dim() == 1:
                drawn = 0.2 * noise
            elif "embed_tokens" in name:
                drawn = noise
            else:
                sharp = 2.0 if "q_proj" in name or "k_proj" in name else 1.0
                drawn = noise * sharp / math.sqrt(value.shape[1])
            value.copy_(drawn.half().float())


def permuted(weight, heads):
    """Rows as llama.cpp's converter lays out Q and K of Llama and Mistral: pairs (i, i + d/2) become (2i, 2i + 1)."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def rope_factors(config, head_size):
    """Divisors of the frequencies, as the Llama 3 converter writes them to rope_freqs.weight."""
    scaling = config.rope_scaling
    low_wavelength = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
    high_wavelength = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
    factors = []
    for i in range(0, head_size, 2):
        wavelength = 2 * math.pi * config.rope_theta ** (i / head_size)
        if wavelength < high_wavelength:
            factors.append(1.0)
        elif wavelength > low_wavelength:
            factors.append(scaling["factor"])
        else:
            smooth = (scaling["original_max_position_embeddings"] / wavelength - scaling["low_freq_factor"]) / (
                scaling["high_freq_factor"] - scaling["low_freq_factor"])
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


NAMES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
         "lm_head.weight": "output.weight"}
LAYER_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
               "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
               "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def gguf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{LAYER_NAMES[part]}.{kind}"


def add_tokenizer(writer):
    """Byte-level tokens and a few spare ones: enough for the file to be whole."""
    tokens = [chr(33 + i) for i in range(94)] + [f"<extra_{i}>" for i in range(VOCABULARY - 95)] + ["<|end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 94 + [4] * (VOCABULARY - 95) + [3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(VOCABULARY - 1)


def begin_gguf(path, name, architecture, config, head_size):
    """A writer that knows the name and the sizes."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    return writer


def end_gguf(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_gguf(path, name, architecture, config, model, head_size):
    writer = begin_gguf(path, f"tiny {name}", architecture, config, head_size)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_count(head_size)
    writer.add_vocab_size(VOCABULARY)
    add_tokenizer(writer)
    if name == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_factors(config, head_size))
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = value.numpy()
        if architecture == "llama" and "q_proj" in key:
            array = permuted(array, config.num_attention_heads)
        if architecture == "llama" and "k_proj" in key:
            array = permuted(array, config.num_key_value_heads)
        writer.add_tensor(gguf_name(key), array.astype(np.float16) if array.ndim == 2 else array)
    end_gguf(writer)


def last_logits(model, ids, positions):
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]), position_ids=torch.tensor([positions]))
    return [float(f"{x:.7g}") for x in out.logits[0, -1].tolist()]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    ids = torch.randint(0, VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(3)).tolist()
    for name, architecture, config in styles():
        config._attn_implementation = "eager"
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        randomise(model)
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        write_gguf(folder / f"{name}.gguf", name, architecture, config, model, head_size)
        golden = {"ids": ids, "logits": last_logits(model, ids, list(range(TOKENS))), "subset": SUBSET,
                  "subset_logits": last_logits(model, [ids[i] for i in SUBSET], SUBSET),
                  "renumbered_logits": last_logits(model, [ids[i] for i in SUBSET], list(range(len(SUBSET))))}
        (folder / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/tiny"))
