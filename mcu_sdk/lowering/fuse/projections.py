"""One linear of which parts are taken (queries, keys and values at once) -> a linear for each part.

Each part then has an int8 scale of its own, and no row is cut up. Which channels a part has, and in which order they
lie, is computed: numbers take the way from the linear to the part.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
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

MOVES = (*SAME_BYTES, aten.transpose.int, aten.permute.default)
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
                    _rewrite(program, node, part, *each)
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


Taken = tuple[torch.Tensor, int]
"""The channels of a part, int64[...] in the order of its other axes, and the axis of its rows."""


def _channels(program: ExportedProgram, linear: Node, part: Node) -> Taken | None:
    """What a part takes of each row of a linear's result [1, L, N] or [L, N]; None if not whole rows."""
    shape = shape_of(linear)
    rows, n = shape[-2] if len(shape) > 1 else 1, shape[-1]
    if len(shape) not in (2, 3) or shape[:-2] not in ((), (1,)) or rows == 1:
        return None
    numbers = torch.arange(rows * n).reshape(shape)
    found = evaluate(program, part, {linear: numbers})
    for axis, size in enumerate(found.shape):
        if size != rows:
            continue
        by_row = found.movedim(axis, 0)
        channels = by_row[0]
        if torch.equal(by_row, channels + n * torch.arange(rows).reshape(-1, *[1] * channels.dim())):
            return channels, axis
    return None


def _are_apart(read: list[Taken | None]) -> bool:
    """Whether no channel is in two parts."""
    channels = torch.cat([each[0].flatten() for each in read if each is not None])
    return len(set(channels.tolist())) == channels.numel()


def _rewrite(program: ExportedProgram, linear: Node, part: Node, channels: torch.Tensor, axis: int) -> None:
    graph, which = program.graph, channels.flatten()
    x, weight, *rest = args(linear)
    constants = []
    for value in (weight, *rest):
        taken = None if value is None else constant_value(program, value)[which].contiguous()
        constants.append(None if taken is None else add_buffer(program, f"{value.name}_part", taken))
    new = call_before(graph, part, aten.linear.default, x, *constants)
    new.meta = {**linear.meta, "val": new.meta["val"]}
    sizes = [shape_of(linear)[-2], *channels.shape]
    order = [*range(1, axis + 1), 0, *range(axis + 1, len(sizes))]
    longer = [place for place in order if sizes[place] > 1]
    if longer == sorted(longer):
        result = call_before(graph, part, aten.view.default, new, list(shape_of(part)))
    else:
        rows = call_before(graph, part, aten.view.default, new, sizes)
        result = call_before(graph, part, aten.permute.default, rows, order)
    part.replace_all_uses_with(result)
