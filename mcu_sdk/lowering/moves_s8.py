"""Views and turned axes in int8: values are quantized before they are moved, and made floats again behind it.

An element that is only moved keeps its scale, so quantize(move(x)) is move(quantize(x)), of a quarter of the bytes; and
what computes in int8 then finds quantizations right at its inputs and outputs, however a model has cut up its rows.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import MOVES, SAME_BYTES, args, aten, is_call, moves_only_ones
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.turns import IMAGES

decomposed = torch.ops.quantized_decomposed
_QUANTIZE = decomposed.quantize_per_tensor.default
_DEQUANTIZE = decomposed.dequantize_per_tensor.default


def move_in_int8(program: ExportedProgram) -> None:
    """Rewrite in place, but for the turns around convolutions and pools, which those are taken together with."""
    for node in reversed(list(program.graph.nodes)):
        if is_call(node, _QUANTIZE) and args(node)[5] == torch.int8:
            _quantize_first(program, node)
    for node in list(program.graph.nodes):
        if _is_move(node) and is_call(args(node)[0], _DEQUANTIZE) and args(args(node)[0])[5] == torch.int8:
            _dequantize_last(program, node)
    for node in list(program.graph.nodes):
        if is_call(node, _QUANTIZE) and args(node)[5] == torch.int8:
            _quantize_once(node)
    program.graph.eliminate_dead_code()


def _is_move(node: object) -> bool:
    """Whether a node moves elements, and is neither in front of nor behind a convolution or a pool."""
    if not is_call(node, *MOVES):
        return False
    return not is_call(args(node)[0], *IMAGES) and not any(is_call(user, *IMAGES) for user in node.users)


def _quantize_first(program: ExportedProgram, quantize: Node) -> None:
    """q(move(x)) -> move(q(x)), for moves that nothing else reads, and for views."""
    chain: list[Node] = []
    source = args(quantize)[0]
    while (_is_move(source) and _costs_nothing(source)) or (
        len(source.users) == 1 and (_is_move(source) or is_call(source, aten.expand.default))
    ):
        chain.append(source)
        source = args(source)[0]
    if not chain:
        return
    place = chain[-1]
    value = call_before(program.graph, place, _QUANTIZE, source, *args(quantize)[1:])
    value.meta = {**source.meta, "val": value.meta["val"]}
    for move in reversed(chain):
        value = call_before(program.graph, place, move.target, value, *args(move)[1:], **move.kwargs)
        value.meta = {**move.meta, "val": value.meta["val"]}
    quantize.replace_all_uses_with(value)
    program.graph.erase_node(quantize)
    for move in chain:
        if not move.users:
            program.graph.erase_node(move)


def _quantize_once(quantize: Node) -> None:
    """q(dq(q'(x))) -> q(x), where nothing else reads what q' gives, but of a stream's int16, which is what is added up."""
    real = args(quantize)[0]
    if not is_call(real, _DEQUANTIZE) or len(real.users) != 1:
        return
    first = args(real)[0]
    in_int8 = is_call(first, _QUANTIZE) and args(first)[5] == torch.int8
    if in_int8 and len(first.users) == 1 and args(first)[1:6] != args(quantize)[1:6]:
        quantize.replace_input_with(real, args(first)[0])


def _costs_nothing(move: Node) -> bool:
    return is_call(move, *SAME_BYTES) or moves_only_ones(move)


def _dequantize_last(program: ExportedProgram, move: Node) -> None:
    """move(dq(x)) -> dq(move(x))."""
    real = args(move)[0]
    moved = call_before(program.graph, move, move.target, args(real)[0], *args(move)[1:], **move.kwargs)
    value = call_before(program.graph, move, _DEQUANTIZE, moved, *args(real)[1:])
    moved.meta = {**move.meta, "val": moved.meta["val"]}
    value.meta = {**move.meta, "val": value.meta["val"]}
    move.replace_all_uses_with(value)
