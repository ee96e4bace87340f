#!/usr/bin/env python3
"""Makes tiny random models of real architectures for tests/model/architectures_test.cc, and their goldens by transformers.

    python3 -m venv /tmp/toy
    /tmp/toy/bin/pip install torch==2.4.1 transformers==4.56.2 gguf==0.10.0 'numpy<2'
    /tmp/toy/bin/python tools/make_architecture_models.py tests/data/architectures [NAME...]

Beside each GGUF file is a folder of the same model as transformers saves it, with a small tokenizer.

As in tools/make_toy_model.py, from which the names of tensors and the masks come, layers are run one by one, so that
goldens with dropped tokens say what a layer sees, and weights are such that F16 holds them exactly.
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
from transformers.models.granite.configuration_granite import GraniteConfig
from transformers.models.granite.modeling_granite import GraniteForCausalLM
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM
from transformers.models.seed_oss.configuration_seed_oss import SeedOssConfig
from transformers.models.seed_oss.modeling_seed_oss import SeedOssForCausalLM
from transformers.models.smollm3.configuration_smollm3 import SmolLM3Config
from transformers.models.smollm3.modeling_smollm3 import SmolLM3ForCausalLM

from make_tiny_model import LLAMA3_SCALING, begin_gguf, end_gguf, permuted, rope_factors
from make_toy_model import NAMES, TOKENS, VOCABULARY, WINDOW, gguf_name, mask, write_goldens

# Where an architecture has the norm before the feed-forward under another name than Gemma 3.
PRE_NORM_NAMES = {"post_attention_layernorm": "ffn_norm"}


class Plain:
    """What most twins do."""

    def settle(self):
        """Weights that are not drawn as the others are."""

    def pack(self, path):
        """What of the saved folder is changed."""

    pairs = False  # whether the file has Q and K in pairs
    shift = 0      # what norms add to their weights before they multiply by them

    def tensors(self, key, array):
        """What of a checkpoint's tensor is in the file, under which names."""
        return [(self.tensor_name(key), array)]

    def embed(self, ids):
        return self.model.model.embed_tokens(torch.tensor([ids]))

    def logits(self, hidden):
        return self.model.lm_head(hidden)


class Gemma3(Plain):
    """Embeddings times the root of a hidden size that is no square, windows in two of three layers, a tied output."""

    name, layers, drop_layer, shift = "gemma3", 6, 2, 1

    def __init__(self):
        types = ["sliding_attention" if self.window(i) else "full_attention" for i in range(self.layers)]
        self.config = Gemma3TextConfig(vocab_size=VOCABULARY, hidden_size=80, intermediate_size=96,
                                       num_hidden_layers=self.layers, num_attention_heads=4, num_key_value_heads=1,
                                       head_dim=32, query_pre_attn_scalar=32, max_position_embeddings=256,
                                       rms_norm_eps=1e-6, rope_theta=1e6, rope_local_base_freq=1e4,
                                       sliding_window=WINDOW, layer_types=types, tie_word_embeddings=True,
                                       hidden_activation="gelu_pytorch_tanh", attn_implementation="eager")
        self.model = Gemma3ForCausalLM(self.config).float().eval()

    def window(self, layer):
        return 0 if (layer + 1) % 3 == 0 else WINDOW

    def layer(self, index, hidden, positions):
        inner, where = self.model.model, torch.tensor([positions])
        return inner.layers[index](hidden, position_embeddings_global=inner.rotary_emb(hidden, where),
                                   position_embeddings_local=inner.rotary_emb_local(hidden, where), position_ids=where,
                                   attention_mask=mask(positions, positions, self.window(index)))[0]

    def metadata(self, writer):
        writer.add_rope_freq_base(self.config.rope_theta)
        writer.add_sliding_window(WINDOW)
        writer.add_uint32("gemma3.attention.sliding_window_pattern", 3)

    def tensor_name(self, key):
        return gguf_name(key)


class LlamaLike(Plain):
    """A twin whose layers take one RoPE and one mask, with one of transformers' classes."""

    layers, drop_layer = 4, 1

    def __init__(self, config, model, rope_theta=1e4, **changes):
        if rope_theta is not None:
            changes["rope_theta"] = rope_theta
        self.config = config(vocab_size=VOCABULARY, hidden_size=changes.pop("hidden_size", 48), intermediate_size=changes.pop("intermediate_size", 96),
                             num_hidden_layers=self.layers, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
                             rms_norm_eps=1e-6, attn_implementation="eager", pad_token_id=0, **changes)
        self.model = model(self.config).float().eval()

    def layer(self, index, hidden, positions):
        inner, where = self.model.model, torch.tensor([positions])
        out = inner.layers[index](hidden, position_embeddings=inner.rotary_emb(hidden, where), position_ids=where,
                                  attention_mask=mask(positions, positions, 0))
        return out if torch.is_tensor(out) else out[0]

    def metadata(self, writer):
        writer.add_rope_freq_base(self.config.rope_theta)

    def tensor_name(self, key):
        if key.endswith(".bias"):
            return self.tensor_name(key[:-len("bias")] + "weight")[:-len("weight")] + "bias"
        for theirs, ours in PRE_NORM_NAMES.items():
            if f".{theirs}." in key:
                return f"blk.{key.split('.')[2]}.{ours}.weight"
        return gguf_name(key)


