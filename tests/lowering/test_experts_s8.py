"""A mixture of experts: chosen weights in int8, the router in float, and nothing of the others read."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mcu_sdk.lowering.accuracy import measure
from mcu_sdk.lowering.calibrate import run_steps
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.left import left_in_float
from mcu_sdk.lowering.guard import DecoderGuard, checkpoint_logits
from mcu_sdk.lowering.pack import pack_weights
from mcu_sdk.lowering.quantize import Activations, quantize
from mcu_sdk.lowering.run_step import StepRunner
from tests.decoders import small_decoder

CACHE = 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "activations"), [("olmoe", "dynamic"), ("olmoe", "static"), ("phimoe", "dynamic")]
)
def test_a_mixture_is_quantized_but_for_its_router(name: str, activations: Activations) -> None:
    """PhiMoE's router chooses one expert after the other, each the greatest of those that are left."""
    model = small_decoder(name)
    tokens = torch.arange(CACHE)[None] + 3
    guard = DecoderGuard(model, tokens, CACHE)
    program = export_decoder(model, CACHE)
    guard.check_exported(program)
    assert fuse(program, CACHE, None).expert_linear == 2
    guard.check_fused(program, None)
    assert left_in_float(program) == []
    quantized = quantize(program, activations, lambda prepared: run_steps(prepared, tokens))
    before = StepRunner(quantized).run(tokens)
    assert measure(before, checkpoint_logits(model, tokens), logits=True).relative_rms_error < 0.1
    assert pack_weights(quantized, "helium-8x16") > 2
    assert torch.equal(StepRunner(quantized).run(tokens), before)
    found: dict[Any, int] = {}
    for node in quantized.graph.nodes:
        found[node.target] = found.get(node.target, 0) + 1
    assert found[torch.ops.mcu.expert_linear_s8.packed] == 2
    assert found[torch.ops.aten.linear.default] == 1  # the router
    assert torch.ops.aten.bmm.default not in found
    sizes = [value.numel() for value in quantized.state_dict.values() if value.is_floating_point()]
    assert max(sizes) < 4 * 32 * 24  # no weights of experts in float
