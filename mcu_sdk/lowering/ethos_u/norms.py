"""Norms and sums between delegates that read and give int16, so that nothing is widened or narrowed around them.

A delegate gives int16 and reads int16. Of quantize(norm(...)) becomes one operator, with the sum before the norm where it
is one of two int16 values; of x + dequantize(...) another.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_value,
    dtype_of,
    is_call,
    is_constant,
    replace,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed
_QUANTIZE, _DEQUANTIZE = decomposed.quantize_per_tensor.default, decomposed.dequantize_per_tensor.default


def rewrite_in_int16(program: ExportedProgram) -> None:
    """Norms that are quantized to int16 alone, and sums with a value of int16, in operators of ours."""
    for node in list(program.graph.nodes):
        if is_call(node, _QUANTIZE) and _is_int16(node) and is_call(args(node)[0], mcu.layer_norm.default):
            _rewrite_norm(program, node, args(node)[0])
    for node in list(program.graph.nodes):
        if is_call(node, aten.add.Tensor):
            _rewrite_sum(program, node)


def _is_int16(conversion: Node) -> bool:
    """Whether a quantization or its inverse is of int16 around zero."""
    return args(conversion)[5] == torch.int16 and int(args(conversion)[2]) == 0


def _rewrite_norm(program: ExportedProgram, quantize: Node, norm: Node) -> None:
    """quantize(norm(x)) -> layer_norm_s16. A sum that reads the norm too, or what takes a row of it, is given the int16."""
    x, weight, bias, eps = args(norm)
    others = [user for user in norm.users if user is not quantize]
    if not all(is_call(user, aten.add.Tensor, aten.select.int) for user in others):
        return
    if not (is_constant(program, weight) and is_constant(program, bias)):
        return
    unit = float(args(quantize)[1])
    rows, ratio, smallest = _rows_of(x, float(eps))
    arguments = (
        *rows,
        *(
            add_buffer(
                program, f"{norm.name}_{name}", (constant_value(program, value).double() / unit).float()
            )
            for name, value in (("weight", weight), ("bias", bias))
        ),
        *(ratio, smallest),
    )
    new = call_before(program.graph, norm, mcu.layer_norm_s16.default, *arguments)
    quantize.replace_all_uses_with(new)
    limits = args(quantize)[1:]
    for user in others:
        if is_call(user, aten.select.int):
            taken = call_before(program.graph, user, aten.select.int, new, *args(user)[1:])
            user.replace_all_uses_with(call_before(program.graph, user, _DEQUANTIZE, taken, *limits))
        else:
            user.replace_input_with(norm, call_before(program.graph, user, _DEQUANTIZE, new, *limits))
    for node in (quantize, *others, norm):
        if not node.users:
            program.graph.erase_node(node)


def _rows_of(x: Node, eps: float) -> tuple[tuple[Node, Node | None], float, float]:
    """What layer_norm_s16 reads for a norm of x: one value or two, the ratio of their scales, and eps in the first's."""
    summed = args(x)[:2] if is_call(x, aten.add.Tensor) and len(x.users) == 1 and _is_plain_sum(x) else (x,)
    if not all(is_call(value, _DEQUANTIZE) and _is_int16(value) for value in summed):
        return (x, None), 0.0, eps
    scales = [float(args(value)[1]) for value in summed]
    second = args(summed[1])[0] if len(summed) == 2 else None
    return (args(summed[0])[0], second), scales[-1] / scales[0], eps / scales[0] ** 2


def _is_plain_sum(node: Node) -> bool:
    first, second = args(node)[:2]
    scaled = bool(node.kwargs.get("alpha", 1) != 1)
    return (
        not scaled
        and isinstance(first, Node)
        and isinstance(second, Node)
        and first is not second
        and shape_of(first) == shape_of(second) == shape_of(node)
    )


def _rewrite_sum(program: ExportedProgram, node: Node) -> None:
    """x + dequantize(y) -> add_s16."""
    if not _is_plain_sum(node):
        return
    pair: tuple[Any, Any] = args(node)[:2]
    for x, wide in (pair, pair[::-1]):
        if not (is_call(wide, _DEQUANTIZE) and _is_int16(wide)):
            continue
        if dtype_of(x) == torch.float32 and not is_constant(program, x):
            replace(program.graph, node, mcu.add_s16.default, (x, args(wide)[0], float(args(wide)[1])))
            program.graph.erase_node(node)
            return
