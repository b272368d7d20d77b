"""Of a sequence of which one row is read (a classifier reads its first token), the other rows are not computed.

From the last call to the first: what all readers of a value want of it, and what that wants of the values before it. A
row of a linear, a norm, a function or a sum wants a row of what they read, that of an attention wants one query, but all
keys and values. The same bits: no row depends on how many are computed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import SAME_BYTES, TURNS, args, aten, axes_of_turn, is_call, shape_of, tidy
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.normalize import fold_constants

mcu = torch.ops.mcu

ROW_BY_ROW = (aten.linear.default, mcu.layer_norm.default, mcu.rms_norm.default)
"""Of their first argument they take the last axis as a whole."""
ONE_VALUE = (
    mcu.gelu.default,
    mcu.silu.default,
    aten.gelu.default,
    aten.silu.default,
    aten.tanh.default,
    aten.sigmoid.default,
    aten.relu.default,
    aten.clone.default,
)
TWO_VALUES = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)
_ATTENTION = aten.scaled_dot_product_attention.default
_QUERIES = 2


@dataclass(frozen=True)
class Row:
    """One entry of an axis."""

    axis: int
    index: int


Wanted = dict[int, Row]
"""Of the arguments with these numbers a row; the rest whole."""


def drop_unread_rows(program: ExportedProgram) -> int:
    """Compute one row where one is read, in place; returns how many calls were narrowed so."""
    narrow, taking = _find(program)
    made: dict[Node, Node] = {}
    for node in list(program.graph.nodes):
        if node in narrow:
            made[node] = _narrowed(program, node, narrow, made)
        elif node in taking and args(node)[0] in narrow:
            row = made[args(node)[0]]
            node.replace_all_uses_with(
                call_before(program.graph, node, aten.view.default, row, list(shape_of(node)))
            )
    for node in reversed(list(program.graph.nodes)):
        # An attention is tagged as random: no dead-code elimination takes it.
        if node in narrow or (node in taking and not node.users):
            program.graph.erase_node(node)
    if narrow:
        tidy(program)
        fold_constants(program)
    return len(narrow)


def _find(program: ExportedProgram) -> tuple[dict[Node, Row], set[Node]]:
    """The calls to narrow, with the row that is read of each, and the calls that take a row out of a value."""
    readers: dict[Node, set[Row | None]] = defaultdict(set)  # None: one that reads all
    narrow: dict[Node, Row] = {}
    taking: set[Node] = set()
    for node in reversed(program.graph.nodes):
        if node.op == "placeholder":
            continue
        row = next(iter(readers[node])) if len(readers[node]) == 1 else None
        wanted = None if row is None else _wanted(node, row)
        if row is not None and wanted is not None:
            narrow[node] = row
        else:
            wanted = _taken(node)
            if wanted:
                taking.add(node)
        for number, value in enumerate(args(node)):
            for source in _nodes(value):
                readers[source].add(wanted.get(number))
        for value in node.kwargs.values():
            for source in _nodes(value):
                readers[source].add(None)
    return narrow, taking


def _nodes(value: Any) -> list[Node]:
    found: list[Node] = []
    torch.fx.node.map_arg(value, found.append)
    return found


def _taken(node: Node) -> Wanted:
    """What a call takes of its first argument where that is one of several entries of an axis."""
    if is_call(node, aten.select.int):
        axis, index = args(node)[1:3]
    elif is_call(node, aten.slice.Tensor) and not node.kwargs and len(args(node)) >= 4:
        axis, index = args(node)[1:3]
        index = 0 if index is None else index
    else:
        return {}
    shape = shape_of(args(node)[0])
    axis = int(axis) % len(shape)
    whole = is_call(node, aten.slice.Tensor) and shape_of(node)[axis] != 1
    if whole or shape[axis] == 1:
        return {}
    return {0: Row(axis, int(index) % shape[axis])}


def _wanted(node: Node, row: Row) -> Wanted | None:
    """What a row of a call's result wants of its arguments; None where the call has to be made as a whole."""
    if shape_of(node)[row.axis] == 1:
        return None
    for kinds, wanted in _KINDS:
        if is_call(node, *kinds):
            return wanted(node, row)
    return None


