"""The pass that gives a quantized decoder's linears int4 weights: mcu::linear_s4 instead of mcu::linear_s8.

The integers come from the float weights, not from the int8 ones. The embedding and the last linear keep int8, and so
does a linear that int4 would not make smaller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_name,
    constant_value,
    is_call,
    is_constant,
    replace,
    shape_of,
    tidy,
)
from mcu_sdk.lowering.gptq import dequantize_groups, quantize_groups
from mcu_sdk.lowering.module_path import module_path
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.operators.layouts import BLOCK_BYTES, GROUP, ROWS
from mcu_sdk.operators.reference.int4 import pack_groups

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed


@dataclass(frozen=True)
class FloatLinear:
    """A linear of the graph before quantization: its module's path, and its weight float32[N, K] if that is constant."""

    name: str
    weight: torch.Tensor | None


@dataclass(frozen=True)
class Int4Share:
    """How many linears have int4 weights, and the names of those that keep int8 because of their shape or place."""

    int4_linears: int
    kept_int8: list[str]


def float_linears(program: ExportedProgram) -> list[FloatLinear]:
    """The linears of a program, in order: what `to_int4` takes their weights from."""
    return [
        FloatLinear(
            module_path(node),
            constant_value(program, args(node)[1]) if is_constant(program, args(node)[1]) else None,
        )
        for node in program.graph.nodes
        if is_call(node, aten.linear.default)
    ]


def to_int4(
    program: ExportedProgram,
    linears: Sequence[FloatLinear],
    moments: Mapping[str, torch.Tensor],
    keep: Collection[str] = (),
) -> Int4Share:
    """Rewrite a quantized program in place. `linears`: those of the program that it was made from. `moments`: of the
    inputs, by weight_digest; `keep`: digests of weights that stay int8."""
    int8 = (mcu.linear_s8.default, mcu.linear_s8_static.default)
    nodes = [node for node in program.graph.nodes if is_call(node, *int8, aten.linear.default)]
    kept: list[str] = []
    count = 0
    for node, linear in zip(nodes, linears, strict=True):
        if linear.weight is None or not is_call(node, *int8):
            continue
        digest = weight_digest(linear.weight)
        if digest in keep:
            continue
        if not _is_smaller(linear.weight) or not _convert(program, node, linear.weight, moments.get(digest)):
            kept.append(linear.name)
            continue
        count += 1
    tidy(program)
    return Int4Share(count, kept)


def _is_smaller(weight: torch.Tensor) -> bool:
    """Whether blocks, with what fills them up, take fewer bytes than int8."""
    n, k = weight.shape
    return -(-n // ROWS) * -(-k // GROUP) * BLOCK_BYTES < n * k


def _convert(
    program: ExportedProgram, node: Node, weight: torch.Tensor, moments: torch.Tensor | None
) -> bool:
    """Replace one int8 linear; False, and nothing is changed, when its input's scale is not known."""
    static = is_call(node, mcu.linear_s8_static.default)
    x, int8_weight, bias = args(node)[0], args(node)[1 if static else 2], args(node)[4]
    _check_weight(program, int8_weight, weight)
    if static and not is_call(x, decomposed.quantize_per_tensor.default):
        return False
    values, scales = quantize_groups(weight, moments)
    name = constant_name(program, int8_weight)
    if static:
        x_scale, bias = _static_input(program, x, bias, dequantize_groups(values, scales), f"{name}_int4")
    else:
        x_scale = args(node)[1]
    blocks = add_buffer(program, f"{name}_int4", pack_groups(values, scales))
    arguments = (x, x_scale, blocks, bias, weight.shape[0])
    replace(program.graph, node, mcu.linear_s4.default, arguments)
    program.graph.erase_node(node)
    return True


def _check_weight(program: ExportedProgram, int8_weight: Node, weight: torch.Tensor) -> None:
    """The graphs before and after quantization have the same linears in the same order: hold them to it."""
    found = constant_value(program, int8_weight).float()
    scale = weight.abs().amax(1, keepdim=True) / 127
    assert found.shape == weight.shape and bool(((found * scale - weight).abs() <= scale).all()), int8_weight


def _static_input(
    program: ExportedProgram, x: Node, bias: Node | None, weight: torch.Tensor, name: str
) -> tuple[Node, Node]:
    """(x_scale, bias) for an input with a calibrated scale: its zero point becomes part of the bias."""
    scale, zero_point = float(args(x)[1]), int(args(x)[2])
    offset = -zero_point * scale * weight.double().sum(1)
    if bias is not None:
        offset = offset + constant_value(program, bias).double()
    return (
        add_buffer(program, f"{name}_x_scale", torch.full(shape_of(x)[:-1], scale)),
        add_buffer(program, f"{name}_bias", offset.float()),
    )
