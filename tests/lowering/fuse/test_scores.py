"""Attention spelt out over a static cache is fused, with the cap, the biases and the sinks that its scores have."""

from __future__ import annotations

import pytest
import torch

from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.left import left_in_float
from mcu_sdk.lowering.guard import DecoderGuard
from tests.decoders import small_decoder

CACHE = 12


@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("bloom", {"mcu.attention_s8_dynamic_shaped.default": 1}),
        ("gemma2", {"mcu.attention_s8_dynamic_shaped.default": 2}),
        ("gpt_neo", {"mcu.attention_s8_dynamic.default": 2}),
        ("opt", {"mcu.attention_s8_dynamic.default": 1}),
        ("gpt_oss", {"mcu.attention_s8_dynamic_shaped.default": 2}),
        ("granite_swa", {"mcu.attention_s8_dynamic_shaped.default": 2}),
        pytest.param("falcon", {"mcu.attention_s8_dynamic_shaped.default": 1}, marks=pytest.mark.slow),
        pytest.param("mpt", {"mcu.attention_s8_dynamic_shaped.default": 1}, marks=pytest.mark.slow),
    ],
)
def test_attention_is_fused(name: str, operators: dict[str, int]) -> None:
    """The step is the checkpoint's as it is exported, and again when it is fused."""
    model = small_decoder(name)
    guard = DecoderGuard(model, torch.arange(CACHE)[None] + 3, CACHE)
    program = guard.faithful_step()
    fuse(program, CACHE, None)
    guard.check_fused(program, None)
    targets = [str(node.target) for node in program.graph.nodes]
    found = {target: targets.count(target) for target in targets if "mcu.attention" in target}
    assert found == operators
    assert left_in_float(program) == []


def test_a_windows_cache_is_a_ring_under_a_cap_too() -> None:
    model = small_decoder("gemma2")
    guard = DecoderGuard(model, torch.arange(CACHE)[None] + 3, CACHE)
    program = guard.faithful_step()
    fuse(program, CACHE, None)
    tensors = {**program.state_dict, **program.constants}
    assert [tensors[f"key_cache_{layer}"].shape[2] for layer in (0, 1)] == [5, CACHE]
