"""What a fused decoder step still does in plain arithmetic though it should not: for the report, and for the census."""

from __future__ import annotations

import operator

from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.experts import routers_of
from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    args,
    aten,
    behind,
    constant_name,
    depends_only_on,
    is_call,
    shape_of,
)

ATTENTION = "attention"
ROTATION = "rotary embedding"

_PRODUCTS = (
    aten.scaled_dot_product_attention.default,
    aten.matmul.default,
    aten.bmm.default,
    aten.softmax.int,
    aten._softmax.default,
)


def left_in_float(program: ExportedProgram) -> list[str]:
    """ATTENTION where a product of activations or a softmax is left, ROTATION where a whole row of a table of positions
    is multiplied by; nothing for a step that is wholly fused."""
    found = set()
    constant, routers = depends_only_on(program, ()), routers_of(program.graph)
    for node in program.graph.nodes:
        product = is_call(node, *_PRODUCTS) and not any(x in constant for x in node.all_input_nodes)
        if product and not _is_of_a_router(node, routers):
            found.add(ATTENTION)
        if is_call(node, aten.mul.Tensor) and any(_is_position_row(program, x) for x in args(node)[:2]):
            found.add(ROTATION)
    return sorted(found)


def _is_of_a_router(node: Node, routers: set[Node]) -> bool:
    """Whether it is a softmax from which the greatest are chosen, or of those that were, or of what routers alone give."""
    if not is_call(node, aten.softmax.int, aten._softmax.default):
        return False
    source = behind(args(node)[0], *SAME_BYTES, aten._to_copy.default, operator.getitem)
    reached = [*node.users, *(user for each in node.users for user in each.users)]  # a bias may come between
    if is_call(source, aten.topk.default) or any(is_call(user, aten.topk.default) for user in reached):
        return True
    sources = _products_behind(node)
    return bool(sources) and sources <= routers


def _products_behind(node: Node) -> set[Node]:
    """The linears and products that a value is made of."""
    waiting, found, seen = [node], set(), set()
    while waiting:
        for each in waiting.pop().all_input_nodes:
            if is_call(each, aten.linear.default, *_PRODUCTS[:3]):
                found.add(each)
            elif each not in seen:
                seen.add(each)
                waiting.append(each)
    return found


def _is_position_row(program: ExportedProgram, node: object) -> bool:
    """Whether a value is a row, of more than one number, of a table that resolve_positions made."""
    node = behind(node, *SAME_BYTES, aten.expand.default, aten.slice.Tensor)
    if not is_call(node, aten.embedding.default) or shape_of(node)[-1] == 1:
        return False
    table, index = args(node)[:2]
    assert isinstance(table, Node) and isinstance(index, Node)
    name = constant_name(program, table)
    return name is not None and name.startswith("table_")
