"""The pass that gives a quantized decoder's linears int4 weights: mcu::linear_s4 instead of mcu::linear_s8.

The integers come from the float weights, not from the int8 ones. The embedding and the last linear keep int8, and so
does a linear that int4 would not make smaller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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
from mcu_sdk.lowering.gptq import Grouped, dequantize_groups, quantize_groups
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


@dataclass(frozen=True)
class Candidate:
    """A weight that can be int4: the linears that have it, its digest, and the bytes that int4 saves at least."""

    names: tuple[str, ...]
    digest: str
    weight: torch.Tensor
    saved: int


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
    rounded: Mapping[str, Grouped] | None = None,
) -> Int4Share:
    """Rewrite a quantized program in place. `linears`: those of the program that it was made from. `moments`: of the
    inputs, by weight_digest; `keep`: digests of weights that stay int8; `rounded`: of those that were rounded already."""
    kept: list[str] = []
    count = 0
    for node, linear in _int8_linears(program, linears):
        assert linear.weight is not None
        digest = weight_digest(linear.weight)
        if digest in keep:
            continue
        _check_weight(program, _weight_of(node), linear.weight)
        if not _is_smaller(linear.weight) or not _has_known_scale(node):
            kept.append(linear.name)
            continue
        found = (rounded or {}).get(digest)
        _convert(program, node, found or quantize_groups(linear.weight, moments.get(digest)))
        count += 1
    tidy(program)
    return Int4Share(count, kept)


def int4_candidates(
    program: ExportedProgram, linears: Sequence[FloatLinear], keep: Collection[str] = ()
) -> list[Candidate]:
    """The weights that `to_int4` would take, in order, but for the digests in `keep`."""
    found: dict[str, list[tuple[Node, FloatLinear]]] = {}
    for node, linear in _int8_linears(program, linears):
        assert linear.weight is not None
        found.setdefault(weight_digest(linear.weight), []).append((node, linear))
    candidates = []
    for digest, places in found.items():
        weight = places[0][1].weight
        assert weight is not None
        if digest in keep or not _is_smaller(weight) or not all(_has_known_scale(node) for node, _ in places):
            continue
        names = tuple(linear.name for _, linear in places)
        candidates.append(Candidate(names, digest, weight, _saved(weight, len(places))))
    return candidates


def _int8_linears(
    program: ExportedProgram, linears: Sequence[FloatLinear]
) -> Iterator[tuple[Node, FloatLinear]]:
    """The int8 linears of a quantized program with what each was made from."""
    int8 = (mcu.linear_s8.default, mcu.linear_s8_static.default)
    nodes = [node for node in program.graph.nodes if is_call(node, *int8, aten.linear.default)]
    for node, linear in zip(nodes, linears, strict=True):
        if linear.weight is not None and is_call(node, *int8):
            yield node, linear


def _block_bytes(weight: torch.Tensor) -> int:
    """Bytes of its blocks, with what fills them up."""
    n, k = weight.shape
    return -(-n // ROWS) * -(-k // GROUP) * BLOCK_BYTES


def _is_smaller(weight: torch.Tensor) -> bool:
    """Whether blocks take fewer bytes than int8."""
    return _block_bytes(weight) < weight.numel()


def _saved(weight: torch.Tensor, places: int) -> int:
    """Bytes that a .pte of several linears with this weight is smaller by: each int4 one has blocks of its own, the int8
    ones share theirs, and its channels' scales; packed for vectors, these have at least as many bytes."""
    return max(weight.numel() + 4 * weight.shape[0] - places * _block_bytes(weight), 0)


def _is_static(node: Node) -> bool:
    return is_call(node, mcu.linear_s8_static.default)


def _weight_of(node: Node) -> Node:
    weight: Node = args(node)[1 if _is_static(node) else 2]
    return weight


def _has_known_scale(node: Node) -> bool:
    """Whether the input's scale is one that int4 can take in: found at run time, or calibrated right before."""
    return not _is_static(node) or is_call(args(node)[0], decomposed.quantize_per_tensor.default)


def _convert(program: ExportedProgram, node: Node, rounded: Grouped) -> None:
    """Replace one int8 linear."""
    static = _is_static(node)
    x, int8_weight, bias = args(node)[0], _weight_of(node), args(node)[4]
    values, scales = rounded
    name = constant_name(program, int8_weight)
    if static:
        x_scale, bias = _static_input(program, x, bias, dequantize_groups(values, scales), f"{name}_int4")
    else:
        x_scale = args(node)[1]
    blocks = add_buffer(program, f"{name}_int4", pack_groups(values, scales))
    arguments = (x, x_scale, blocks, bias, values.shape[0])
    replace(program.graph, node, mcu.linear_s4.default, arguments)
    program.graph.erase_node(node)


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
