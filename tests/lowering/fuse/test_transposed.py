"""A transposed convolution is a convolution whose channels are shuffled into space."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.lowering.fuse.graph import aten, is_call, tidy
from mcu_sdk.lowering.fuse.spelt_out import spell_out
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import read_pte

FORMS = [
    # window, stride, padding, output padding
    ((3, 3), (2, 2), (1, 1), (1, 1)),
    ((2, 2), (2, 2), (0, 0), (0, 0)),
    ((4, 3), (2, 1), (1, 0), (0, 0)),
    ((1, 5), (3, 2), (0, 2), (2, 1)),
    ((3, 2), (1, 4), (2, 0), (0, 3)),
    ((2, 2), (1, 1), (0, 1), (0, 0)),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_two_axes(form: tuple[tuple[int, int], ...], bias: bool) -> None:
    torch.manual_seed(2)
    window, stride, padding, more = form
    module = nn.ConvTranspose2d(3, 4, window, stride, padding, more, bias=bias)  # type: ignore[arg-type]
    _check(module, torch.randn(1, 3, 5, 4))


@pytest.mark.parametrize(("window", "stride", "padding"), [(4, 2, 1), (5, 3, 0), (2, 4, 0)])
def test_one_axis(window: int, stride: int, padding: int) -> None:
    torch.manual_seed(3)
    _check(nn.ConvTranspose1d(3, 2, window, stride, padding), torch.randn(1, 3, 7))


def _check(module: nn.Module, x: torch.Tensor) -> None:
    program = torch.export.export(module.eval(), (x,))
    expected = program.module()(x)
    assert spell_out(program) == 1
    tidy(program)
    assert torch.allclose(program.module()(x), expected, atol=1e-5)


@pytest.mark.parametrize("changed", [{"groups": 2}, {"dilation": 2}])
def test_what_stays(changed: dict[str, int]) -> None:
    module = nn.ConvTranspose2d(2, 4, 3, **changed)  # type: ignore[arg-type]
    program = torch.export.export(module.eval(), (torch.randn(1, 2, 4, 4),))
    assert spell_out(program) == 0
    assert any(is_call(node, aten.conv_transpose2d.input) for node in program.graph.nodes)


def test_it_becomes_int8() -> None:
    """Up again from an image of half the size."""
    torch.manual_seed(4)
    down, up = nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 3, 4, 2, 1)
    module = nn.Sequential(down, nn.ReLU(), up).eval()
    made = mcu_sdk.compile_module(module, torch.randn(1, 3, 8, 8))
    counts = Counter(planned.instruction.operator for planned in compile_plan(read_pte(made.pte)).calls)
    assert counts["mcu::conv2d_s8"] == 2
    assert made.facts["accuracy"]["relative_rms_error"] < 0.03
