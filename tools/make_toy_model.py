#!/usr/bin/env python3
"""Makes the toy model of tests/model/toy_architecture_test.cc and its goldens, with transformers' Gemma 3 as its twin.

    python3 -m venv /tmp/toy
    /tmp/toy/bin/pip install torch==2.4.1 transformers==4.56.2 gguf==0.10.0 'numpy<2'
    /tmp/toy/bin/python tools/make_toy_model.py tests/data/toy

The toy has what the Llama family lacks: norms after attention and feed-forward, a norm of every head of Q and K, GELU,
layers with a sliding window, and another RoPE in them. The layers are run one by one with masks by position, so that
goldens with dropped tokens say what a window by position sees. Weights are such that F16 holds them exactly; the norms
are written as what they multiply by, and the embedding times the root of the hidden size, which is a power of two.
"""

import functools
import json
import math
import pathlib
import sys

import numpy as np
import torch
from transformers.models.gemma3.configuration_gemma3 import Gemma3TextConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3ForCausalLM

from make_tiny_model import begin_gguf, end_gguf

VOCABULARY, TOKENS, WINDOW, DROP_LAYER, ANSWER = 101, 61, 16, 1, 20
SLIDING = [True, False, True, True, False]  # as the file says it: every layer but some
SURVIVORS = [0, 1, 5, 6, 17, 18, 19, 33, 40, 41, 44, 55, 58, 60]
NAMES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
         "lm_head.weight": "output.weight"}
LAYER_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
               "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
               "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
               "input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm",
               "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}


def toy_config():
    types = ["sliding_attention" if sliding else "full_attention" for sliding in SLIDING]
    return Gemma3TextConfig(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=len(SLIDING),
                            num_attention_heads=4, num_key_value_heads=2, head_dim=32, query_pre_attn_scalar=32,
                            max_position_embeddings=256, rms_norm_eps=1e-6, rope_theta=1e6,
                            rope_local_base_freq=1e4, sliding_window=WINDOW, layer_types=types,
                            hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=False,
                            attn_implementation="eager")


def randomise(model):
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "norm" in name:
                drawn = 0.25 * noise  # the twin multiplies by 1 + weight
            elif "embed_tokens" in name:
                drawn = 0.125 * noise
            else:
                drawn = noise / math.sqrt(value.shape[1])
            value.copy_(drawn.half().float())


def mask(queries, keys, window):
    """Additive mask [1, 1, queries, keys] by position: causal, and at most `window` positions back."""
    distance = torch.tensor(queries)[:, None] - torch.tensor(keys)[None, :]
    seen = (distance >= 0) & ((distance < window) if window else True)
    return torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]


def forward(model, ids, positions, drop=None):
    """Logits of the last token; with `drop`, only the tokens at these indices live on after DROP_LAYER."""
    inner = model.model
    with torch.no_grad():
        hidden = inner.embed_tokens(torch.tensor([ids]))
        for index, layer in enumerate(inner.layers):
            where = torch.tensor([positions])
            window = WINDOW if SLIDING[index] else 0
            hidden = layer(hidden, position_embeddings_global=inner.rotary_emb(hidden, where),
                           position_embeddings_local=inner.rotary_emb_local(hidden, where),
                           attention_mask=mask(positions, positions, window), position_ids=where)[0]
            if drop is not None and index == DROP_LAYER:
                hidden, positions = hidden[:, drop], [positions[i] for i in drop]
        logits = model.lm_head(inner.norm(hidden))[0, -1]
    return [float(f"{x:.7g}") for x in logits.tolist()]


def gguf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{LAYER_NAMES[rest.rsplit('.', 1)[0]]}.weight"


def write_gguf(path, config, model):
    writer = begin_gguf(path, "toy", "toy", config, config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_float32("toy.rope.freq_base_sliding", config.rope_local_base_freq)
    writer.add_sliding_window(WINDOW)
    for layer, sliding in enumerate(SLIDING):
        writer.add_uint32(f"toy.attention.sliding.{layer}", int(sliding))
    for key, value in model.state_dict().items():
        array = value.numpy()
        if "norm" in key:
            array = 1 + array
        if "embed_tokens" in key:
            array = array * np.float32(math.sqrt(config.hidden_size))
        writer.add_tensor(gguf_name(key), array.astype(np.float16) if array.ndim == 2 else array)
    end_gguf(writer)


def write_goldens(path, model, drop_layer, run, tokens=TOKENS):
    """`run(ids, positions, drop)` gives the logits of the last token, layer by layer."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, VOCABULARY, (tokens + ANSWER,), generator=generator).tolist()
    prompt, positions = ids[:tokens], list(range(tokens))
    # Of longer prompts more than half, with gaps.
    survivors = SURVIVORS if tokens == TOKENS else [i for i in positions if i % 7 not in (2, 3, 5) or i == tokens - 1]
    golden = {"ids": prompt, "answer": ids[tokens:], "survivors": survivors, "drop_layer": drop_layer,
              "logits": run(prompt, positions),
              "answer_logits": run(ids, list(range(len(ids)))),
              "entry_logits": run([prompt[i] for i in survivors], survivors),
              "drop_logits": run(prompt, positions, survivors)}
    # The loop over layers is the model's own where nothing is dropped.
    whole = model(input_ids=torch.tensor([prompt])).logits[0, -1].tolist()
    assert max(abs(a - b) for a, b in zip(golden["logits"], whole)) < 1e-4, path
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    config = toy_config()
    model = Gemma3ForCausalLM(config).float().eval()
    randomise(model)
    write_gguf(folder / "toy.gguf", config, model)
    write_goldens(folder / "toy.json", model, DROP_LAYER, functools.partial(forward, model))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/toy"))
