"""A table that is added to what parts were joined to, as position embeddings are behind a class token: it is added to each
part before, so that what is constant stays so, and a linear's rows meet theirs as soon as they are computed."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_value,
    either_order,
    is_call,
    is_constant,
    replace,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before


def add_to_parts(program: ExportedProgram) -> int:
    """cat(parts) + table -> cat(part + its rows of the table, ...) where some of the parts are constant, in place.

    The same additions, so the same bits. Returns how many there were.
    """
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, aten.add.Tensor) or node.kwargs.get("alpha", 1) != 1:
            continue
        for joined, table in either_order(node):
            if _can_be_added_before(program, joined, table):
                _rewrite(program, node, joined, table)
                count += 1
                break
    return count


def _can_be_added_before(program: ExportedProgram, joined: object, table: object) -> bool:
    if not is_call(joined, aten.cat.default) or len(joined.users) != 1:
        return False
    if not isinstance(table, Node) or not is_constant(program, table):
        return False
    constant = [is_constant(program, part) for part in args(joined)[0]]
    return any(constant) and not all(constant) and shape_of(table) == shape_of(joined)


def _rewrite(program: ExportedProgram, node: Node, joined: Node, table: Node) -> None:
    parts, axis = args(joined)[0], _axis(joined)
    rows = constant_value(program, table).split([shape_of(part)[axis] for part in parts], axis)
    sums: list[Any] = []
    for index, (part, added) in enumerate(zip(parts, rows, strict=True)):
        name = f"{table.name}_{index}"
        if is_constant(program, part):
            sums.append(add_buffer(program, name, torch.add(constant_value(program, part), added)))
        else:
            buffer = add_buffer(program, name, added.contiguous())
            sums.append(call_before(program.graph, node, aten.add.Tensor, part, buffer))
    replace(program.graph, node, aten.cat.default, (sums, axis))


def _axis(joined: Node) -> int:
    axis: Any = args(joined)[1] if len(args(joined)) > 1 else joined.kwargs.get("dim", 0)
    return int(axis)
