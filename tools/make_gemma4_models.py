#!/usr/bin/env python3
"""Makes the tiny random models of Gemma 4's kinds, as make_newer_architectures.py does for others, with its packages.

    /tmp/newer/bin/python tools/make_gemma4_models.py tests/data/architectures [NAME...]

Names of tensors and keys are those of llama.cpp's converter. A drop comes before the layers whose K and V others read.
"""

import functools
import math
import pathlib
import sys

import gguf
import numpy as np
import torch
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4ForCausalLM

from make_architecture_models import Plain, randomise, write_folder
from make_tiny_model import end_gguf
from make_toy_model import LAYER_NAMES, VOCABULARY, WINDOW, mask, write_goldens

WINDOW_LAYER, FULL_LAYER = "sliding_attention", "full_attention"
MODEL_NAMES = {"embed_tokens": "token_embd", "norm": "output_norm", "embed_tokens_per_layer": "per_layer_token_embd",
               "per_layer_model_projection": "per_layer_model_proj", "per_layer_projection_norm": "per_layer_proj_norm"}
GEMMA4_LAYER_NAMES = {**LAYER_NAMES, "layer_scalar": "layer_output_scale", "per_layer_input_gate": "inp_gate",
                      "per_layer_projection": "proj", "post_per_layer_input_norm": "post_norm",
                      "pre_feedforward_layernorm_2": "pre_ffw_norm_2", "post_feedforward_layernorm_1": "post_ffw_norm_1",
                      "post_feedforward_layernorm_2": "post_ffw_norm_2", "router.proj": "ffn_gate_inp",
                      "experts.gate_up_proj": "ffn_gate_up_exps", "experts.down_proj": "ffn_down_exps"}
SCALES = {"router.scale": "ffn_gate_inp.scale", "router.per_expert_scale": "ffn_down_exps.scale"}


