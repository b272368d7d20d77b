"""The residual stream of a pre-norm transformer is int16, in place; what int16 keeps too little of stays float."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mcu_sdk import compile_module
from mcu_sdk.lowering.stream_s16 import GREATEST, LEVELS, MARGIN, with_scales
from mcu_sdk.planning.plan import Plan, compile_plan
from mcu_sdk.planning.pte.read import read_pte

CHANNELS, ROWS = 16, 9


class Block(nn.Module):
    """x + outer(relu(inner(norm(x)))), `blocks` times, behind a class token and a table of positions."""

    def __init__(self, blocks: int = 2, outlier: float = 1.0, read_twice: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, CHANNELS)
        self.token = nn.Parameter(torch.randn(1, 1, CHANNELS))
        self.positions = nn.Parameter(torch.randn(1, ROWS, CHANNELS))
        self.inner, self.outer = (
            nn.ModuleList(nn.Linear(CHANNELS, CHANNELS) for _ in range(blocks)) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(blocks + 1))
        self.first.weight.data[0] *= outlier
        self.read_twice = read_twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat((self.token, self.first(x)), 1) + self.positions
        for norm, inner, outer in zip(self.norms, self.inner, self.outer, strict=False):
            x = x + outer(torch.relu(inner(norm(x))))
        if self.read_twice:
            return self.last(self.norms[-1](x)) + x.amax(-1, keepdim=True)
        return self.last(self.norms[-1](x))


class Mixer(nn.Module):
    """x + a linear along positions, then x + one along channels, with gates by a softmax if `gated`, `blocks` times."""

    def __init__(self, gated: bool, blocks: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, CHANNELS)
        self.across, self.scores = (
            nn.ModuleList(nn.Linear(size, size) for _ in range(blocks) for size in (ROWS - 1, CHANNELS))
            for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(2 * blocks + 1))
        self.gated = gated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for number, (norm, linear, scores) in enumerate(
            zip(self.norms, self.across, self.scores, strict=False)
        ):
            mixed = norm(x) if number % 2 else norm(x).transpose(1, 2)
            mixed = linear(mixed)
            if self.gated:
                mixed = mixed * torch.softmax(scores(mixed), -1)
            x = x + (mixed if number % 2 else mixed.transpose(1, 2))
        return self.last(self.norms[-1](x))


class Headless(Block):
    """The last sum goes to a linear without a norm; joined with what each row has from elsewhere, if `joined`."""

    def __init__(self, joined: bool) -> None:
        super().__init__()
        self.beside = nn.Linear(CHANNELS, 4) if joined else None
        self.last = nn.Linear(CHANNELS + 4 * joined, CHANNELS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given, x = x, torch.cat((self.token, self.first(x)), 1) + self.positions
        for norm, inner, outer in zip(self.norms, self.inner, self.outer, strict=False):
            x = x + outer(torch.relu(inner(norm(x))))
        if self.beside is not None:
            x = torch.cat((x, self.beside(given.mean(1, keepdim=True)).repeat(1, ROWS, 1)), -1)
        return self.last(x)


def compiled(module: nn.Module) -> tuple[Plan, float]:
    """The plan, and the RMS error."""
    calls = [
        (torch.randn((1, ROWS - 1, CHANNELS), generator=torch.Generator().manual_seed(i)),) for i in range(4)
    ]
    made = compile_module(module.eval(), calls[0], calibration=calls)
    return compile_plan(read_pte(made.pte)), made.facts["accuracy"]["relative_rms_error"]


def operators(plan: Plan) -> list[str]:
    return [planned.instruction.operator for planned in plan.calls]


def test_linears_add_to_the_stream_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, error = compiled(Block())
    found = operators(plan)
    assert found.count("mcu::linear_s8_add_s16_") == 2  # a block each
    assert found.count("mcu::linear_s8_add_s16") == 1  # the rows of positions
    assert "aten::add" not in found and found.count("mcu::layer_norm_s8") == 3

    monkeypatch.setattr("mcu_sdk.lowering.quantize.find_streams", lambda model: [])
    in_float, float_error = compiled(Block())
    assert "aten::add" in operators(in_float)
    assert plan.arena_bytes < 0.75 * in_float.arena_bytes
    assert error < 1.1 * float_error


@pytest.mark.parametrize("gated", [pytest.param(False, marks=pytest.mark.slow), True])
def test_what_is_turned_and_gates_are_added_by_tables(gated: bool) -> None:
    """Of the linears along channels without gates each adds by itself."""
    plan, error = compiled(Mixer(gated))
    found = operators(plan)
    assert "aten::add" not in found and "aten::native_layer_norm" not in found
    assert found.count("mcu::lookup_add_s16_") == (4 if gated else 2)
    assert found.count("mcu::linear_s8_add_s16_") == (0 if gated else 2)
    assert found.count("mcu::layer_norm_s8") == 5
    assert error < 0.03


@pytest.mark.parametrize("joined", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_last_sum_without_a_norm_is_made_int8_of_int16(joined: bool) -> None:
    plan, error = compiled(Headless(joined))
    found = operators(plan)
    assert "aten::add" not in found and found.count("mcu::requantize_s16") == 1
    assert found.count("mcu::linear_s8_add_s16_") == 2
    assert not [call for call in plan.calls if call.call.function == "mcu_dequantize_s16"]
    assert error < 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("outlier", "is_float"), [(30.0, False), (3000.0, True)])
def test_a_stream_with_an_outlier_stays_float(outlier: float, is_float: bool) -> None:
    plan, error = compiled(Block(outlier=outlier))
    assert ("aten::add" in operators(plan)) == is_float
    assert error < 0.1


@pytest.mark.slow
def test_what_something_else_reads_stays_float() -> None:
    plan, _ = compiled(Block(read_twice=True))
    found = operators(plan)
    assert found.count("mcu::linear_s8_add_s16_") == 1  # not the last sum
    assert "aten::add" in found


def test_the_border_of_what_int16_keeps() -> None:
    """A channel in the middle has LEVELS steps of a scale that goes MARGIN times as far as calibration."""
    graph = torch.fx.Graph()
    values = [graph.placeholder("first"), graph.placeholder("second")]
    largest = GREATEST / MARGIN / LEVELS
    for factor, kept in ((0.99, True), (1.01, False)):
        channels = torch.ones(CHANNELS)
        channels[3] = factor * largest
        found = with_scales([values], {"first": channels, "second": torch.full((CHANNELS,), 2.0)})
        assert bool(found) == kept
    (stream,) = with_scales([values], dict.fromkeys(("first", "second"), torch.full((4,), 3.0)))
    assert stream.values == {"first", "second"} and stream.scale == MARGIN * 3.0 / GREATEST
    for broken in (float("nan"), 0.0):
        assert not with_scales([values], dict.fromkeys(("first", "second"), torch.full((4,), broken)))
