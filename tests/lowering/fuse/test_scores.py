"""Attention spelt out over a static cache is fused, with the cap and the biases that its scores have."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.left import left_in_float
from mcu_sdk.lowering.guard import DecoderGuard

CACHE = 12
MODELS: dict[str, dict[str, Any]] = {
    "bloom": {"hidden_size": 32, "n_layer": 1, "n_head": 4},
    "gemma2": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 5,
        "attn_logit_softcapping": 2.0,
    },
    "falcon": {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "multi_query": True,
        "alibi": True,
    },
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 5,
        "max_position_embeddings": 32,
    },
    "opt": {
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
    },
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 1, "max_seq_len": 16},
}


def small(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    special = {"vocab_size": 40, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    config = AutoConfig.for_model(name, **special, **MODELS[name])
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("bloom", {"mcu.attention_s8_dynamic_shaped.default": 1}),
        ("gemma2", {"mcu.attention_s8_dynamic_shaped.default": 2}),
        ("gpt_neo", {"mcu.attention_s8_dynamic.default": 2}),
        ("opt", {"mcu.attention_s8_dynamic.default": 1}),
        pytest.param("falcon", {"mcu.attention_s8_dynamic_shaped.default": 1}, marks=pytest.mark.slow),
        pytest.param("mpt", {"mcu.attention_s8_dynamic_shaped.default": 1}, marks=pytest.mark.slow),
    ],
)
def test_attention_is_fused(name: str, operators: dict[str, int]) -> None:
    """The step is the checkpoint's as it is exported, and again when it is fused."""
    model = small(name)
    guard = DecoderGuard(model, torch.arange(CACHE)[None] + 3, CACHE)
    program = guard.faithful_step()
    fuse(program, CACHE, None)
    guard.check_fused(program, None)
    targets = [str(node.target) for node in program.graph.nodes]
    found = {target: targets.count(target) for target in targets if "mcu.attention" in target}
    assert found == operators
    assert left_in_float(program) == []


def test_a_windows_cache_is_a_ring_under_a_cap_too() -> None:
    model = small("gemma2")
    guard = DecoderGuard(model, torch.arange(CACHE)[None] + 3, CACHE)
    program = guard.faithful_step()
    fuse(program, CACHE, None)
    tensors = {**program.state_dict, **program.constants}
    assert [tensors[f"key_cache_{layer}"].shape[2] for layer in (0, 1)] == [5, CACHE]
