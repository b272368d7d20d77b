"""Views and turned axes, one behind the other, as what they are together: at most one turn of a value's axes.

Models cut up rows into heads, put windows beside each other and turn axes there and back. Of such a chain each element's
way is followed: the source's axes are split where a view cuts them, and only their last order counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.channels_last import ONE_VALUE, POOLS, TWO_VALUES
from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    SAME_BYTES,
    TURNS,
    args,
    aten,
    axes_of_turn,
    is_call,
    moves_only_ones,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before

BY_VALUE = {*TWO_VALUES, *ONE_VALUE} - {aten.clone.default}
IMAGES = (aten.conv2d.default, *POOLS)


@dataclass(frozen=True)
class Way:
    """A source seen with axes of `sizes`, which then lie in `order`; what is the same before and after is one axis."""

    sizes: tuple[int, ...]
    order: tuple[int, ...]


def moves_before(node: Node) -> tuple[Node, list[Node]]:
    """What a chain of moves that ends at `node` starts from, and its calls in order."""
    chain: list[Node] = []
    while is_call(node, *MOVES):
        chain.append(node)
        node = args(node)[0]
    return node, chain[::-1]


def way_of(shape: Sequence[int], chain: Sequence[Node]) -> Way | None:
    """What the calls of a chain do together to a value of `shape`; None where a view joins a part of a turned axis with
    another."""
    sizes = list(shape)
    order = list(range(len(sizes)))  # the numbers of parts of axes, as those lie in the source
    axes = [[number] for number in order]  # of the value so far, the parts of each axis
    for node in chain:
        if is_call(node, *TURNS):
            axes = [axes[axis] for axis in axes_of_turn(node)]
            continue
        cut = _cut([part for axis in axes for part in axis], shape_of(node), sizes, order)
        if cut is None:
            return None
        axes = cut
    return _joined([part for axis in axes for part in axis if sizes[part] > 1], sizes, order)


def _cut(
    parts: list[int], shape: Sequence[int], sizes: list[int], order: list[int]
) -> list[list[int]] | None:
    """The parts of each axis of a view, parts being split (in `sizes` and `order`) where an axis ends within one."""
    waiting = [part for part in parts if sizes[part] > 1]
    axes: list[list[int]] = []
    for size in shape:
        axis: list[int] = []
        while size > 1:
            part = waiting.pop(0)
            if size % sizes[part] == 0:
                size //= sizes[part]
            elif sizes[part] % size == 0:
                rest = len(sizes)
                sizes.append(sizes[part] // size)
                sizes[part], size = size, 1
                order.insert(order.index(part) + 1, rest)
                waiting.insert(0, rest)
            else:
                return None
            axis.append(part)
        axes.append(axis)
    return axes


def _joined(parts: list[int], sizes: list[int], order: list[int]) -> Way:
    """Parts that follow each other before and after are one."""
    before = [part for part in order if sizes[part] > 1]
    runs: list[list[int]] = []
    for part in parts:
        place = before.index(part)
        if runs and place and runs[-1][-1] == before[place - 1]:
            runs[-1].append(part)
        else:
            runs.append([part])
    first = sorted(runs, key=lambda run: before.index(run[0]))
    return Way(
        tuple(math.prod(sizes[part] for part in run) for run in first),
        tuple(first.index(run) for run in runs),
    )


def turn_later(program: ExportedProgram) -> int:
    """f(turn(x), turn(y)) -> turn(f(x, y)) in place, of operations on each value by itself whose inputs are turned alike;
    returns how many there were. What turns the result back then meets the turn."""
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, *BY_VALUE):
            continue
        values = [value for value in args(node)[:2] if isinstance(value, Node)]
        turns = [_turn_of(value) for value in values]
        orders = {None if turn is None else tuple(axes_of_turn(turn)) for turn in turns}
        shapes = {shape_of(value) for value in values}
        if len(orders) != 1 or None in orders or len(shapes) != 1:
            continue
        sources = iter([args(turn)[0] for turn in turns if turn is not None])
        arguments = [next(sources) if isinstance(value, Node) else value for value in args(node)]
        first = call_before(program.graph, node, node.target, *arguments, **node.kwargs)
        turned = call_before(program.graph, node, aten.permute.default, first, list(*orders))
        node.replace_all_uses_with(turned)
        program.graph.erase_node(node)
        count += 1
    return count


def _turn_of(value: Node) -> Node | None:
    """The turn of axes that a value is, or is a copy of; None for the one behind a convolution or a pool, and for one that
    turns back."""
    while is_call(value, aten.clone.default):
        value = args(value)[0]
    return value if is_call(value, *TURNS) and not is_call(args(value)[0], *IMAGES, *TURNS) else None


def join_turns(program: ExportedProgram) -> int:
    """Rewrite in place each chain with two turns or more; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, *MOVES) or (node.users and all(is_call(user, *MOVES) for user in node.users)):
            continue
        source, chain = moves_before(node)
        turns = [each for each in chain if is_call(each, *TURNS) and not moves_only_ones(each)]
        way = way_of(shape_of(source), chain) if len(turns) > 1 else None
        if way is None:
            continue
        value = source
        if list(way.order) != list(range(len(way.order))):
            if shape_of(source) != way.sizes:
                value = call_before(program.graph, node, aten.reshape.default, value, list(way.sizes))
            value = call_before(program.graph, node, aten.permute.default, value, list(way.order))
            value = call_before(
                program.graph, node, aten.clone.default, value, memory_format=torch.contiguous_format
            )
        if shape_of(value) != shape_of(node):
            value = call_before(program.graph, node, aten.reshape.default, value, list(shape_of(node)))
        node.replace_all_uses_with(value)
        count += 1
    if count:
        program.graph.eliminate_dead_code()
    return count


def drop_copies(program: ExportedProgram) -> int:
    """Turns of axes of one alone become views, and copies of what lies in order go, in place; returns how many there were.

    Of what a program takes and gives a copy stays one.
    """
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, *TURNS, aten.clone.default) or not _lies_in_order(args(node)[0]):
            continue
        source = args(node)[0]
        if is_call(node, *TURNS) and moves_only_ones(node):
            new = call_before(program.graph, node, aten.view.default, source, list(shape_of(node)))
            new.meta = {**node.meta, "val": new.meta["val"]}
            node.replace_all_uses_with(new)
        elif is_call(node, aten.clone.default) and _may_go(node, source):
            node.replace_all_uses_with(source)
        else:
            continue
        program.graph.erase_node(node)
        count += 1
    return count


def _lies_in_order(node: object) -> bool:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, torch.Tensor) and value.is_contiguous()


def _may_go(clone: Node, source: Node) -> bool:
    """Whether nobody sees that a copy and what it is of are one."""
    order = clone.kwargs.get("memory_format")
    root = source
    while is_call(root, *SAME_BYTES):
        root = args(root)[0]
    is_given = root.op != "call_function" or any(user.op == "output" for user in clone.users)
    return order in (None, torch.contiguous_format, torch.preserve_format) and not is_given
