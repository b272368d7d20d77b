"""One linear of which parts are taken (queries, keys and values at once) -> a linear for each part.

Each part then has an int8 scale of its own, and no row is cut up. Which channels a part has, and in which order they
lie, is computed: numbers take the way from the linear to the part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    add_buffer,
    args,
    aten,
    constant_value,
    evaluate,
    is_call,
    is_constant,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before

PARTS = (aten.slice.Tensor, aten.select.int)


def split_projections(program: ExportedProgram) -> int:
    """Rewrite in place the linears of which nothing but parts is read; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if is_call(node, aten.linear.default) and _has_constant_weight(program, node):
            parts = list(_parts_of(node))
            read = [None if part is None else _channels(program, node, part) for part in parts]
            if len(parts) > 1 and all(each is not None for each in read) and _are_apart(read):
                for part, each in zip(parts, read, strict=True):
                    assert part is not None and each is not None
                    _rewrite(program, node, part, each)
                count += 1
    return count


def _has_constant_weight(program: ExportedProgram, node: Node) -> bool:
    constants = [value for value in args(node)[1:] if value is not None]
    return all(isinstance(value, Node) and is_constant(program, value) for value in constants)


def _parts_of(node: Node) -> Iterator[Node | None]:
    """The first node behind each way from a value that takes a part of it; None for a way that does something else."""
    for user in node.users:
        if is_call(user, *PARTS):
            yield user
        elif is_call(user, *MOVES):
            yield from _parts_of(user)
        else:
            yield None


@dataclass(frozen=True)
class _Taken:
    """The channels of a part, int64[...] in the order of its other axes, and its axes of rows, the outermost first."""

    channels: torch.Tensor
    rows: tuple[int, ...]


def _channels(program: ExportedProgram, linear: Node, part: Node) -> _Taken | None:
    """What a part takes of each row of a linear's result [..., N]; None if not whole rows, every one once."""
    *leading, n = shape_of(linear)
    count = math.prod(leading)
    found = evaluate(program, part, {linear: torch.arange(count * n).reshape(*leading, n)})
    steps = {
        axis: int(found.select(axis, 1).flatten()[0] - found.flatten()[0])
        for axis in range(found.dim())
        if found.shape[axis] > 1
    }
    axes = sorted((axis for axis, step in steps.items() if step % n == 0), key=lambda axis: -steps[axis])
    by_row = found.movedim(axes, tuple(range(len(axes))))
    sizes = [found.shape[axis] for axis in axes]
    channels = by_row[(0,) * len(axes)]
    first = (
        n * torch.arange(count).reshape(*sizes, *[1] * channels.dim()) if math.prod(sizes) == count else None
    )
    if first is None or count == 1 or not torch.equal(by_row, channels + first):
        return None
    return _Taken(channels, tuple(axes))


def _are_apart(read: list[_Taken | None]) -> bool:
    """Whether no channel is in two parts."""
    channels = torch.cat([each.channels.flatten() for each in read if each is not None])
    return len(set(channels.tolist())) == channels.numel()


def _rewrite(program: ExportedProgram, linear: Node, part: Node, taken: _Taken) -> None:
    graph, which = program.graph, taken.channels.flatten()
    x, weight, *rest = args(linear)
    constants = []
    for value in (weight, *rest):
        rows = None if value is None else constant_value(program, value)[which].contiguous()
        constants.append(None if rows is None else add_buffer(program, f"{value.name}_part", rows))
    new = call_before(graph, part, aten.linear.default, x, *constants)
    new.meta = {**linear.meta, "val": new.meta["val"]}
    axes, shape = taken.rows, shape_of(part)
    sizes = [*(shape[axis] for axis in axes), *taken.channels.shape]
    others = iter(range(len(axes), len(sizes)))
    order = [axes.index(place) if place in axes else next(others) for place in range(len(sizes))]
    moved = [place for place in order if sizes[place] > 1]
    if moved == sorted(moved):
        result = call_before(graph, part, aten.view.default, new, list(shape))
    else:
        apart = call_before(graph, part, aten.view.default, new, sizes)
        result = call_before(graph, part, aten.permute.default, apart, order)
    part.replace_all_uses_with(result)
