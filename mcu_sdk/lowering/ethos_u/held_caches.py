"""Keeps what a step's delegate reads of its caches until it ends, so that they can stay where it reads them.

Vela gives the bytes of an input to something else once it was read for the last time. A cache that is kept from step to step
would then be copied there before each of them. What is read behind the logits lies there to the end
(mcu_sdk/planning/delegate_io.py looks whether it does).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from mcu_sdk.lowering.ethos_u.quantizer import CACHES, mark_quantized
from mcu_sdk.lowering.ethos_u.tables import dequantize, quantize
from mcu_sdk.lowering.fuse.graph import args, aten, is_call, shape_of

_NARROW = (1.0, 0, -127, 127, torch.int8)
"""Limits of what nobody reads."""

_LOGITS = 2
"""How many of them are multiplied: more than a cache's one element, in whose place Vela would write the product."""


def hold_caches(module: GraphModule) -> None:
    """Give a converted graph of an NpuStep, whose first output are its logits, one output more, in place, which nobody reads:
    for each cache two logits times an element of it.

    What depends on the logits cannot be computed before them. As parts of one tensor the products have their bytes before
    the first of them is written: the last would go to what the one before it has read.
    """
    graph = module.graph
    output = graph.output_node()
    outputs = args(output)[0]
    caches = [node for node in graph.nodes if node.op == "placeholder"][-CACHES:]
    with graph.inserting_before(output):
        logits = _rounded(_cut(outputs[0], _LOGITS), _NARROW)
        products = [
            mark_quantized(graph.call_function(aten.mul.Tensor, (logits, _element(cache))))
            for cache in caches
        ]
        parts = [_rounded(product, _NARROW) for product in products]
        held = _rounded(mark_quantized(graph.call_function(aten.cat.default, (parts, 3))), _NARROW)
    output.args = ((*outputs, held),)
    graph.set_codegen(CodeGen())  # the one it has knows how many outputs there were
    module.recompile()


def _element(cache: Node) -> Node:
    """One of a cache [1, R, .., ..], as it is quantized."""
    (written,) = [user for user in cache.users if is_call(user, quantize)]
    return _cut(cache.graph.call_function(dequantize, (written, *args(written)[1:])), 1)


def _cut(value: Node, count: int) -> Node:
    """The first elements of the last axis, at the others' begin, of what was dequantized, as [1, 1, 1, count]."""
    limits = args(value)[1:6]
    rank = len(shape_of(args(args(value)[0])[0]))
    for axis in range(rank):
        ends = (axis, 0, count if axis == rank - 1 else 1)
        value = _rounded(mark_quantized(value.graph.call_function(aten.slice.Tensor, (value, *ends))), limits)
    shape = [1, 1, 1, count]
    return _rounded(mark_quantized(value.graph.call_function(aten.view.default, (value, shape))), limits)


def _rounded(value: Node, limits: tuple[Any, ...]) -> Node:
    written = value.graph.call_function(quantize, (value, *limits))
    return value.graph.call_function(dequantize, (written, *limits))
