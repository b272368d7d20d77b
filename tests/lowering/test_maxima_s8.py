"""The greatest values of a linear's result along an axis are int8 between two linears."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mcu_sdk import compile_module
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter


class Head(nn.Module):
    """A linear, the greatest values of its rows along an axis, and a linear."""

    def __init__(self, axis: int, turned: bool, *, read_twice: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.axis, self.turned, self.read_twice = nn.Linear(6, 8), axis, turned, read_twice
        self.last = nn.LazyLinear(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x.transpose(-1, -2) if self.turned else x
        greatest = x.max(self.axis).values
        result = self.last(greatest.flatten(1))
        return result + greatest.sum() if self.read_twice else result


def compiled(head: Head) -> tuple[list[str], float]:
    """The operators, and the relative RMS error against PyTorch."""
    calls = [(torch.randn((1, 2, 5, 6), generator=torch.Generator().manual_seed(i)),) for i in range(4)]
    head(*calls[0])
    made = compile_module(head.eval(), calls[0], calibration=calls)
    pte = read_pte(made.pte)
    interpreter = Interpreter(pte)
    found = torch.cat([interpreter.run(*call)[0] for call in calls])
    wanted = torch.cat([head(*call).detach() for call in calls])
    operators = [each.operator for each in pte.instructions if "view" not in each.operator]
    return operators, float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("axis", "turned"), [(-1, True), pytest.param(2, False, marks=pytest.mark.slow)])
def test_between_linears(axis: int, turned: bool) -> None:
    operators, error = compiled(Head(axis, turned))
    assert operators[1:] == ["mcu::linear_s8_requantize", "mcu::max_pool2d_s8", "mcu::linear_s8_static"]
    assert (
        error < 0.03
    )  # of two int8 linears with random weights; a wrong axis or scale gives tens of percent


@pytest.mark.slow
def test_what_something_else_reads_stays_float() -> None:
    operators, error = compiled(Head(2, False, read_twice=True))
    assert "aten::amax" in operators and "mcu::max_pool2d_s8" not in operators
    assert error < 0.03
