"""Weights of few levels in a step for the NPU: the integers that were rounded are those that the delegate is made of."""

from __future__ import annotations

import pytest
import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from mcu_sdk.board.npu_target import default_target
from mcu_sdk.lowering.calibrate import cache_ranges, sample_windows
from mcu_sdk.lowering.ethos_u.delegate import compile_spec
from mcu_sdk.lowering.ethos_u.levels import round_weights, set_scales
from mcu_sdk.lowering.ethos_u.quantizer import StepQuantizer
from mcu_sdk.lowering.ethos_u.step import NpuStep
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import args, aten, is_call
from mcu_sdk.lowering.gptq import Grouped, dequantize_groups, few_levels, quantize_groups
from mcu_sdk.lowering.module_path import traced
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.model.load import find_checkpoint, load_model
from tests.checkpoints import make_checkpoint

LENGTH = 8


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> NpuStep:
    folder = make_checkpoint("llama-gqa-untied", tmp_path_factory.mktemp("levels"), num_hidden_layers=1)
    model = load_model(find_checkpoint(str(folder)))
    program = export_decoder(model, LENGTH)
    fuse(program, LENGTH, cache_ranges(model, sample_windows(model, LENGTH)))
    return NpuStep(program, LENGTH)


def int8_weights(converted: GraphModule) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Integers and scales of each linear's weight, in order."""
    found = []
    for node in converted.graph.nodes:
        if is_call(node, aten.linear.default):
            constants = args(args(node)[1])[:2]
            assert all(isinstance(each, Node) and each.op == "get_attr" for each in constants)
            values, scales = (getattr(converted, str(each.target)) for each in constants)
            found.append((values, scales))
    return found


def test_integers_and_scales_are_those_that_were_rounded(step: NpuStep) -> None:
    """But for the last linear, which was not: its weights have all levels of int8. A scale comes out of a division of 127
    times it by 127, each rounded once: 2^-23 of it."""
    weights = [each.clone() for each in step.linear_weights().values()]
    rounded: dict[str, Grouped] = {
        weight_digest(weight): quantize_groups(weight, None, few_levels()) for weight in weights[:-1]
    }
    scales = round_weights(step, rounded)
    now = list(step.linear_weights().values())
    for weight, meant in zip(weights[:-1], now, strict=False):
        assert torch.equal(meant, dequantize_groups(*rounded[weight_digest(weight)], few_levels()))
    assert torch.equal(now[-1], weights[-1])
    target = default_target("ethos-u55-128")
    inputs = step.example_inputs()
    prepared = prepare_pt2e(traced(step, inputs), StepQuantizer(compile_spec(target)))
    with torch.no_grad():
        prepared(*inputs)
        set_scales(prepared, scales)
        found = int8_weights(convert_pt2e(prepared))
    assert len(found) == len(weights) == 8
    for weight, (values, rows) in zip(weights[:-1], found, strict=False):
        wanted, wanted_rows = rounded[weight_digest(weight)]
        assert torch.equal(values, wanted)
        assert torch.allclose(rows, wanted_rows.flatten(), rtol=2.0**-23, atol=0)
    assert len(found[-1][0].unique()) > 100


def test_a_weight_that_the_step_does_not_have_is_no_mistake_of_the_user_s(step: NpuStep) -> None:
    stranger = torch.eye(3)
    with pytest.raises(AssertionError, match="one of the step's linears"):
        round_weights(step, {weight_digest(stranger): quantize_groups(stranger, None, few_levels())})
