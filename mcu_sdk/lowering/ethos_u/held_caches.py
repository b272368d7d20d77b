"""Keeps what a step's delegate reads of its caches until it ends, so that they can stay where it reads them.

Vela gives the bytes of an input to something else once it was read for the last time. A cache that is kept from step to step
would then be copied there before each of them. What is read at the very end lies there to the end
(mcu_sdk/planning/delegate_io.py looks whether it does).
"""

from __future__ import annotations

import torch
from executorch.backends.arm.common.annotation_meta import ArmAnnotationInfo
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from mcu_sdk.lowering.ethos_u.quantizer import CACHES
from mcu_sdk.lowering.ethos_u.tables import dequantize, quantize
from mcu_sdk.lowering.fuse.graph import args, aten, is_call


def hold_caches(module: GraphModule) -> None:
    """Give a converted graph of an NpuStep one output more, in place: the product of one element of each cache, which nobody
    reads. It is the last output, and so computed last."""
    graph = module.graph
    output = graph.output_node()
    caches = [node for node in graph.nodes if node.op == "placeholder"][-CACHES:]
    with graph.inserting_before(output):
        product = graph.call_function(aten.mul.Tensor, tuple(_element(cache) for cache in caches))
        _mark(product)
        limits = (1.0, 0, -32767, 32767, torch.int16)
        written = graph.call_function(quantize, (product, *limits))
        held = graph.call_function(dequantize, (written, *limits))
    output.args = ((*args(output)[0], held),)
    graph.set_codegen(CodeGen())  # the one it has knows how many outputs there were
    module.recompile()


def _element(cache: Node) -> Node:
    """The first element of a cache [1, R, .., ..], as [1, 1, 1, 1]."""
    (written,) = [user for user in cache.users if is_call(user, quantize)]
    limits = args(written)[1:]
    element = cache.graph.call_function(dequantize, (written, *limits))
    for axis in (1, 2, 3):
        element = cache.graph.call_function(aten.slice.Tensor, (element, axis, 0, 1))
        _mark(element)
        element = cache.graph.call_function(quantize, (element, *limits))
        element = cache.graph.call_function(dequantize, (element, *limits))
    return element


def _mark(node: Node) -> None:
    """As the quantizer marks what it has annotated, which alone the partitioner takes."""
    node.meta["custom"] = {ArmAnnotationInfo.CUSTOM_META_KEY: dict(ArmAnnotationInfo(quantized=True))}
