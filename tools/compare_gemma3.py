#!/usr/bin/env python3
"""Compares claa on a Gemma 3 model file with a second implementation, which gets the same dequantised weights.

    python3 -m venv /tmp/toy
    /tmp/toy/bin/pip install torch==2.4.1 transformers==4.56.2 gguf==0.10.0 'numpy<2'
    /tmp/toy/bin/python tools/compare_gemma3.py build/cpu/claa gemma-3-270m-q4_k_m.gguf examples/document.txt 400 1200

The second implementation is transformers' layers, and the selection of docs/spec.md, 1.7 and 2, written anew: window scores
of the layers that see all, their maximum over layers, and only the kept rows in later layers, with windows by position.
For each length in tokens it prints the largest difference among claa's ten best logits of the next token, by `full` and by
`claa` at a fifth; whether both chose the same tokens; and the loss of the text's later half by transformers, in nats per
token: a wrong window, RoPE base or pattern shows beyond the window.
"""

import json
import math
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
from transformers.models.gemma3.configuration_gemma3 import Gemma3TextConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3ForCausalLM, apply_rotary_pos_emb

from make_toy_model import gguf_name, mask

PATTERN = 6  # every sixth layer sees all
KEEP, WINDOW, KERNEL, LAST_LAYERS = 0.2, 8, 7, 4  # claa's published settings
NAMES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}


def number(reader, key, default=None):
    field = reader.fields.get(f"gemma3.{key}")
    return default if field is None else field.parts[field.data[0]][0].item()


def load(path):
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t for t in reader.tensors}
    layers = number(reader, "block_count")
    hidden, heads = number(reader, "embedding_length"), number(reader, "attention.head_count")
    head_size = number(reader, "attention.key_length")
    types = ["full_attention" if (i + 1) % PATTERN == 0 else "sliding_attention" for i in range(layers)]
    config = Gemma3TextConfig(
        vocab_size=int(tensors["token_embd.weight"].shape[1]), hidden_size=hidden,
        intermediate_size=number(reader, "feed_forward_length"), num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=number(reader, "attention.head_count_kv"), head_dim=head_size, query_pre_attn_scalar=head_size,
        max_position_embeddings=number(reader, "context_length"), rope_theta=number(reader, "rope.freq_base"),
        rms_norm_eps=number(reader, "attention.layer_norm_rms_epsilon"), rope_local_base_freq=1e4,
        sliding_window=number(reader, "attention.sliding_window"), layer_types=types, tie_word_embeddings=True,
        hidden_activation="gelu_pytorch_tanh", attn_implementation="eager")
    model = Gemma3ForCausalLM(config).float().eval()
    state = {}
    for key, value in model.state_dict().items():
        if key == "lm_head.weight":
            continue
        tensor = tensors[NAMES.get(key) or gguf_name(key)]
        array = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(tuple(value.shape))
        state[key] = torch.from_numpy(array - 1 if "norm" in key else array)  # the file's norms hold 1 + w
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model


def run(claa, *arguments):
    return json.loads(subprocess.run([claa, *map(str, arguments)], check=True, capture_output=True).stdout)


def trace(claa, path, prompt, *arguments):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(prompt, file)
        file.flush()
        return run(claa, "trace", "-m", path, "--dtype", "f32", "--ids", file.name, "--predict", 1, *arguments)


def window_scores(layer, hidden, rotation):
    """One row of scores per KV head (docs/spec.md, 2.2) of the tokens before the window."""
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    heads = (1, hidden.shape[1], -1, attention.head_dim)
    q = attention.q_norm(attention.q_proj(normed).view(heads)).transpose(1, 2)
    k = attention.k_norm(attention.k_proj(normed).view(heads)).transpose(1, 2)
    q, k = (x[0] for x in apply_rotary_pos_emb(q, k, *rotation))
    group, tokens = q.shape[0] // k.shape[0], k.shape[1]
    logits = q[:, -WINDOW:] @ k.repeat_interleave(group, 0).transpose(1, 2) * attention.scaling
    seen = torch.arange(tokens)[None] <= torch.arange(tokens - WINDOW, tokens)[:, None]
    shares = logits.masked_fill(~seen, -math.inf).softmax(-1)[..., :-WINDOW].sum(1)
    left = KERNEL // 2
    padded = torch.nn.functional.pad(shares, (left, KERNEL - 1 - left))
    pooled = padded.unfold(-1, KERNEL, 1).mean(-1)
    return pooled.view(k.shape[0], group, -1).sum(1)


def forward(model, prompt, selection_layer=None):
    """Logits of the last token, and the tokens that were kept after the selection layer."""
    inner, positions, kept, rows = model.model, list(range(len(prompt))), None, []
    with torch.no_grad():
        hidden = inner.embed_tokens(torch.tensor([prompt]))
        for index, layer in enumerate(inner.layers):
            where = torch.tensor([positions])
            rotation, local = inner.rotary_emb(hidden, where), inner.rotary_emb_local(hidden, where)
            full = (index + 1) % PATTERN == 0
            if selection_layer is not None and full and index <= selection_layer:
                rows.append(window_scores(layer, hidden, rotation))
            hidden = layer(hidden, position_embeddings_global=rotation, position_embeddings_local=local,
                           position_ids=where,
                           attention_mask=mask(positions, positions, 0 if full else model.config.sliding_window))[0]
            if index == selection_layer:
                scores = torch.cat(rows[-LAST_LAYERS:]).amax(0)
                budget = math.floor(KEEP * len(prompt)) - WINDOW
                best = torch.sort(scores, descending=True, stable=True).indices[:budget]
                kept = sorted(best.tolist()) + positions[-WINDOW:]
                hidden, positions = hidden[:, kept], kept
        return model.lm_head(inner.norm(hidden[:, -1]))[0], kept


def difference(traced, logits):
    return max(abs(entry["logit"] - logits[entry["id"]].item()) for entry in traced["logits_top"])


def loss_of_later_half(model, prompt):
    with torch.no_grad():
        logits = model(torch.tensor([prompt]), logits_to_keep=torch.arange(len(prompt) // 2, len(prompt) - 1)).logits[0]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(prompt[len(prompt) // 2 + 1:])).item()


def main(claa, path, document, lengths):
    model = load(path)
    printed = subprocess.run([claa, "tokenize", "-m", path, "--ids", "-f", document], check=True, capture_output=True)
    ids = [int(word) for word in printed.stdout.decode().replace(",", " ").strip(" []\n").split()]
    worst = 0
    for length in lengths:
        prompt = [2, *ids[:length - 1]]  # the begin token
        assert len(prompt) == length, f"{document} has only {len(ids)} tokens"
        full = trace(claa, path, prompt)
        selected = trace(claa, path, prompt, "--method", "claa", "--keep", KEEP, "--profile", "none")
        by_full = difference(full, forward(model, prompt)[0])
        logits, kept = forward(model, prompt, selected["selection_layer"])
        by_claa = difference(selected, logits)
        others = len(set(kept) - set(selected["selected"])) + abs(len(kept) - len(selected["selected"]))
        worst = max(worst, by_full, by_claa if others == 0 else 0)
        print(f"{length} tokens: logits differ by at most {by_full:.2g} by full, {by_claa:.2g} by claa behind layer "
              f"{selected['selection_layer']}, where {others} of {len(kept)} kept tokens are others; "
              f"{loss_of_later_half(model, prompt):.3f} nats per token by transformers", flush=True)
    return 0 if worst < 1e-3 and math.isfinite(worst) else 1


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], [int(length) for length in sys.argv[4:]]))
