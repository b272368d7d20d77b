"""Keeps Vela 5.1.0 from a mistake: function table, then product over several rows.

Of `linear -> GELU -> linear` (or SiLU, tanh, sigmoid) over more than one row Vela makes a convolution that reads one row
of all (docs/npu_simulator.md). An operation between the table and the second product prevents it. A maximum with the
function's own lower bound changes no value and, the bound being in the function's range, no scale.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from mcu_sdk.compiler.fuse.graph import aten, is_call

LOWER_BOUNDS: dict[Any, float] = {
    aten.gelu.default: -0.17,
    aten.silu.default: -0.2785,
    aten.tanh.default: -1.0,
    aten.sigmoid.default: 0.0,
}
"""No value of the function is below; the minimum of GELU is -0.16997, that of SiLU -0.27846."""

PRODUCTS = (
    aten.linear.default,
    aten.addmm.default,
    aten.mm.default,
    aten.conv2d.default,
    aten.conv1d.default,
)
VIEWS = (
    aten.view.default,
    aten.reshape.default,
    aten.transpose.int,
    aten.permute.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.dropout.default,
    aten.contiguous.default,
    aten.clone.default,
)


def separate_tables(module: GraphModule) -> int:
    """Put a maximum behind each function whose result a product reads, in place; returns how many."""
    count = 0
    for node in list(module.graph.nodes):
        if not is_call(node, *LOWER_BOUNDS) or not _feeds_product(node):
            continue
        name = f"lower_bound_{count}"
        module.register_buffer(name, torch.full((1,), LOWER_BOUNDS[node.target]))
        readers = list(node.users)
        with module.graph.inserting_after(node):
            bound = module.graph.get_attr(name)
        with module.graph.inserting_after(bound):
            separate = module.graph.call_function(aten.maximum.default, (node, bound))
        separate.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
        for reader in readers:
            reader.replace_input_with(node, separate)
        count += 1
    module.recompile()
    return count


def _feeds_product(node: Node) -> bool:
    return any(
        is_call(user, *PRODUCTS) or (is_call(user, *VIEWS) and _feeds_product(user)) for user in node.users
    )
