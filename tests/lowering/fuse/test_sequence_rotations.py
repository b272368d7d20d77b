"""Rotary positions of a whole sequence become one operator however they are spelt; what only looks like one stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, export

from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import args, is_call

LENGTH, HEADS, WIDTH = 6, 2, 8
Turn = Callable[[Tensor, Tensor, Tensor], Tensor]


def halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    both = torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)
    return x * both[0] + torch.cat([-second, first], -1) * both[1]


def interleaved(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


def partial(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return torch.cat([halves(x[..., :4], cos[..., :2], sin[..., :2]), x[..., 4:]], -1)


def mirrored(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """A reflection of each pair."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos + second * sin, first * sin - second * cos], -1)


class Attention(nn.Module):
    """`late`: the rotation is behind the exchange of heads and positions."""

    def __init__(self, turn: Turn, late: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.turn, self.late = turn, late
        self.all = nn.Linear(HEADS * WIDTH, 3 * HEADS * WIDTH)
        angles = torch.arange(LENGTH)[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03])
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, x: Tensor) -> Tensor:
        rows = self.all(x).view(1, LENGTH, 3, HEADS, WIDTH)
        q, k, v = rows.unbind(2)
        if self.late:
            q, k = (self.turn(each.transpose(1, 2), self.cos, self.sin) for each in (q, k))
        else:
            tables = self.cos[:, None], self.sin[:, None]
            q, k = (self.turn(each, *tables).transpose(1, 2) for each in (q, k))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v.transpose(1, 2))
        return mixed.transpose(1, 2).reshape(1, LENGTH, -1)


def fused(model: nn.Module) -> tuple[ExportedProgram, int]:
    """The fused program, which computes what the model computes, and how many rotations there were."""
    x = torch.randn(1, LENGTH, HEADS * WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        program = export(model, (x,)).run_decompositions({})
        counts = fuse(program, None, None)
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-5, atol=1e-5)
    return program, counts.rope


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("turn", [halves, interleaved, partial])
def test_rotations(turn: Turn, late: bool) -> None:
    program, count = fused(Attention(turn, late))
    assert count == 2
    rotations = [node for node in program.graph.nodes if is_call(node, torch.ops.mcu.rope_rows.default)]
    assert len({args(node)[1:3] for node in rotations}) == 1, "one pair of tables for both"
    assert not any(is_call(node, torch.ops.aten.cat.default) for node in program.graph.nodes)


def test_a_reflection_is_no_rotation() -> None:
    assert fused(Attention(mirrored, False))[1] == 0


def test_one_projection_becomes_three() -> None:
    """Each of queries, keys and values is a linear of its own, and nothing is cut."""
    program, _ = fused(Attention(halves, False))
    linears = [node for node in program.graph.nodes if is_call(node, torch.ops.aten.linear.default)]
    assert [tuple(node.meta["val"].shape) for node in linears] == [(1, LENGTH, HEADS * WIDTH)] * 3
    cuts = (torch.ops.aten.slice.Tensor, torch.ops.aten.select.int)
    assert not any(is_call(node, *cuts) for node in program.graph.nodes)


class Shared(nn.Module):
    """Something reads the whole projection, too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.all = nn.Linear(HEADS * WIDTH, 2 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.all(x)
        return rows + rows[..., :WIDTH].repeat(1, 1, 2)


def test_a_projection_that_is_read_as_a_whole_stays() -> None:
    program, _ = fused(Shared())
    assert sum(is_call(node, torch.ops.aten.linear.default) for node in program.graph.nodes) == 1
