"""A k_proj with biases many times what keys vary by: int8 keys keep what they say of their tokens."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mcu_sdk.lowering.accuracy import measure
from mcu_sdk.lowering.calibrate import cache_ranges
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.guard import DecoderGuard, checkpoint_logits
from mcu_sdk.lowering.prefill import check_prefill, prefill_of
from mcu_sdk.lowering.quantize import quantize
from mcu_sdk.lowering.run_step import StepRunner

CACHE, VOCABULARY = 24, 96


def biased(name: str, size: float, **more: Any) -> PreTrainedModel:
    """A decoder of one layer with two biases of that size in k_proj: of a pair that turns slowly, and of another that turns
    faster, where it is rotated."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        name, vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=1, pad_token_id=0, **more
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for key, value in model.named_parameters():
        if key.endswith("k_proj.bias"):
            value.data[5], value.data[26] = size, -size
    return model


QWEN2 = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
OPT = {
    "hidden_size": 64,
    "word_embed_proj_dim": 64,
    "ffn_dim": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


def error_of(model: PreTrainedModel, scales: tuple[str, ...], operators: set[str]) -> dict[str, float]:
    """The relative error of the quantized step by kind of scales; the fused step is compared on the way."""
    windows = torch.randint(0, VOCABULARY, (2, CACHE), generator=torch.Generator().manual_seed(4))
    guard = DecoderGuard(model, windows, CACHE)
    exported = guard.faithful_step()
    found = {}
    for kind in scales:
        program = copy.deepcopy(exported)
        ranges = cache_ranges(model, windows) if kind == "calibrated" else None
        fuse(program, CACHE, ranges)
        guard.check_fused(program, ranges)
        targets = {
            str(node.target).split(".")[1] for node in program.graph.nodes if "mcu." in str(node.target)
        }
        assert operators <= targets and ("key_bias_scores" in targets) == ("key_bias_scores" in operators)
        step = quantize(
            program,
            "dynamic",
            lambda prepared: prepared(
                input_ids=torch.zeros(1, 1, dtype=torch.long), cache_position=torch.tensor([0])
            ),
        )
        logits = StepRunner(step).run(windows)
        found[kind] = measure(logits, checkpoint_logits(model, windows), logits=True).relative_rms_error
        if kind == "dynamic" and "key_bias_scores" in operators:
            check_prefill(step, prefill_of(step, 8), 8, VOCABULARY, CACHE)
    return found


@pytest.mark.slow
def test_rotated_keys() -> None:
    """A Qwen2 with biases of 600, which cost 0.26 and 0.32 in the cache. A chunk of a prompt gives the same bits."""
    operators = {"key_bias_scores", "rope"}
    errors = error_of(biased("qwen2", 600.0, **QWEN2), ("dynamic", "calibrated"), operators)
    assert max(errors.values()) < 0.08, (
        errors
    )  # the bound that is asked for; without biases int8 costs 0.03 here


def test_keys_without_rotation_need_no_bias() -> None:
    """What all keys have in common is nothing to a softmax: OPT's biases are left out altogether."""
    errors = error_of(biased("opt", 600.0, **OPT), ("calibrated",), {"attention_s8"})
    assert errors["calibrated"] < 0.08


def test_small_biases_stay() -> None:
    errors = error_of(biased("qwen2", 3.0, **QWEN2), ("dynamic",), {"attention_s8_dynamic"})
    assert errors["dynamic"] < 0.08
