"""Keeps ExecuTorch 1.5.1 from a mistake: the table of a function that reads 16 bits of a product of int8.

When it makes the table it takes what a product gives for as wide as what the product reads, and refuses the table. Values that
are scaled once more in between have the width that they are said to have. (divided.py has the case the other way round.)
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.ethos_u.quantizer import ATTENTION
from mcu_sdk.lowering.ethos_u.separate import PRODUCTS, TABLES
from mcu_sdk.lowering.fuse.graph import MOVES, args, behind, is_call
from mcu_sdk.lowering.fuse.new_node import call_before

decomposed = torch.ops.quantized_decomposed
_QUANTIZE, _DEQUANTIZE = decomposed.quantize_per_tensor.default, decomposed.dequantize_per_tensor.default

_LESS = 1 + 2.0**-15
"""How much coarser the second scale is: one that is the same would be left out again. It costs no value more than its rounding."""


def rescale_before_tables(program: ExportedProgram) -> int:
    """Scale once more what functions read as int16 of products that read int8, in place; returns how often."""
    found = [node for node in program.graph.nodes if is_call(node, *TABLES) and _is_widened(node)]
    for node in found:
        read = args(node)[0]
        scale, *limits = args(read)[1:6]
        wider = call_before(program.graph, node, _QUANTIZE, read, scale * _LESS, *limits)
        again = call_before(program.graph, node, _DEQUANTIZE, wider, scale * _LESS, *limits)
        wider.meta, again.meta = ({**node.meta, "val": new.meta["val"]} for new in (wider, again))
        node.replace_input_with(read, again)
    if found:
        program.graph_module.recompile()
    return len(found)


def _is_widened(function: Node) -> bool:
    read = args(function)[0]
    if not is_call(read, _DEQUANTIZE) or args(read)[5] != torch.int16:
        return False
    product = behind(read, *MOVES, _QUANTIZE, _DEQUANTIZE)
    return is_call(product, *PRODUCTS, *ATTENTION) and _reads_int8(product)


def _reads_int8(product: Node) -> bool:
    x = args(product)[0]
    return is_call(x, _DEQUANTIZE) and args(x)[5] == torch.int8
