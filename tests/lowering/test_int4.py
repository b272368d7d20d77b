"""The pass to int4 weights: which linears it takes, what they compute then, and what stays int8."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram, export

from mcu_sdk.lowering.gptq import dequantize_groups, quantize_groups
from mcu_sdk.lowering.int4 import Int4Share, float_linears, to_int4
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.lowering.quantize import quantize


class Chain(nn.Module):
    """Two linears that int4 makes smaller (the second one with a group of 26), two that it would not, and the head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first = nn.Linear(64, 48)
        self.narrow = nn.Linear(48, 4, bias=False)
        self.wide = nn.Linear(4, 90, bias=False)
        self.second = nn.Linear(90, 64, bias=False)
        self.head = nn.Linear(64, 20)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.wide(torch.tanh(self.narrow(torch.tanh(self.first(x)))))
        x = torch.tanh(self.second(torch.relu(x)))
        return self.head(x)


X = torch.randn(64, 3, 64, generator=torch.Generator().manual_seed(2))


def quantized(module: Chain, activations: Any) -> tuple[ExportedProgram, Any]:
    """The int8 program of one [1, 3, 64] step, calibrated on X, and its linears before that."""
    program = export(module, (X[:1],), strict=False).run_decompositions({})
    linears = float_linears(program)

    def calibrate(prepared: Any) -> None:
        for x in X[:8]:
            prepared(x[None])

    return quantize(program, activations, calibrate), linears


def operators(program: ExportedProgram) -> list[str]:
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    return [name.removeprefix("mcu.").removesuffix(".default") for name in names if "linear" in name]


@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_which_linears_have_int4_weights(activations: str) -> None:
    """And their results are those of a float module with these weights, as near as int8 inputs are."""
    module = Chain()
    program, linears = quantized(module, activations)
    assert [linear.name for linear in linears] == ["first", "narrow", "wide", "second", "head"]
    share = to_int4(program, linears, {}, {weight_digest(module.head.weight)})
    assert share == Int4Share(2, ["narrow", "wide"])
    int8 = "linear_s8" if activations == "dynamic" else "linear_s8_static"
    assert operators(program) == ["linear_s4", int8, int8, "linear_s4", int8]
    twin = Chain()
    for linear in (twin.first, twin.second):
        linear.weight.data = dequantize_groups(*quantize_groups(linear.weight.data, None))
    step, wanted, found = program.module(check_guards=False), [], []
    with torch.no_grad():
        for x in X[8:]:
            wanted.append(twin(x[None]))
            found.append(step(x[None]))
        float_results = torch.stack([module(x[None]) for x in X[8:]])
    errors = torch.stack(found) - torch.stack(wanted)
    spread = float(torch.stack(wanted).std())
    # Five int8 inputs and three int8 weights, each wrong by at most 1/254 of the range, say 4 spreads: together below
    # 4 / 254 * sqrt(8) = 4.5 % of the spread.
    assert float(errors.std()) < 0.045 * spread
    assert float((torch.stack(found) - float_results).std()) > 2 * float(errors.std())  # int4 is what is seen


def test_moments_are_found_by_weight() -> None:
    module = Chain()
    inputs = X.reshape(-1, 64).double()
    moments = {weight_digest(module.first.weight): inputs.T @ inputs}
    programs = []
    for given in ({}, moments):
        program, linears = quantized(module, "dynamic")
        to_int4(program, linears, given)
        programs.append(program)
    plain, moved = ([v for k, v in p.state_dict.items() if k.endswith("_int4")] for p in programs)
    assert [torch.equal(a, b) for a, b in zip(plain, moved, strict=True)].count(False) == 1


def test_linears_of_another_program_are_refused() -> None:
    program, linears = quantized(Chain(), "dynamic")
    linears[0], linears[3] = linears[3], linears[0]
    with pytest.raises(AssertionError):
        to_int4(program, linears, {})
