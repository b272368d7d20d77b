"""The passes that give a quantized decoder's linears int4 weights: mcu::linear_s4 instead of mcu::linear_s8, and for a
mixture's experts mcu::expert_linear_s4 instead of mcu::expert_linear_s8.

The integers come from the float weights, not from the int8 ones. The embedding and the last linear keep int8, and so
does a linear that int4 would not make smaller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.experts import EXPERT_LINEAR
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
from mcu_sdk.operators.layouts import int4_bytes
from mcu_sdk.operators.reference.int4 import pack_groups

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed


@dataclass(frozen=True)
class FloatLinear:
    """A linear of the graph before quantization: its module's path, and its weight float32[N, K] if that is constant; of
    experts float32[E, N, K]."""

    name: str
    weight: torch.Tensor | None


@dataclass(frozen=True)
class Int4Share:
    """How many linears have int4 weights, and the names of those that keep int8 because of their shape or place. A linear
    of experts is one of them; `int4_experts` are their matrices, one for each expert, and of these `nearest_experts` those
    that have no moments, each weight of which is rounded to its nearest."""

    int4_linears: int
    kept_int8: list[str]
    int4_experts: int = 0
    nearest_experts: int = 0

    def and_experts(self, other: Int4Share) -> Int4Share:
        """Both together."""
        return Int4Share(
            self.int4_linears + other.int4_linears,
            self.kept_int8 + other.kept_int8,
            self.int4_experts + other.int4_experts,
            self.nearest_experts + other.nearest_experts,
        )


@dataclass(frozen=True)
class Candidate:
    """A weight that can be int4, float32[N, K] or of experts [E, N, K]: the linears that have it, its digest, and the bytes
    that int4 saves at least."""

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


def float_experts(program: ExportedProgram) -> list[FloatLinear]:
    """The linears of experts of a fused program, in order: what `experts_to_int4` takes their weights from. A module has
    several, so that their names are those of its parameters."""
    found = []
    for node in program.graph.nodes:
        if is_call(node, EXPERT_LINEAR):
            weight = args(node)[1]
            parameter = str(constant_name(program, weight)).rpartition(".")[2].removesuffix("_rows")
            found.append(FloatLinear(f"{module_path(node)}.{parameter}", constant_value(program, weight)))
    return found


def round_weight(weight: torch.Tensor, moments: Mapping[str, torch.Tensor]) -> Grouped:
    """The integers of float32[N, K], or of each expert's of float32[E, N, K]: then int8[E, N, K] and bfloat16[E, N, groups].
    `moments`: of the inputs, by weight_digest of float32[N, K]."""
    if weight.dim() == 2:
        return quantize_groups(weight, moments.get(weight_digest(weight)))
    values, scales = zip(*(round_weight(each, moments) for each in weight), strict=True)
    return torch.stack(values), torch.stack(scales)


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


def experts_to_int4(
    program: ExportedProgram,
    experts: Sequence[FloatLinear],
    moments: Mapping[str, torch.Tensor],
    keep: Collection[str] = (),
    rounded: Mapping[str, Grouped] | None = None,
) -> Int4Share:
    """Rewrite a quantized program in place. `experts`: of the program that it was made from; `moments`: of each expert's
    inputs, by weight_digest of its matrix. `keep` and `rounded` are as of to_int4, by the digest of all experts' weights."""
    kept: list[str] = []
    count = matrices = nearest = 0
    made: dict[Node, Node] = {}
    for node, linear in _int8_experts(program, experts):
        x, x_scale, int8_weight, _, bias, expert = args(node)
        weight = linear.weight
        assert weight is not None
        digest = weight_digest(weight)
        if digest in keep:
            continue
        _check_weight(program, int8_weight, weight)
        if not _is_smaller(weight):
            kept.append(linear.name)
            continue
        if int8_weight not in made:
            values, scales = (rounded or {}).get(digest) or round_weight(weight, moments)
            blocks = torch.stack([pack_groups(*each) for each in zip(values, scales, strict=True)])
            made[int8_weight] = add_buffer(program, f"{constant_name(program, int8_weight)}_int4", blocks)
            matrices += len(weight)
            nearest += sum(weight_digest(each) not in moments for each in weight)
        arguments = (x, x_scale, made[int8_weight], bias, expert, weight.shape[1])
        replace(program.graph, node, mcu.expert_linear_s4.default, arguments)
        program.graph.erase_node(node)
        count += 1
    tidy(program)
    return Int4Share(count, kept, matrices, nearest)


def int4_candidates(
    program: ExportedProgram,
    linears: Sequence[FloatLinear],
    keep: Collection[str] = (),
    experts: Sequence[FloatLinear] = (),
) -> list[Candidate]:
    """The weights that `to_int4` and `experts_to_int4` would take, in order, but for the digests in `keep`. Experts of one
    linear go together."""
    found: dict[str, list[tuple[Node, FloatLinear]]] = {}
    for node, linear in (*_int8_linears(program, linears), *_int8_experts(program, experts)):
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


def _int8_experts(
    program: ExportedProgram, experts: Sequence[FloatLinear]
) -> Iterator[tuple[Node, FloatLinear]]:
    """The int8 linears of a quantized program's experts with what each was made from; none without `experts`."""
    if experts:
        nodes = [node for node in program.graph.nodes if is_call(node, mcu.expert_linear_s8.default)]
        yield from zip(nodes, experts, strict=True)


def _block_bytes(weight: torch.Tensor) -> int:
    """Bytes of the blocks of float32[N, K] or [E, N, K], with what fills them up."""
    n, k = weight.shape[-2:]
    return prod(weight.shape[:-2]) * int4_bytes(n, k)


def _is_smaller(weight: torch.Tensor) -> bool:
    """Whether blocks take fewer bytes than int8."""
    return _block_bytes(weight) < weight.numel()


def _saved(weight: torch.Tensor, places: int) -> int:
    """Bytes that a .pte of several linears with this weight is smaller by: each int4 one has blocks of its own, the int8
    ones share theirs, and its channels' scales; packed for vectors, these have at least as many bytes."""
    return max(weight.numel() + 4 * prod(weight.shape[:-1]) - places * _block_bytes(weight), 0)


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
    scale = weight.abs().amax(-1, keepdim=True) / 127
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
