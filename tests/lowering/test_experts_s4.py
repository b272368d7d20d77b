"""Experts with int4 weights: what they compute then, which are rounded by what their rows were, and what stays int8."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram, export

from mcu_sdk.lowering.expert_moments import expert_moments
from mcu_sdk.lowering.fuse.experts import EXPERT_LINEAR
from mcu_sdk.lowering.gptq import dequantize_groups, quantize_groups
from mcu_sdk.lowering.int4 import (
    FloatLinear,
    Int4Share,
    experts_to_int4,
    float_experts,
    int4_candidates,
    round_weight,
)
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.lowering.quantize import quantize
from mcu_sdk.lowering.sensitivity import Sensitivity
from mcu_sdk.operators.reference.int4 import pack_groups
from tests.decoders import small_decoder

EXPERTS = 3


class Mixture(nn.Module):
    """Two linears of three experts that int4 makes smaller (the second one with a group of 16), and one that it would not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.up = nn.Parameter(torch.randn(EXPERTS, 48, 64) / 8)
        self.bias = nn.Parameter(torch.randn(EXPERTS, 48))
        self.down = nn.Parameter(torch.randn(EXPERTS, 64, 48) / 7)
        self.narrow = nn.Parameter(torch.randn(EXPERTS, 3, 64) / 8)

    def forward(self, x: torch.Tensor, expert: torch.Tensor) -> Any:
        x = torch.tanh(EXPERT_LINEAR(x, self.up, self.bias, expert))
        x = torch.tanh(EXPERT_LINEAR(x, self.down, None, expert))
        return EXPERT_LINEAR(x, self.narrow, None, expert)


X = torch.randn(96, 1, 64, generator=torch.Generator().manual_seed(2))
CHOSEN = torch.tensor([[0, 1], [2, 0], [1, 2]]).repeat(32, 1)


def quantized(module: Mixture, activations: Any) -> tuple[ExportedProgram, list[FloatLinear]]:
    """The int8 program of one [1, 64] step of two chosen experts, calibrated on X, and its experts before that."""
    program = export(module, (X[0], CHOSEN[0]), strict=False).run_decompositions({})
    experts = float_experts(program)

    def calibrate(prepared: Any) -> None:
        for x, chosen in zip(X[:8], CHOSEN, strict=False):
            prepared(x, chosen)

    return quantize(program, activations, calibrate), experts


def results(module: Any) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([module(x, chosen) for x, chosen in zip(X[8:], CHOSEN[8:], strict=True)])


@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_experts_have_int4_weights(activations: str) -> None:
    """And their results are those of a float module with these weights, as near as int8 inputs are."""
    module = Mixture()
    program, experts = quantized(module, activations)
    assert [each.name.rpartition(".")[2] for each in experts] == ["up", "down", "narrow"]
    share = experts_to_int4(program, experts, {})
    assert share == Int4Share(2, [experts[2].name], 2 * EXPERTS, 2 * EXPERTS)
    names = [str(node.target) for node in program.graph.nodes if "expert_linear" in str(node.target)]
    assert names == ["mcu.expert_linear_s4.default"] * 2 + ["mcu.expert_linear_s8.default"]
    found = results(program.module(check_guards=False))
    floats = results(module)
    for weight in (module.up, module.down):
        weight.data = dequantize_groups(*round_weight(weight.data, {}))
    errors = found - (wanted := results(module))
    # Three int8 inputs and an int8 weight, each wrong by at most 1/254 of the range, say 4 spreads: together below
    # 4 / 254 * sqrt(4) = 3.2 % of the spread.
    assert float(errors.std()) < 0.032 * float(wanted.std())
    assert float((found - floats).std()) > 2 * float(errors.std())  # int4 is what is seen


def test_experts_with_moments_are_rounded_by_them() -> None:
    module = Mixture()
    inputs = X.reshape(-1, 64).double()
    moments = {weight_digest(module.up[1]): inputs.T @ inputs}
    program, experts = quantized(module, "dynamic")
    assert experts_to_int4(program, experts, moments).nearest_experts == 2 * EXPERTS - 1
    found = [value for name, value in program.state_dict.items() if name.endswith("_int4")]
    for blocks, weight, expected in zip(found, (module.up.data, module.down.data), ([1], []), strict=True):
        nearest = [pack_groups(*quantize_groups(each, None)) for each in weight]
        assert [i for i in range(EXPERTS) if not torch.equal(blocks[i], nearest[i])] == expected


def test_experts_are_candidates_with_what_they_save() -> None:
    module = Mixture()
    program, experts = quantized(module, "dynamic")
    first, second = int4_candidates(program, [], (), experts)
    assert first.names == (experts[0].name,) and first.digest == weight_digest(module.up)
    # int8 weights and a float for each channel; blocks of 144 bytes for 8 x 32.
    assert first.saved == EXPERTS * (48 * 64 + 4 * 48 - 6 * 2 * 144)
    assert second.saved == EXPERTS * (64 * 48 + 4 * 64 - 8 * 2 * 144)
    other = [FloatLinear(experts[0].name, module.up.data.flip(0)), *experts[1:]]
    with pytest.raises(AssertionError):  # of another program
        experts_to_int4(program, other, {})
    share = experts_to_int4(program, experts, {}, {first.digest, weight_digest(module.narrow)})
    assert share == Int4Share(1, [], EXPERTS, EXPERTS)


@pytest.mark.parametrize("name", ["olmoe", "gpt_oss"])
def test_moments_are_of_the_rows_that_reach_an_expert(name: str) -> None:
    """GPT-OSS has a column for each output. Both read all windows at once, with the router's own choices."""
    model = small_decoder(name)
    seen: list[Any] = []
    for module in model.modules():
        if type(module).__name__.endswith("Experts"):
            module.register_forward_pre_hook(lambda module, inputs: seen.append((module, *inputs)))
    tokens = torch.randint(0, 40, (8, 16), generator=torch.Generator().manual_seed(3))
    moments = expert_moments(model, tokens)
    assert seen
    reached = left_out = 0
    for module, rows, chosen, _ in seen:
        for index, weight in enumerate(module.gate_up_proj):
            matrix = weight if name == "olmoe" else weight.T
            x = rows.reshape(-1, 32)[(chosen == index).any(-1).flatten()].double()
            digest = weight_digest(matrix)
            if len(x) < 32:
                left_out += digest not in moments
            else:
                # Double sums of the same float32 products in another order.
                torch.testing.assert_close(moments[digest], x.T @ x, rtol=1e-12, atol=1e-12)
                reached += 1
    assert reached + left_out == 4 * len(seen) and reached > 0
    assert {len(each) for each in moments.values()} == {32, 24}


@pytest.mark.parametrize("name", ["olmoe", "gpt_oss"])
def test_what_int4_costs_experts_is_measured(name: str) -> None:
    model: Any = small_decoder(name)
    down = next(each for key, each in model.named_parameters() if key.endswith("experts.down_proj"))
    before = down.clone()
    rows = down.data if name == "olmoe" else down.data.transpose(1, 2)
    rounded = round_weight(rows, {})
    assert torch.equal(rounded[0][2], quantize_groups(rows[2], None)[0])
    digest = weight_digest(rows)
    sensitivity = Sensitivity(model, {digest: rounded}, torch.arange(24).reshape(2, 12))
    assert sensitivity.found == {digest} and sensitivity.divergence([]) == 0
    assert sensitivity.divergence([digest]) > 0
    assert torch.equal(down, before)