class Llama(LlamaLike):
    """The scaling of Llama 3, and a folder of several files."""

    name, pairs, shard_size = "llama", True, "60KB"

    def __init__(self):
        super().__init__(LlamaConfig, LlamaForCausalLM, rope_theta=5e5, tie_word_embeddings=False, head_dim=16,
                         rope_scaling=dict(LLAMA3_SCALING))

    def metadata(self, writer):
        super().metadata(writer)
        writer.add_tensor("rope_freqs.weight", rope_factors(self.config, self.config.head_dim))


class Qwen3(LlamaLike):
    """Heads wider than hidden / heads, norms of heads, and a tied output."""

    name = "qwen3"

    def __init__(self):
        super().__init__(Qwen3Config, Qwen3ForCausalLM, rope_theta=1e6, head_dim=32, tie_word_embeddings=True)


class SmolLM3(LlamaLike):
    """No rotation in every fourth layer."""

    name, pairs, layers = "smollm3", True, 5

    def __init__(self):
        super().__init__(SmolLM3Config, SmolLM3ForCausalLM, tie_word_embeddings=True)


class Granite(LlamaLike):
    """Four scales."""

    name, pairs = "granite", True

    def __init__(self):
        super().__init__(GraniteConfig, GraniteForCausalLM, tie_word_embeddings=True, embedding_multiplier=6.0,
                         residual_multiplier=0.4, attention_multiplier=0.2, logits_scaling=3.0)

    def embed(self, ids):
        return super().embed(ids) * self.config.embedding_multiplier

    def logits(self, hidden):
        return super().logits(hidden) / self.config.logits_scaling

    def metadata(self, writer):
        super().metadata(writer)
        writer.add_float32("granite.embedding_scale", self.config.embedding_multiplier)
        writer.add_float32("granite.residual_scale", self.config.residual_multiplier)
        writer.add_float32("granite.attention.scale", self.config.attention_multiplier)
        writer.add_float32("granite.logit_scale", self.config.logits_scaling)


class SeedOss(LlamaLike):
    """Biases, wide heads, an output of its own, and another name for a norm."""

    name = "seed_oss"

    def __init__(self):
        super().__init__(SeedOssConfig, SeedOssForCausalLM, tie_word_embeddings=False, head_dim=32, attention_bias=True,
                         attention_out_bias=False)

    def tensor_name(self, key):
        return super().tensor_name(key).replace(".ffn_norm.", ".post_attention_norm.")


def randomise(twin):
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, value in twin.model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith(("bias", "sinks")):
                drawn = 0.5 * noise
            elif "norm" in name:
                drawn = (1 - twin.shift) + 0.25 * noise
            elif "embed_tokens" in name:
                drawn = 0.5 * noise
            else:
                drawn = noise / math.sqrt(value.shape[-1])
            value.copy_(drawn.half().float())


def forward(twin, ids, positions, drop=None):
    """Logits of the last token; with `drop`, only the tokens at these indices live on after the drop layer."""
    with torch.no_grad():
        hidden = twin.embed(ids)
        for index in range(twin.layers):
            hidden = twin.layer(index, hidden, positions)
            if drop is not None and index == twin.drop_layer:
                hidden, positions = hidden[:, drop], [positions[i] for i in drop]
        logits = twin.logits(twin.model.model.norm(hidden))[0, -1]
    return [float(f"{x:.7g}") for x in logits.tolist()]


def write_gguf(path, twin):
    config = twin.config
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer = begin_gguf(path, f"tiny {twin.name}", twin.name, config, head_size)
    twin.metadata(writer)
    for key, value in twin.model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = value.numpy()
        for part, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if twin.pairs and part in key:
                array = permuted(array, heads)
        if "norm" in key:
            array = twin.shift + array
        for name, part in [(NAMES[key], array)] if key in NAMES else twin.tensors(key, array):
            wide = part.ndim >= 2 and not name.endswith(".bias")
            writer.add_tensor(name, np.ascontiguousarray(part, np.float16 if wide else np.float32))
    end_gguf(writer)


def write_folder(path, twin):
    """As transformers saves it, in F16, which holds the weights exactly."""
    tokens = [chr(33 + i) for i in range(94)] + ["ab"]
    twin.model.generation_config.eos_token_id = [len(tokens), 3]
    twin.model.half().save_pretrained(path, max_shard_size=getattr(twin, "shard_size", "5GB"))
    twin.model.float()
    tokenizer = {"version": "1.0", "added_tokens": [{"id": len(tokens), "content": "<|end|>", "special": True}],
                 "normalizer": None,
                 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                 "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": [["a", "b"]]}}
    (path / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}) + "\n")
    twin.pack(path)


def write_models(folder, twins, names):
    folder.mkdir(parents=True, exist_ok=True)
    for kind in twins:
        stem = getattr(kind, "file_name", kind.name)
        if names and stem not in names:
            continue
        twin = kind()
        randomise(twin)
        twin.settle()
        write_gguf(folder / f"{stem}.gguf", twin)
        write_goldens(folder / f"{stem}.json", twin.model, twin.drop_layer, functools.partial(forward, twin),
                      getattr(twin, "tokens", TOKENS))
        if getattr(twin, "has_folder", True):
            write_folder(folder / stem, twin)


if __name__ == "__main__":
    write_models(pathlib.Path(sys.argv[1]), (Llama, Qwen3, Gemma3, SmolLM3, Granite, SeedOss), sys.argv[2:])
