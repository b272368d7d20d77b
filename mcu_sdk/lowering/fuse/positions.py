"""What depends on the position alone: integers become the position itself, floats become rows of a table.

The step's second input, `cache_position` int64[1], runs from 0 to the cache's length - 1. So every value that is
computed from it and from constants can be computed here, for each position, instead of on the device: masks are
recognised by what they are, sines and cosines never reach the firmware.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    aten,
    depends_only_on,
    dtype_of,
    evaluate,
    is_call,
    replace,
    shape_of,
    tidy,
)

TABLE_LIMIT_BYTES = 4 << 20
"""A table larger than this is computed on the device instead."""


def position_input(program: ExportedProgram) -> Node | None:
    """The placeholder of `cache_position`, or None when the program is no decoder step."""
    for node in program.graph.nodes:
        if isinstance(node, Node) and node.op == "placeholder" and node.name == "cache_position":
            return node
    return None


class PositionTable:
    """Values of nodes that depend on the position alone, at every position of a cache of `length`."""

    def __init__(self, program: ExportedProgram, position: Node, length: int) -> None:
        self.program = program
        self.position = position
        self.length = length
        self.inside = depends_only_on(program, (position,))
        self._steps: list[dict[Node, torch.Tensor]] = [{position: torch.tensor([p])} for p in range(length)]

    def __contains__(self, node: object) -> bool:
        return node in self.inside

    def rows(self, node: Node) -> torch.Tensor:
        """The node's value at every position, stacked: [length, *shape]."""
        return torch.stack([evaluate(self.program, node, step).detach() for step in self._steps])

    def value(self, node: Node, position: int) -> torch.Tensor:
        """The node's value at a position; what lies behind it is not kept."""
        return evaluate(self.program, node, self.known(position))

    def known(self, position: int) -> dict[Node, torch.Tensor]:
        """The position, and what was computed of it so far."""
        return dict(self._steps[position])

    def holds(self, node: object, expected: Callable[[int], torch.Tensor]) -> bool:
        """Whether the node's value at every position p equals `expected(p)` after flattening both."""
        if not isinstance(node, Node) or node not in self.inside:
            return False
        for p, step in enumerate(self._steps):
            value = evaluate(self.program, node, step).flatten()
            wanted = expected(p).flatten()
            if value.shape != wanted.shape or not torch.equal(value, wanted.to(value.dtype)):
                return False
        return True

    def is_position(self, node: object) -> bool:
        """Whether the node is the position, as a tensor of one element."""
        return self.holds(node, lambda p: torch.tensor([p]))


def drop_assertions(program: ExportedProgram, position: Node, length: int) -> None:
    """Take off what torch.export asserts of the position where it holds at every one."""
    table = PositionTable(program, position, length)
    for node in list(program.graph.nodes):
        if not is_call(node, *_ASSERTIONS) or any(each not in table for each in node.all_input_nodes):
            continue
        if all(_holds(table, node, p) for p in range(length)):
            program.graph.erase_node(node)
    tidy(program)


_ASSERTIONS = (
    aten._assert_scalar.default,
    aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
)


def _holds(table: PositionTable, node: Node, position: int) -> bool:
    """Whether an assertion is true at a position."""
    try:
        table.value(node, position)
    except RuntimeError:
        return False
    return True


def resolve_positions(program: ExportedProgram, position: Node, length: int) -> None:
    """Replace integers that equal the position by views of it, and other floats by rows of tables.

    Call it after the patterns that want to see sines, cosines and masks have been matched.
    """
    table = PositionTable(program, position, length)
    graph = program.graph
    for node in list(graph.nodes):
        if (
            node.op != "call_function"
            or node not in table
            or not isinstance(node.meta.get("val"), torch.Tensor)
        ):
            continue
        leaves = any(user not in table or user.op == "output" for user in node.users)
        if not leaves:
            continue
        if dtype_of(node) == torch.int64 and table.is_position(node):
            shape = list(shape_of(node))
            new = replace(graph, node, aten.view.default, (position, shape)) if shape != [1] else position
            node.replace_all_uses_with(new)
        elif dtype_of(node) == torch.float32:
            size = max(1, torch.Size(shape_of(node)).numel())
            if size * length * 4 > TABLE_LIMIT_BYTES:
                continue
            rows = table.rows(node).reshape(length, size).contiguous()
            buffer = add_buffer(program, f"table_{node.name}", rows)
            row = replace(graph, node, aten.embedding.default, (buffer, position))
            row.meta["val"] = node.meta["val"].new_empty((1, size))
            viewed = graph.call_function(aten.view.default, (row, list(shape_of(node))))
            viewed.meta = dict(node.meta)
            row.append(viewed)
            for user in [user for user in row.users if user is not viewed]:
                user.replace_input_with(row, viewed)
    tidy(program)
