"""What moves a value about in a graph, and the walk up through it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.fx import Graph, Node

from mcu_sdk.lowering.fuse.graph import (
    CARRIES,
    MOVES,
    axes_of_turn,
    behind,
    is_turn,
    moves_only_ones,
    needed_by,
)

aten = torch.ops.aten


def moved(shape: tuple[int, ...], *calls: tuple[Any, ...]) -> list[Node]:
    """A value of a shape, and what calls (operator, arguments) make of it, one of the other."""
    graph = Graph()
    nodes = [graph.placeholder("x")]
    nodes[0].meta["val"] = torch.empty(shape)
    for target, *arguments in calls:
        nodes.append(graph.call_function(target, (nodes[-1], *arguments)))
        nodes[-1].meta["val"] = target(nodes[-2].meta["val"], *arguments)
    return nodes


@pytest.mark.parametrize(
    ("call", "order"),
    [
        ((aten.transpose.int, 1, 2), [0, 2, 1, 3]),
        ((aten.transpose.int, -2, -1), [0, 1, 3, 2]),
        ((aten.permute.default, [0, -2, 1, -1]), [0, 2, 1, 3]),
        ((aten.permute.default, [3, 0, 1, 2]), [3, 0, 1, 2]),
    ],
)
def test_the_axes_of_a_turn_are_where_torch_puts_them(call: tuple[Any, ...], order: list[int]) -> None:
    x, turn = moved((2, 3, 4, 5), call)
    assert axes_of_turn(turn) == order
    assert turn.meta["val"].shape == x.meta["val"].permute(order).shape
    assert turn.meta["val"].stride() == x.meta["val"].permute(order).stride()
    assert is_turn(turn, *order) and not is_turn(turn, 0, 1, 2, 3) and not is_turn(x, *order)


def test_a_turn_of_axes_of_length_one_moves_nothing() -> None:
    for shape, moves in (((1, 1, 4, 5), True), ((1, 3, 1, 5), True), ((1, 3, 4, 5), False)):
        _, turn = moved(shape, (aten.transpose.int, 1, 2))
        assert moves_only_ones(turn) == moves, shape


def test_the_walk_ends_at_what_moves_nothing() -> None:
    calls: list[tuple[Any, ...]] = [
        (aten.relu.default,),
        (aten.expand.default, [4, 6]),
        (aten.view.default, [2, 2, 6]),
        (aten.transpose.int, 0, 2),
    ]
    x, relu, expand, _, turn = moved((4, 6), *calls)
    assert behind(turn, *MOVES) is expand
    assert behind(turn, *CARRIES) is relu
    assert behind(x, *CARRIES) is x
    assert behind(None, *CARRIES) is None


def test_what_a_value_is_computed_from() -> None:
    graph = Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y")
    both = graph.call_function(aten.add.Tensor, (x, y))
    one, other = (graph.call_function(aten.relu.default, (each,)) for each in (both, x))
    assert needed_by([one]) == {one, both, x, y}
    assert needed_by([one, other], but={both}) == {one, other, x}
    assert needed_by([]) == set()
