"""The greatest value along an axis of a linear's result in int8, by the kernel of pools.

Quantization keeps the order of values, so quantize(amax(x)) is amax(quantize(x)), and the linear gives int8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import TURNS, args, aten, axes_of_turn, is_call, shape_of
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.turns import moves_before
from mcu_sdk.operators.limits import LARGEST_STEP

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed
_QUANTIZE = decomposed.quantize_per_tensor.default
_DEQUANTIZE = decomposed.dequantize_per_tensor.default


def maxima_in_int8(program: ExportedProgram) -> None:
    """Rewrite in place, in front of moves_s8.py, which brings quantizations to what is quantized."""
    for quantize in list(program.graph.nodes):
        if not is_call(quantize, _QUANTIZE) or args(quantize)[5] != torch.int8:
            continue
        greatest, moves = moves_before(args(quantize)[0])
        alone = all(len(each.users) == 1 for each in (greatest, *moves))
        if is_call(greatest, aten.amax.default) and alone:
            _rewrite(program, quantize, greatest, moves)
    program.graph.eliminate_dead_code()


def _rewrite(program: ExportedProgram, quantize: Node, greatest: Node, behind: Sequence[Node]) -> None:
    """`behind`: the moves between the greatest values and their quantization."""
    graph = program.graph
    found = _source_of(greatest)
    if found is None:
        return
    source, axis = found
    given, moves = moves_before(source)
    in_int8 = is_call(given, _DEQUANTIZE) and args(given)[5] == torch.int8
    alone = all(len(each.users) == 1 for each in (given, *moves))
    length = shape_of(source)[axis]
    if not (in_int8 or is_call(given, aten.linear.default)) or not alone or not 1 <= length <= LARGEST_STEP:
        return
    before, after = math.prod(shape_of(source)[:axis]), math.prod(shape_of(source)[axis + 1 :])
    value = call_before(graph, greatest, _QUANTIZE, source, *args(quantize)[1:])
    images = call_before(graph, greatest, aten.reshape.default, value, [before, length, 1, after])
    window = [length, 1], [1, 1], [0, 0], [1, 1]
    pooled = call_before(graph, greatest, mcu.max_pool2d_s8.default, images, *window)
    result = call_before(graph, greatest, aten.reshape.default, pooled, list(shape_of(greatest)))
    for move in behind:
        result = call_before(graph, quantize, move.target, result, *args(move)[1:], **move.kwargs)
    quantize.replace_all_uses_with(result)


def _source_of(greatest: Node) -> tuple[Node, int] | None:
    """What the greatest values along one axis are of, a turn that only brings that axis elsewhere looked through, and the axis
    there."""
    x, axes = (*args(greatest), [])[:2]
    rank = len(shape_of(x))
    if len(axes) != 1:
        return None
    axis = axes[0] % rank
    if not is_call(x, *TURNS):
        return x, axis
    order = axes_of_turn(x)
    rest = order[:axis] + order[axis + 1 :]
    source = args(x)[0]
    return (source, order[axis]) if rest == sorted(rest) and len(x.users) == 1 else None
