"""Rotations are found by what they compute, however they are spelt, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.export import ExportedProgram

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import tidy
from mcu_sdk.lowering.fuse.normalize import normalize
from mcu_sdk.lowering.fuse.positions import PositionTable, position_input
from mcu_sdk.lowering.fuse.rope import fuse_rope

POSITIONS, HEADS, SIZE = 6, 3, 8
Angles = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines, [1, SIZE / 2]."""


def side_by_side(x: torch.Tensor, angles: Angles) -> torch.Tensor:
    """GPT-J's and Cohere's: x * cos + (-b, a) * sin, both repeated."""
    cosine, sine = (value.repeat_interleave(2, -1) for value in angles)
    turned = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    return x * cosine + turned * sine


def in_parts(x: torch.Tensor, angles: Angles) -> torch.Tensor:
    """Each half of the result by itself."""
    cosine, sine = angles
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cosine - b * sine, b * cosine + a * sine], -1).flatten(-2)


def halves_in_parts(x: torch.Tensor, angles: Angles) -> torch.Tensor:
    """Halves, and the other way round: nanochat's."""
    cosine, sine = angles
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine + b * sine, b * cosine - a * sine], -1)


def a_part(x: torch.Tensor, angles: Angles) -> torch.Tensor:
    """GLM's: the first half of each row."""
    cosine, sine = (value[:, : SIZE // 4] for value in angles)
    return torch.cat([side_by_side(x[..., : SIZE // 2], (cosine, sine)), x[..., SIZE // 2 :]], -1)


def scaled(x: torch.Tensor, angles: Angles) -> torch.Tensor:
    """No rotation: each element by a number of its own."""
    return x * torch.cat(angles, -1) + x


def mirrored(x: torch.Tensor, angles: Angles) -> torch.Tensor:
    """No rotation: a reflection."""
    cosine, sine = angles
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine + b * sine, a * sine - b * cosine], -1)


class Step(torch.nn.Module):
    """A linear, turned, so that something stands in front of the rotation and behind it."""

    def __init__(self, turn: Callable[[torch.Tensor, Angles], torch.Tensor]) -> None:
        super().__init__()
        self.turn, self.linear = turn, torch.nn.Linear(SIZE, HEADS * SIZE)

    def forward(self, x: torch.Tensor, cache_position: torch.Tensor) -> torch.Tensor:
        frequencies = 10.0 ** -torch.arange(SIZE // 2)
        angles = cache_position[:, None].float() * frequencies
        heads = self.linear(x).view(1, 1, HEADS, SIZE).transpose(1, 2)
        return self.turn(heads, (angles.cos(), angles.sin())).sum(1)


def fused(turn: Callable[[torch.Tensor, Angles], torch.Tensor]) -> tuple[Step, ExportedProgram, int]:
    torch.manual_seed(0)
    step = Step(turn).eval().requires_grad_(False)
    given = {"x": torch.randn(1, 1, SIZE), "cache_position": torch.tensor([1])}
    program = torch.export.export(step, (), given).run_decompositions({})
    normalize(program)
    position = position_input(program)
    assert position is not None
    count = fuse_rope(program, PositionTable(program, position, POSITIONS))
    tidy(program)
    return step, program, count


@pytest.mark.parametrize(
    ("turn", "operator", "half"),
    [
        (side_by_side, "mcu.rope_pairs.default", SIZE // 2),
        (in_parts, "mcu.rope_pairs.default", SIZE // 2),
        (halves_in_parts, "mcu.rope.default", SIZE // 2),
        (a_part, "mcu.rope_pairs.default", SIZE // 4),
    ],
)
def test_a_rotation_is_found(
    turn: Callable[[torch.Tensor, Angles], torch.Tensor], operator: str, half: int
) -> None:
    step, program, count = fused(turn)
    assert count == 1
    calls = [node for node in program.graph.nodes if str(node.target) == operator]
    assert [node.args[1].meta["val"].shape for node in calls] == [(POSITIONS, half)]
    assert not any(str(node.target).startswith("aten.mul") for node in program.graph.nodes)
    module = program.module(check_guards=False)
    for position in range(POSITIONS):
        given = {
            "x": torch.randn(1, 1, SIZE, generator=torch.Generator().manual_seed(position)),
            "cache_position": torch.tensor([position]),
        }
        torch.testing.assert_close(module(**given), step(**given))


@pytest.mark.parametrize("turn", [scaled, mirrored])
def test_nothing_else_is_taken_for_a_rotation(turn: Callable[[torch.Tensor, Angles], torch.Tensor]) -> None:
    _, program, count = fused(turn)
    assert count == 0
    assert not any("mcu" in str(node.target) for node in program.graph.nodes)
