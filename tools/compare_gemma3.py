#!/usr/bin/env python3
"""Compares claa's logits on a Gemma 3 model file with those of transformers, which gets the same dequantised weights.

    python3 -m venv /tmp/toy
    /tmp/toy/bin/pip install torch==2.4.1 transformers==4.56.2 gguf==0.10.0 'numpy<2'
    /tmp/toy/bin/python tools/compare_gemma3.py build/cpu/claa gemma-3-270m-q4_k_m.gguf examples/document.txt 400 1200

For each length in tokens it prints the largest difference among claa's ten best logits of the next token, and the loss of
the text's later half by transformers, in nats per token: a wrong window, RoPE base or pattern shows beyond the window.
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
from transformers.models.gemma3.modeling_gemma3 import Gemma3ForCausalLM

from make_toy_model import gguf_name

PATTERN = 6  # every sixth layer sees all
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


def main(claa, path, document, lengths):
    model = load(path)
    printed = subprocess.run([claa, "tokenize", "-m", path, "--ids", "-f", document], check=True, capture_output=True)
    ids = [int(word) for word in printed.stdout.decode().replace(",", " ").strip(" []\n").split()]
    worst = 0
    for length in lengths:
        prompt = [2, *ids[:length - 1]]  # the begin token
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(prompt, file)
            file.flush()
            trace = run(claa, "trace", "-m", path, "--dtype", "f32", "--ids", file.name, "--predict", 10)
        with torch.no_grad():
            logits = model(torch.tensor([prompt])).logits[0]
        half = length // 2
        loss = torch.nn.functional.cross_entropy(logits[half:-1], torch.tensor(prompt[half + 1:])).item()
        difference = max(abs(entry["logit"] - logits[-1, entry["id"]].item()) for entry in trace["logits_top"])
        worst = max(worst, difference)
        print(f"{length} tokens: logits differ by at most {difference:.2g}; {loss:.3f} nats per token by transformers")
    return 0 if worst < 1e-3 and math.isfinite(worst) else 1


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], [int(length) for length in sys.argv[4:]]))
