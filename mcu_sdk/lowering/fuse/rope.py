"""Rotary position embedding in the half-split form: x * cos + rotate_half(x) * sin -> mcu::rope; other forms are found by
what they compute (rotations.py)."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import add_buffer, args, aten, either_order, is_call, replace, shape_of, tidy
from mcu_sdk.lowering.fuse.positions import PositionTable
from mcu_sdk.lowering.fuse.rotations import fuse_rotations

mcu = torch.ops.mcu
END = 1 << 40
"""Slices to the end of an axis are written with a huge number; anything above this means the end."""


def fuse_rope(program: ExportedProgram, positions: PositionTable, *, pairs: bool = True) -> int:
    """Replace every rotation whose angles depend on the position alone; returns how many there were.

    `pairs`: those of pairs side by side, too. The tables hold one row for each position, [length, rotary_dim / 2], float32, shared by all that are equal.
    """
    tables: dict[tuple[Node, Node], tuple[Node, Node] | None] = {}
    count = 0
    for node in list(program.graph.nodes):
        match = _match(node, positions)
        if match is None:
            continue
        x, cosine, sine = match
        key = (_unviewed(cosine), _unviewed(sine))
        if key not in tables:
            tables[key] = _half_tables(program, positions, cosine, sine)
        pair = tables[key]
        if pair is None:
            continue
        replace(program.graph, node, mcu.rope.default, (x, *pair, positions.position))
        count += 1
    tidy(program)  # what was replaced is no second time a rotation
    count += fuse_rotations(program, positions, pairs=pairs)
    _widen_partial_rotations(program)
    return count


def _unviewed(node: Node) -> Node:
    while is_call(node, aten.unsqueeze.default, aten.view.default):
        node = args(node)[0]
    return node


def _match(node: Node, positions: PositionTable) -> tuple[Node, Node, Node] | None:
    """(x, cos, sin) of `x * cos + cat(-x[half:], x[:half]) * sin`."""
    if not is_call(node, aten.add.Tensor) or node.kwargs:
        return None
    for straight, rotated in either_order(node):
        if not (is_call(straight, aten.mul.Tensor) and is_call(rotated, aten.mul.Tensor)):
            continue
        for turned, sine in either_order(rotated):
            source = _rotate_half_of(turned)
            if source is None or sine not in positions:
                continue
            for x, cosine in either_order(straight):
                if x is source and cosine in positions and shape_of(cosine)[-1:] == shape_of(x)[-1:]:
                    return x, cosine, sine
    return None


def _rotate_half_of(node: object) -> Node | None:
    """x, when the node is cat([-x[..., half:], x[..., :half]], -1)."""
    if not is_call(node, aten.cat.default) or len(args(node)[0]) != 2:
        return None
    axis = args(node)[1] if len(args(node)) > 1 else 0
    negative, first = args(node)[0]
    if axis not in (-1, len(shape_of(node)) - 1) or not is_call(negative, aten.neg.default):
        return None
    second = args(negative)[0]
    size = shape_of(node)[-1]
    if (
        _is_slice(first, 0, size // 2)
        and _is_slice(second, size // 2, size)
        and args(first)[0] is args(second)[0]
    ):
        source = args(first)[0]
        assert isinstance(source, Node)
        return source if shape_of(source)[-1] == size else None
    return None


def _is_slice(node: object, start: int, end: int) -> bool:
    """Whether the node is x[..., start:end] along the last axis."""
    if not is_call(node, aten.slice.Tensor):
        return False
    source = args(node)[0]
    assert isinstance(source, Node)
    size = shape_of(source)[-1]
    axis, begin, stop = (list(args(node)[1:4]) + [0, 0, END][len(args(node)) - 1 :])[:3]
    step = args(node)[4] if len(args(node)) > 4 else 1
    stop = size if stop is None or stop > size else stop
    return axis in (-1, len(shape_of(source)) - 1) and step == 1 and (begin or 0) == start and stop == end


def _half_tables(
    program: ExportedProgram, positions: PositionTable, cosine: Node, sine: Node
) -> tuple[Node, Node] | None:
    """Buffers with one row of cosines and sines for each position, or None if the halves are not alike."""
    halves = []
    for node in (cosine, sine):
        rows = positions.rows(node).reshape(positions.length, -1)
        half = rows.shape[1] // 2
        if rows.shape[1] != shape_of(node)[-1] or not torch.equal(rows[:, :half], rows[:, half:]):
            return None
        halves.append(rows[:, :half].float().contiguous())
    return add_buffer(program, "rope_cos", halves[0]), add_buffer(program, "rope_sin", halves[1])


def _widen_partial_rotations(program: ExportedProgram) -> None:
    """cat([rope(x[..., :r]), x[..., r:]]) is a rotation of x that leaves the rest of each row alone."""
    for node in list(program.graph.nodes):
        if not is_call(node, aten.cat.default) or len(args(node)[0]) != 2:
            continue
        axis = args(node)[1] if len(args(node)) > 1 else 0
        turned, rest = args(node)[0]
        if axis not in (-1, len(shape_of(node)) - 1) or not is_call(
            turned, mcu.rope.default, mcu.rope_pairs.default
        ):
            continue
        part, rotary = args(turned)[0], shape_of(turned)[-1]
        if not (is_call(part, aten.slice.Tensor) and is_call(rest, aten.slice.Tensor)):
            continue
        source = args(part)[0]
        size = shape_of(source)[-1]
        if args(rest)[0] is source and _is_slice(part, 0, rotary) and _is_slice(rest, rotary, size):
            replace(program.graph, node, turned.target, (source, *args(turned)[1:]))
