"""The row of a causal table that belongs to the end of the cache -> the row of the position.

GPT-2's descendants keep a table bool[1, 1, N, N] of which position sees which, and read the rows that belong to the last
keys they are given. Of a static cache those are the last rows of the cache, whatever the position.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import args, aten, constant_value, is_call, is_constant, replace, shape_of


def follow_position(program: ExportedProgram, cache_length: int) -> None:
    """Rewrite in place."""
    position = next((node for node in program.graph.nodes if node.name == "cache_position"), None)
    if position is None:
        return
    for node in list(program.graph.nodes):
        if not is_call(node, aten.slice.Tensor) or len(args(node)) < 4:
            continue
        source, axis, start, end = args(node)[:4]
        last_row = axis == 2 and start == cache_length - 1 and end == cache_length
        if last_row and _is_causal_table(program, source, cache_length):
            replace(program.graph, node, aten.index_select.default, (source, 2, position))
    program.graph_module.recompile()


def _is_causal_table(program: ExportedProgram, node: object, cache_length: int) -> bool:
    """Whether a value is a constant [1, 1, N, N], N >= the cache's length, that hides what comes later from each row."""
    while is_call(node, aten.slice.Tensor, aten.alias.default) and shape_of(node) == shape_of(args(node)[0]):
        node = args(node)[0]
    if not isinstance(node, Node) or not is_constant(program, node):
        return False
    table = constant_value(program, node)
    if table.dtype != torch.bool or table.dim() != 4 or table.shape[:2] != (1, 1):
        return False
    rows, columns = table.shape[2:]
    return rows == columns >= cache_length and bool((table[0, 0].triu(1) == 0).all())
