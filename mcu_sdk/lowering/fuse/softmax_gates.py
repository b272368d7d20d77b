"""Gates that multiply a row by the softmax of its scores, as PatchTSMixer's."""

from __future__ import annotations

from typing import NamedTuple

from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import args, aten, either_order, is_call, shape_of


class Gate(NamedTuple):
    """x * softmax(scores, -1), all of one shape, of whose softmax nothing else is made."""

    x: Node
    scores: Node
    softmax: Node


def softmax_gate(product: object) -> Gate | None:
    """What a product multiplies, if it is such a gate."""
    if not is_call(product, aten.mul.Tensor):
        return None
    for x, shares in either_order(product):
        while is_call(shares, aten.dropout.default, aten.clone.default) and len(shares.users) == 1:
            shares = args(shares)[0]
        if not is_call(shares, aten.softmax.int, aten._softmax.default) or len(shares.users) != 1:
            continue
        scores, axis = args(shares)[:2]
        shape = shape_of(product)
        if axis in (-1, len(shape) - 1) and isinstance(x, Node) and shape_of(x) == shape_of(scores) == shape:
            return Gate(x, scores, shares)
    return None
