"""A table that is added behind a cat is added to each part before, with the same bits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mcu_sdk.lowering.fuse.graph import aten, is_call, shape_of, tidy
from mcu_sdk.lowering.fuse.parts import add_to_parts


class Tokens(nn.Module):
    def __init__(self, *, constant: bool = True, alpha: int = 1, broadcast: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.token = nn.Parameter(torch.randn(1, 2, 4))
        self.table = nn.Parameter(torch.randn(1, 1 if broadcast else 7, 4))
        self.constant, self.alpha = constant, alpha

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.token if self.constant else x[:, :2].neg()
        return torch.add(torch.cat((first, x), 1), self.table, alpha=self.alpha)


def rewritten(module: nn.Module) -> tuple[int, list[tuple[int, ...]]]:
    """How many were rewritten, and the shapes of what is added; the results have to be the same bits."""
    x = torch.randn(1, 5, 4)
    program = torch.export.export(module.eval(), (x,))
    before = program.module()(x)
    count = add_to_parts(program)
    tidy(program)
    assert torch.equal(program.module()(x), before)
    return count, [shape_of(node) for node in program.graph.nodes if is_call(node, aten.add.Tensor)]


def test_a_class_token() -> None:
    assert rewritten(Tokens()) == (1, [(1, 5, 4)])


@pytest.mark.parametrize("changed", [{"constant": False}, {"alpha": 2}, {"broadcast": True}])
def test_what_is_left_as_it_is(changed: dict[str, int]) -> None:
    assert rewritten(Tokens(**changed)) == (0, [(1, 7, 4)])  # type: ignore[arg-type]
