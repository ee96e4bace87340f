#!/usr/bin/env python3
"""Makes the tiny random models of architectures that only newer transformers know, as make_architecture_models.py does.

    python3 -m venv /tmp/newer
    /tmp/newer/bin/pip install torch==2.4.1 transformers==5.5.4 gguf==0.10.0 'numpy<2'
    /tmp/newer/bin/python tools/make_newer_architectures.py tests/data/architectures [NAME...]
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors
from transformers.models.exaone4 import modeling_exaone4 as exaone4
from transformers.models.gemma2 import modeling_gemma2 as gemma2
from transformers.models.gpt_oss import modeling_gpt_oss as gpt_oss
from transformers.models.ministral3 import modeling_ministral3 as ministral3
from transformers.models.olmo2 import modeling_olmo2 as olmo2
from transformers.models.olmo3 import modeling_olmo3 as olmo3
from transformers.models.phi3 import modeling_phi3 as phi3
from transformers.models.qwen3_5 import modeling_qwen3_5 as qwen3_5
from transformers.models.qwen3_5_moe import modeling_qwen3_5_moe as qwen3_5_moe
from transformers.models.qwen3_moe import modeling_qwen3_moe as qwen3_moe

from make_architecture_models import PRE_NORM_NAMES, LlamaLike, write_models
from make_toy_model import WINDOW, gguf_name, mask


def change_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=2) + "\n")


class Windowed(LlamaLike):
    """Windows in all but every second layer, so that the drop is behind one that sees all."""

    every = 2

    def window(self, layer):
        return 0 if (layer + 1) % self.every == 0 else WINDOW

    def layer_types(self):
        return ["sliding_attention" if self.window(i) else "full_attention" for i in range(self.layers)]

    def layer(self, index, hidden, positions):
        inner, where = self.model.model, torch.tensor([positions])
        return inner.layers[index](hidden, position_embeddings=inner.rotary_emb(hidden, where), position_ids=where,
                                   attention_mask=mask(positions, positions, self.window(index)))

    def metadata(self, writer):
        writer.add_rope_freq_base(self.config.rope_parameters["rope_theta"])
        if any(self.window(i) for i in range(self.layers)):
            writer.add_sliding_window(WINDOW)
            writer.add_array(f"{self.name}.attention.sliding_window_pattern",
                             [bool(self.window(i)) for i in range(self.layers)])


class Unwindowed(Windowed):
    def window(self, layer):
        return 0


class Gemma2(Windowed):
    """Soft caps that bite, windows in every second layer, a scale that is not the root of the head size."""

    name, shift = "gemma2", 1

    def __init__(self):
        super().__init__(gemma2.Gemma2Config, gemma2.Gemma2ForCausalLM, tie_word_embeddings=True, head_dim=32,
                         query_pre_attn_scalar=32, sliding_window=WINDOW, layer_types=self.layer_types(),
                         attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
                         hidden_activation="gelu_pytorch_tanh")

    def embed(self, ids):
        scale = torch.tensor(self.config.hidden_size**0.5)
        inner = self.model.model.embed_tokens
        return inner(torch.tensor([ids])) * (1 if hasattr(inner, "embed_scale") else scale)

    def logits(self, hidden):
        cap = self.config.final_logit_softcapping
        return cap * torch.tanh(super().logits(hidden) / cap)

    def metadata(self, writer):
        super().metadata(writer)
        writer.add_attn_logit_softcapping(self.config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(self.config.final_logit_softcapping)

    def tensor_name(self, key):
        return gguf_name(key)


class Mistral3(Unwindowed):
    """Yarn, and queries that grow with their position."""

    name, pairs = "mistral3", True
    rope = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16,
            "mscale": 1.0, "mscale_all_dim": 0.5, "beta_fast": 32.0, "beta_slow": 1.0, "llama_4_scaling_beta": 0.25}

    def __init__(self):
        super().__init__(ministral3.Ministral3Config, ministral3.Ministral3ForCausalLM, rope_theta=None, head_dim=16,
                         rope_parameters=dict(self.rope), tie_word_embeddings=False, sliding_window=None)

    def metadata(self, writer):
        super().metadata(writer)
        writer.add_string("mistral3.rope.scaling.type", "yarn")
        writer.add_rope_scaling_factor(self.rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(self.rope["original_max_position_embeddings"])
        writer.add_float32("mistral3.rope.scaling.yarn_log_multiplier", self.rope["mscale_all_dim"])
        writer.add_float32("mistral3.attention.temperature_scale", self.rope["llama_4_scaling_beta"])


class PostNormed:
    """Norms after each branch, and none before."""

    def tensor_name(self, key):
        return gguf_name(key)


class Olmo2(PostNormed, Unwindowed):
    """One norm over all heads."""

    name = "olmo2"

    def __init__(self):
        super().__init__(olmo2.Olmo2Config, olmo2.Olmo2ForCausalLM, tie_word_embeddings=False)


class Olmo3(PostNormed, Windowed):
    """The same name in files, with windows."""

    name, file_name = "olmo2", "olmo3"

    def __init__(self):
        super().__init__(olmo3.Olmo3Config, olmo3.Olmo3ForCausalLM, tie_word_embeddings=False, sliding_window=WINDOW,
                         layer_types=self.layer_types())


class Exaone4(PostNormed, Windowed):
    """Norms of heads, windows, and no rotation where there are none."""

    name = "exaone4"

    def __init__(self):
        super().__init__(exaone4.Exaone4Config, exaone4.Exaone4ForCausalLM, tie_word_embeddings=False, head_dim=16,
                         sliding_window=WINDOW, sliding_window_pattern=2, layer_types=self.layer_types())


class Phi3(Unwindowed):
    """Fused tensors, heads that turn in part, and a prompt beyond the original context."""

    name, original = "phi3", 32

    def __init__(self):
        pairs = 4  # of the 12 dimensions of a head, 8 turn
        rope = {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 2 / 3,
                "original_max_position_embeddings": self.original,
                "short_factor": [1.0 + 0.05 * i for i in range(pairs)],
                "long_factor": [1.5 + 0.75 * i for i in range(pairs)]}
        super().__init__(phi3.Phi3Config, phi3.Phi3ForCausalLM, rope_theta=None, rope_parameters=rope,
                         original_max_position_embeddings=self.original, tie_word_embeddings=False, head_dim=12,
                         sliding_window=None)

    def metadata(self, writer):
        super().metadata(writer)
        rope, config = self.config.rope_parameters, self.config
        scale = config.max_position_embeddings / self.original
        writer.add_rope_dimension_count(8)
        writer.add_sliding_window(0)
        writer.add_rope_scaling_orig_ctx_len(self.original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(self.original)))
        for name in ("short", "long"):
            writer.add_tensor(f"rope_factors_{name}.weight", torch.tensor(rope[f"{name}_factor"]).numpy())

    def tensor_name(self, key):
        for theirs, ours in (("self_attn.qkv_proj", "attn_qkv"), ("mlp.gate_up_proj", "ffn_up"), *PRE_NORM_NAMES.items()):
            if f".{theirs}." in key:
                return f"blk.{key.split('.')[2]}.{ours}.weight"
        return gguf_name(key)


class WithExperts:
    """Experts of a width of their own; the file has gate and up apart."""

    experts, used, width = 6, 2, 32

    def metadata(self, writer):
        super().metadata(writer)
        writer.add_expert_count(self.experts)
        writer.add_expert_used_count(self.used)
        writer.add_expert_feed_forward_length(self.width)

    def tensors(self, key, array):
        layer = f"blk.{key.split('.')[2]}." if ".layers." in key else ""
        part = key.split(".mlp.")[-1]
        if part in ("gate.weight", "router.weight", "router.bias"):
            return [(f"{layer}ffn_gate_inp.{part.split('.')[1]}", array)]
        if part.startswith("experts.gate_up_proj"):
            kind = "bias" if part.endswith("_bias") else "weight"
            gate, up = self.gate_and_up(array)
            return [(f"{layer}ffn_gate_exps.{kind}", gate), (f"{layer}ffn_up_exps.{kind}", up)]
        if part.startswith("experts.down_proj"):
            kind = "bias" if part.endswith("_bias") else "weight"
            return [(f"{layer}ffn_down_exps.{kind}", self.down(array))]
        return [(self.tensor_name(key), array)]


class Qwen3Moe(WithExperts, Unwindowed):
    """Qwen3 with experts in every layer."""

    name = "qwen3moe"

    def __init__(self):
        super().__init__(qwen3_moe.Qwen3MoeConfig, qwen3_moe.Qwen3MoeForCausalLM, head_dim=16, tie_word_embeddings=False,
                         num_experts=self.experts, num_experts_per_tok=self.used, moe_intermediate_size=self.width,
                         norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])

    def gate_and_up(self, array):
        return array[:, :self.width], array[:, self.width:]

    def down(self, array):
        return array


class GptOss(WithExperts, Windowed):
    """Sinks, biases everywhere, a clamped gate, yarn, and windows in every second layer."""

    name = "gpt-oss"
    rope = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64,
            "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}

    def __init__(self, **changes):
        super().__init__(gpt_oss.GptOssConfig, gpt_oss.GptOssForCausalLM, rope_theta=None, rope_parameters=dict(self.rope),
                         head_dim=16, intermediate_size=self.width, tie_word_embeddings=False,
                         num_local_experts=self.experts, **changes, num_experts_per_tok=self.used, sliding_window=WINDOW, layer_types=self.layer_types())

    def metadata(self, writer):
        super().metadata(writer)
        writer.add_string("gpt-oss.rope.scaling.type", "yarn")
        writer.add_rope_scaling_factor(self.rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(self.rope["original_max_position_embeddings"])

    def gate_and_up(self, array):
        if array.ndim == 3:
            array = array.swapaxes(1, 2)
        return array[:, ::2], array[:, 1::2]

    def down(self, array):
        return array.swapaxes(1, 2) if array.ndim == 3 else array

    def tensor_name(self, key):
        if key.endswith("self_attn.sinks"):
            return f"blk.{key.split('.')[2]}.attn_sinks.weight"
        return super().tensor_name(key).replace(".ffn_norm.", ".post_attention_norm.")


class PackedGptOss(GptOss):
    """The folder has its experts in MXFP4, as published ones do."""

    file_name, experts = "gpt-oss-mxfp4", 4

    def __init__(self):
        super().__init__(hidden_size=64)

    def settle(self):
        """Experts of four bits, which F16 holds exactly, too."""
        generator, self.packed = torch.Generator().manual_seed(12), {}
        with torch.no_grad():
            for index, layer in enumerate(self.model.model.layers):
                for part in ("gate_up_proj", "down_proj"):
                    weight = getattr(layer.mlp.experts, part)
                    shape = (weight.shape[0], weight.shape[2], weight.shape[1] // 32)
                    blocks = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
                    scales = torch.randint(121, 124, shape, generator=generator, dtype=torch.uint8)
                    weight.copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.float32))
                    name = f"model.layers.{index}.mlp.experts.{part}"
                    self.packed[f"{name}_blocks"], self.packed[f"{name}_scales"] = blocks, scales

    def pack(self, path):
        file = path / "model.safetensors"
        unpacked = {name.removesuffix("_blocks") for name in self.packed}
        kept = {name: value for name, value in load_file(file).items() if name not in unpacked}
        save_file({**kept, **self.packed}, file)
        change_config(path, lambda config: config.update(quantization_config={
            "quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}))


class ShortPhi3(Phi3):
    """The same for a prompt inside the original context."""

    file_name, original = "phi3_short", 128


class Qwen35(Windowed):
    """Three of four layers by the gated delta rule, a gated output of attention in the others, heads that turn in part.
    Behind the layers stands a block that predicts a further token, which is left out."""

    name, layers, drop_layer, shift, tokens = "qwen35", 8, 3, 1, 147
    key_heads, value_heads, state, rotated = 2, 6, 16, 6
    config_class, model_class = qwen3_5.Qwen3_5TextConfig, qwen3_5.Qwen3_5ForCausalLM

    def __init__(self, **changes):
        rope = {"rope_type": "default", "rope_theta": 1e6, "partial_rotary_factor": 0.25, "mrope_section": [1, 1, 1],
                "mrope_interleaved": True}
        super().__init__(self.config_class, self.model_class, rope_theta=None, rope_parameters=rope, head_dim=24,
                         linear_num_key_heads=self.key_heads, linear_num_value_heads=self.value_heads,
                         linear_key_head_dim=self.state, linear_value_head_dim=self.state, linear_conv_kernel_dim=4,
                         intermediate_size=32, tie_word_embeddings=True, **changes)

    def layer(self, index, hidden, positions):
        inner, where = self.model.model, torch.tensor([positions])
        # Recurrent layers see the rows that there are, one after another, and no mask.
        full = self.config.layer_types[index] == "full_attention"
        return inner.layers[index](hidden, position_embeddings=inner.rotary_emb(hidden, where), position_ids=where,
                                   attention_mask=mask(positions, positions, 0) if full else None)

    def metadata(self, writer):
        writer.add_rope_freq_base(self.config.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(self.rotated)
        writer.add_array(f"{self.name}.rope.dimension_sections", [1, 1, 1, 0])
        writer.add_uint32(f"{self.name}.full_attention_interval", 4)
        for key, value in (("conv_kernel", 4), ("state_size", self.state), ("group_count", self.key_heads),
                           ("time_step_rank", self.value_heads), ("inner_size", self.value_heads * self.state)):
            writer.add_uint32(f"{self.name}.ssm.{key}", value)
        writer.kv_data[-1][f"{self.name}.block_count"].value = self.layers + 1
        writer.add_uint32(f"{self.name}.nextn_predict_layers", 1)
        writer.add_tensor(f"blk.{self.layers}.nextn.enorm.weight", np.ones(self.config.hidden_size, np.float32))

    def tiled(self, array, size, axis=0):
        """Value heads as files have them: not by their key head, but the first of every key head, then the second."""
        shape = array.shape
        split = shape[:axis] + (self.key_heads, self.value_heads // self.key_heads, size) + shape[axis + 1:]
        return array.reshape(split).swapaxes(axis, axis + 1).reshape(shape)

    def tensors(self, key, array):
        if ".linear_attn." not in key:
            return [(self.tensor_name(key).replace(".ffn_norm.", ".post_attention_norm."), array)]
        layer, part = key.split(".")[2], key.split(".linear_attn.")[1]
        keys = 2 * self.key_heads * self.state
        if part == "norm.weight":
            array = array - self.shift  # this norm multiplies by its weight alone
        elif part in ("in_proj_qkv.weight", "conv1d.weight"):
            array = array.reshape(array.shape[0], -1)
            array = np.concatenate([array[:keys], self.tiled(array[keys:], self.state)])
        elif part == "in_proj_z.weight":
            array = self.tiled(array, self.state)
        elif part == "out_proj.weight":
            array = self.tiled(array, self.state, 1)
        else:
            array = self.tiled(-np.exp(array) if part == "A_log" else array, 1)
        names = {"in_proj_qkv.weight": "attn_qkv.weight", "in_proj_z.weight": "attn_gate.weight",
                 "in_proj_a.weight": "ssm_alpha.weight", "in_proj_b.weight": "ssm_beta.weight",
                 "conv1d.weight": "ssm_conv1d.weight", "A_log": "ssm_a", "dt_bias": "ssm_dt.bias",
                 "norm.weight": "ssm_norm.weight", "out_proj.weight": "ssm_out.weight"}
        return [(f"blk.{layer}.{names[part]}", array)]


class Qwen35Moe(WithExperts, Qwen35):
    """The same with experts, and one more that serves every row, times a gate. Such files say no other width."""

    name, experts, width, shared, value_heads = "qwen35moe", 4, 8, 16, 4
    config_class, model_class = qwen3_5_moe.Qwen3_5MoeTextConfig, qwen3_5_moe.Qwen3_5MoeForCausalLM

    def __init__(self):
        super().__init__(num_experts=self.experts, num_experts_per_tok=self.used, moe_intermediate_size=self.width,
                         shared_expert_intermediate_size=self.shared)

    def pack(self, path):
        change_config(path, lambda config: config.pop("intermediate_size"))

    def metadata(self, writer):
        super().metadata(writer)
        del writer.kv_data[-1][f"{self.name}.feed_forward_length"]
        writer.add_uint32(f"{self.name}.expert_shared_feed_forward_length", self.shared)

    def tensors(self, key, array):
        part = key.split(".mlp.")[-1]
        names = {"shared_expert_gate.weight": "gate_inp_shexp", "shared_expert.gate_proj.weight": "gate_shexp",
                 "shared_expert.up_proj.weight": "up_shexp", "shared_expert.down_proj.weight": "down_shexp"}
        if part in names:
            return [(f"blk.{key.split('.')[2]}.ffn_{names[part]}.weight", array.squeeze())]
        return (WithExperts if ".mlp." in key else Qwen35).tensors(self, key, array)

    def gate_and_up(self, array):
        return array[:, :self.width], array[:, self.width:]

    def down(self, array):
        return array


TWINS = (Gemma2, Mistral3, Olmo2, Olmo3, Exaone4, Phi3, ShortPhi3, Qwen3Moe, GptOss, PackedGptOss, Qwen35, Qwen35Moe)


if __name__ == "__main__":
    write_models(pathlib.Path(sys.argv[1]), TWINS, sys.argv[2:])