def _of_rows(node: Node, row: Row) -> Wanted | None:
    return {0: row} if row.axis < len(shape_of(node)) - 1 else None


def _of_one(node: Node, row: Row) -> Wanted | None:
    return {0: row}


def _of_two(node: Node, row: Row) -> Wanted | None:
    from_the_end = row.axis - len(shape_of(node))
    wanted = {}
    for number, value in enumerate(args(node)[:2]):
        shape = shape_of(value) if isinstance(value, Node) else ()
        axis = len(shape) + from_the_end
        if axis >= 0 and shape[axis] > 1:
            wanted[number] = Row(axis, row.index)
    return wanted


def _of_a_turn(node: Node, row: Row) -> Wanted | None:
    return {0: Row(axes_of_turn(node)[row.axis], row.index)}


def _of_a_view(node: Node, row: Row) -> Wanted | None:
    """Where the axis is one of the source's."""
    shape, before = shape_of(node), shape_of(args(node)[0])
    outside = math.prod(shape[: row.axis])
    for axis, size in enumerate(before):
        if size == shape[row.axis] and math.prod(before[:axis]) == outside:
            return {0: Row(axis, row.index)}
    return None


def _of_attention(node: Node, row: Row) -> Wanted | None:
    """One query wants all keys and values, and its own row of a mask."""
    given = [*args(node), *[None] * 6][:6]
    mask, causal = node.kwargs.get("attn_mask", given[3]), node.kwargs.get("is_causal", given[5])
    if row.axis != _QUERIES or len(shape_of(node)) != 4 or causal or "attn_mask" in node.kwargs:
        return None
    wanted = {0: row}
    rows = shape_of(mask)[-2:-1] if isinstance(mask, Node) else ()
    if rows and rows[0] > 1:
        wanted[3] = Row(len(shape_of(mask)) - 2, row.index)
    return wanted


_KINDS: tuple[tuple[tuple[Any, ...], Callable[[Node, Row], Wanted | None]], ...] = (
    (ROW_BY_ROW, _of_rows),
    (ONE_VALUE, _of_one),
    (TWO_VALUES, _of_two),
    (TURNS, _of_a_turn),
    (tuple(SAME_BYTES), _of_a_view),
    ((_ATTENTION,), _of_attention),
)


def _narrowed(program: ExportedProgram, node: Node, narrow: dict[Node, Row], made: dict[Node, Node]) -> Node:
    """The call of one row."""
    row = narrow[node]
    wanted = _wanted(node, row)
    assert wanted is not None
    arguments = list(args(node))
    for number, part in wanted.items():
        source = arguments[number]
        arguments[number] = made[source] if source in narrow else _one_row(program, node, source, part)
    if is_call(node, *SAME_BYTES) and not is_call(node, aten.clone.default):
        shape = list(shape_of(node))
        shape[row.axis] = 1
        return call_before(program.graph, node, aten.view.default, arguments[0], shape)
    new = call_before(program.graph, node, node.target, *arguments, **node.kwargs)
    new.meta = {**node.meta, "val": new.meta["val"]}
    return new


def _one_row(program: ExportedProgram, place: Node, source: Node, row: Row) -> Node:
    """A row of a value that is computed as a whole, in as many axes."""
    shape = list(shape_of(source))
    shape[row.axis] = 1
    taken = call_before(program.graph, place, aten.select.int, source, row.axis, row.index)
    view = call_before(program.graph, place, aten.view.default, taken, shape)
    for new in (taken, view):
        new.meta = {**source.meta, "val": new.meta["val"]}
    return view