class Gemma4(Plain):
    """Larger heads, fewer KV heads and V from K's matrix where a layer sees all; two of three layers have windows."""

    file_name, types, drop_layer, seed = "gemma4", "WWFWWF", 2, 12
    has_folder = False  # those of the other two have all that is in it
    changes = {"num_key_value_heads": 2, "num_global_key_value_heads": 1, "attention_k_eq_v": True,
               "hidden_size_per_layer_input": 0}

    def __init__(self):
        types = [WINDOW_LAYER if t == "W" else FULL_LAYER for t in self.types]
        self.layers = len(types)
        settings = {"intermediate_size": 72, **self.changes}
        self.config = Gemma4TextConfig(
            vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=self.layers, num_attention_heads=4, head_dim=16,
            global_head_dim=32, max_position_embeddings=256, rms_norm_eps=1e-6, sliding_window=WINDOW, layer_types=types,
            final_logit_softcapping=3.0, vocab_size_per_layer_input=VOCABULARY, tie_word_embeddings=True, **settings)
        self.config._attn_implementation = "eager"
        self.model = Gemma4ForCausalLM(self.config).float().eval()

    def randomise(self):
        randomise(self)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for layer in self.model.model.layers:
                layer.layer_scalar.copy_((0.5 + torch.rand(1, generator=generator)).half().float())
                if self.config.enable_moe_block:
                    for scale in (layer.router.scale, layer.router.per_expert_scale):
                        scale.copy_((1 + 0.25 * torch.randn(scale.shape, generator=generator)).half().float())

    def forward(self, ids, positions, drop=None):
        """Logits of the last token; with `drop`, only the tokens at these indices live on after the drop layer."""
        inner, shared = self.model.model, {}
        with torch.no_grad():
            hidden, inputs = inner.embed_tokens(torch.tensor([ids])), None
            if self.config.hidden_size_per_layer_input:
                inputs = inner.project_per_layer_inputs(hidden, inner.get_per_layer_inputs(torch.tensor([ids]), None))
            for index, layer in enumerate(inner.layers):
                kind, where = self.config.layer_types[index], torch.tensor([positions])
                hidden = layer(hidden, None if inputs is None else inputs[:, :, index], shared_kv_states=shared,
                               position_embeddings=inner.rotary_emb(hidden, where, kind), position_ids=where,
                               attention_mask=mask(positions, positions, WINDOW if kind == WINDOW_LAYER else 0))
                if drop is not None and index == self.drop_layer:
                    hidden, positions = hidden[:, drop], [positions[i] for i in drop]
                    inputs = None if inputs is None else inputs[:, drop]
            logits = self.model.lm_head(inner.norm(hidden))[0, -1]
        cap = self.config.final_logit_softcapping
        return [float(f"{x:.7g}") for x in (cap * torch.tanh(logits / cap)).tolist()]

    def key_values(self):
        config, windows = self.config, [t == "W" for t in self.types]
        own = self.layers - config.num_kv_shared_layers
        yield "context_length", config.max_position_embeddings
        yield "embedding_length", config.hidden_size
        yield "block_count", self.layers
        wide = 2 if config.use_double_wide_mlp else 1
        yield "feed_forward_length", [config.intermediate_size * (1 if i < own else wide) for i in range(self.layers)]
        yield "attention.head_count", config.num_attention_heads
        few = config.num_global_key_value_heads or config.num_key_value_heads
        yield "attention.head_count_kv", [config.num_key_value_heads if w else few for w in windows]
        yield "attention.sliding_window", WINDOW
        yield "attention.sliding_window_pattern", windows
        yield "attention.shared_kv_layers", config.num_kv_shared_layers
        yield "embedding_length_per_layer_input", config.hidden_size_per_layer_input
        for kind, size in (("", config.global_head_dim), ("_swa", config.head_dim)):
            yield f"attention.key_length{kind}", size
            yield f"attention.value_length{kind}", size
            yield f"rope.dimension_count{kind}", size
        if config.enable_moe_block:
            yield "expert_count", config.num_experts
            yield "expert_used_count", config.top_k_experts
            yield "expert_feed_forward_length", config.moe_intermediate_size

    def write_gguf(self, path):
        writer, config = gguf.GGUFWriter(path, "gemma4"), self.config
        writer.add_name("tiny gemma4")
        for key, value in self.key_values():
            (writer.add_array if isinstance(value, list) else writer.add_uint32)(f"gemma4.{key}", value)
        writer.add_float32("gemma4.attention.layer_norm_rms_epsilon", config.rms_norm_eps)
        writer.add_float32("gemma4.final_logit_softcapping", config.final_logit_softcapping)
        for kind, suffix in ((FULL_LAYER, ""), (WINDOW_LAYER, "_swa")):
            writer.add_float32(f"gemma4.rope.freq_base{suffix}", config.rope_parameters[kind]["rope_theta"])
        turned = int(config.global_head_dim * config.rope_parameters[FULL_LAYER]["partial_rotary_factor"] / 2)
        rest = config.global_head_dim // 2 - turned
        writer.add_tensor("rope_freqs.weight", np.array([1.0] * turned + [1e30] * rest, np.float32))
        for key, value in self.model.state_dict().items():
            if key == "lm_head.weight":
                continue
            wide = value.ndim >= 2
            writer.add_tensor(tensor_name(key), np.ascontiguousarray(value.numpy(), np.float16 if wide else np.float32))
        end_gguf(writer)


class SmallGemma4(Gemma4):
    """The last layers read K and V of earlier ones and are twice as wide; every layer has inputs of its own."""

    file_name, types, drop_layer, has_folder = "gemma4_small", "WFWWFWWF", 1, True
    changes = {"num_key_value_heads": 2, "num_kv_shared_layers": 3, "use_double_wide_mlp": True, "intermediate_size": 40,
               "hidden_size_per_layer_input": 16}


class Gemma4WithExperts(Gemma4):
    """A dense feed-forward and experts side by side."""

    file_name, types, drop_layer, has_folder = "gemma4_experts", "WFWF", 1, True
    seed = 13  # of a router that does not choose otherwise when its input is rounded
    changes = {**Gemma4.changes, "enable_moe_block": True, "num_experts": 6, "top_k_experts": 2,
               "moe_intermediate_size": 32, "intermediate_size": 40}


def tensor_name(key):
    parts = key.removeprefix("model.").removesuffix(".weight")
    if not parts.startswith("layers."):
        return MODEL_NAMES[parts] + ".weight"
    _, layer, rest = parts.split(".", 2)
    return f"blk.{layer}." + (SCALES.get(rest) or GEMMA4_LAYER_NAMES[rest] + ".weight")


def main(folder, names):
    for kind in (Gemma4, SmallGemma4, Gemma4WithExperts):
        if names and kind.file_name not in names:
            continue
        twin = kind()
        twin.randomise()
        twin.write_gguf(folder / f"{kind.file_name}.gguf")
        write_goldens(folder / f"{kind.file_name}.json", twin.model, twin.drop_layer, functools.partial(twin.forward))
        if twin.has_folder:
            write_folder(folder / kind.file_name, twin)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
