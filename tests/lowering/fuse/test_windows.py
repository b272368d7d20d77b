"""Windows beside each other, chosen along one axis after the other: what unfold computes, and what there are kernels for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.lowering.fuse.graph import aten, is_call, tidy
from mcu_sdk.lowering.fuse.windows import choose_windows
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter


class Unfolded(nn.Module):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.unfold = nn.Unfold(**settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.unfold(x)
        return found * 2.0


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 3, 8, 1), {"kernel_size": (5, 1), "padding": (2, 0)}),
        ((1, 2, 6, 5), {"kernel_size": 3}),
        ((2, 2, 9, 7), {"kernel_size": (3, 2), "padding": (1, 2), "stride": (2, 3), "dilation": (2, 1)}),
        ((1, 2, 4, 4), {"kernel_size": 1, "stride": 2}),
    ],
)
def test_windows_are_those_of_unfold(shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    x = torch.randn(shape)
    program = torch.export.export(Unfolded(**settings), (x,)).run_decompositions({})
    expected = program.module()(x)
    assert choose_windows(program) == 1
    tidy(program)
    assert not any(is_call(node, aten.im2col.default) for node in program.graph.nodes)
    assert torch.equal(program.module()(x), expected)


def test_a_module_with_windows_is_compiled() -> None:
    x = torch.randn(1, 3, 8, 4)
    module = Unfolded(kernel_size=(3, 2), padding=(1, 0))
    compiled = mcu_sdk.compile_module(module, x)
    (found,) = Interpreter(read_pte(compiled.pte, compiled.names)).run(x)
    assert torch.equal(found, module(x))
