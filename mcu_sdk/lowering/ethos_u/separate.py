"""Keeps Vela 5.1.0 from a mistake: function, then product over several rows.

Of `linear -> GELU -> linear` (or another function that becomes a table, in 16 bits also ReLU) over more than one row Vela
makes a convolution that reads one row of all (docs/npu_simulator.md). An operation between the function and the second
product prevents it: a multiplication by one, which changes no integer.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from mcu_sdk.board.npu_target import ActivationBits
from mcu_sdk.lowering.fuse.graph import aten, is_call

TABLES: tuple[Any, ...] = (
    aten.gelu.default,
    aten.silu.default,
    aten.tanh.default,
    aten.sigmoid.default,
    aten.hardswish.default,
    aten.hardsigmoid.default,
    aten.elu.default,
    aten.erf.default,
    aten.exp.default,
)
FUSED_IN_16_BITS: tuple[Any, ...] = (aten.relu.default, aten.relu_.default)
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


def separate_tables(module: GraphModule, bits: ActivationBits) -> int:
    """Multiply by one behind each function whose result a product reads, in place; returns how often."""
    functions = TABLES if bits == 8 else TABLES + FUSED_IN_16_BITS
    found = [n for n in module.graph.nodes if is_call(n, *functions) and _feeds_product(n)]
    for node in found:
        readers = list(node.users)
        with module.graph.inserting_after(node):
            product = module.graph.call_function(aten.mul.Tensor, (node, 1.0))
        product.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
        for reader in readers:
            reader.replace_input_with(node, product)
    module.recompile()
    return len(found)


def _feeds_product(node: Node) -> bool:
    return any(
        is_call(user, *PRODUCTS) or (is_call(user, *VIEWS) and _feeds_product(user)) for user in node.users
    )
