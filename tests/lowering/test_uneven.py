"""Residual sums of values with outliers stay float, others become int8."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mcu_sdk import compile_module
from mcu_sdk.lowering.uneven import LEVELS, STEPS, is_uneven
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import read_pte

CHANNELS = 16


class Block(nn.Module):
    """A feed-forward block as BERT has it; the first channel of its result is `outlier` times as large."""

    def __init__(self, outlier: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.inner, self.outer, self.last = (nn.Linear(CHANNELS, CHANNELS) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(2))
        self.outer.weight.data[0] *= outlier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norms[0](self.first(x))
        x = self.norms[1](x + self.outer(torch.relu(self.inner(x))))
        return self.last(x)


def compiled(outlier: float) -> tuple[list[str], float]:
    """The operators, and the RMS error."""
    calls = [(torch.randn((1, 8, CHANNELS), generator=torch.Generator().manual_seed(i)),) for i in range(4)]
    made = compile_module(Block(outlier).eval(), calls[0], calibration=calls)
    plan = compile_plan(read_pte(made.pte))
    operators = [planned.instruction.operator for planned in plan.calls]
    return operators, made.facts["accuracy"]["relative_rms_error"]


@pytest.mark.parametrize(("outlier", "is_float"), [(1.0, False), (300.0, True)])
def test_the_sum_of_a_value_with_an_outlier_stays_float(outlier: float, is_float: bool) -> None:
    operators, error = compiled(outlier)
    assert ("aten::add" in operators) == is_float
    assert "mcu::layer_norm_s8" in operators and error < 0.05


def test_int8_would_lose_what_is_not_the_outlier(monkeypatch: pytest.MonkeyPatch) -> None:
    _, kept = compiled(300.0)
    monkeypatch.setattr("mcu_sdk.lowering.uneven.LEVELS", 1e9)
    operators, lost = compiled(300.0)
    assert "aten::add" not in operators and lost > 2 * kept


def test_the_border() -> None:
    middle = torch.ones(CHANNELS)
    largest = LEVELS * STEPS / 2
    for factor, uneven in ((0.99, False), (1.01, True)):
        channels = middle.clone()
        channels[3] = factor * largest
        assert is_uneven(channels) == uneven
    assert not is_uneven(torch.zeros(CHANNELS))
