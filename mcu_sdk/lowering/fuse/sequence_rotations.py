"""Rotary position embeddings of a whole sequence, read by what they compute -> mcu::rope_rows.

What lies between the queries of an attention and where their heads were split is computed for a one in each channel: if
every pair of channels is turned by an angle of the position alone, that is what it becomes, however it is spelt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    add_buffer,
    args,
    aten,
    depends_only_on,
    dtype_of,
    evaluate,
    is_call,
    is_turn,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before

mcu = torch.ops.mcu

LINEAR = (
    *MOVES,
    *(aten.mul.Tensor, aten.neg.default, aten.add.Tensor, aten.sub.Tensor),
    *(aten.cat.default, aten.stack.default, aten.slice.Tensor, aten.select.int),
    aten.expand.default,
)
"""What a rotation is made of."""

MOST_STEPS = 32
"""Calls of one rotation."""

CLOSE = 1e-5


@dataclass(frozen=True)
class Rotation:
    """Tables float32[L, r/2] each, and whether the pairs are (2 i, 2 i + 1), not (i, i + r/2)."""

    cos: torch.Tensor
    sin: torch.Tensor
    interleaved: bool


def fuse_sequence_rotations(program: ExportedProgram) -> int:
    """Rewrite in place those before an attention; returns how many there were."""
    found: list[tuple[Rotation, tuple[Node, Node]]] = []
    done: set[Node] = set()
    for attention in list(program.graph.nodes):
        if not is_call(attention, aten.scaled_dot_product_attention.default):
            continue
        for value in args(attention)[:2]:
            rotated = _behind_moves(value)
            if rotated in done:
                continue
            source = _source_of(program, rotated)
            axis = _axis_of_positions(value, rotated)
            if source is None or axis is None:
                continue
            rotation = _read(program, rotated, source, axis)
            if rotation is not None:
                _rewrite(program, rotated, source, axis, _tables(program, found, rotation))
                done.add(rotated)
    return len(done)


def _behind_moves(node: Node) -> Node:
    """What is moved, its rows of n channels staying whole."""
    n = shape_of(node)[-1]
    while is_call(node, *MOVES) and shape_of(args(node)[0])[-1] == n:
        node = args(node)[0]
    return node


def _source_of(program: ExportedProgram, rotated: Node) -> Node | None:
    """The one value of its shape that it is computed from, besides constants."""
    constant = depends_only_on(program, ())
    order = {node: number for number, node in enumerate(program.graph.nodes)}
    waiting, multiplied = {rotated}, False
    for _ in range(MOST_STEPS):
        last = max(waiting, key=lambda node: order[node])
        if len(waiting) == 1 and multiplied and shape_of(last) == shape_of(rotated):
            return last
        if not is_call(last, *LINEAR):
            return None
        multiplied |= is_call(last, aten.mul.Tensor)
        waiting.remove(last)
        waiting |= {
            node for node in last.all_input_nodes if node not in constant and node.op != "placeholder"
        }
        if not waiting:
            return None
    return None


def _axis_of_positions(value: Node, rotated: Node) -> int | None:
    """The axis, 1 or 2, of the positions of [1, L, H, n] or [1, H, L, n] that becomes a [1, H, L, n]."""
    shape, (_, heads, length, _) = shape_of(rotated), shape_of(value)
    if len(shape) != 4 or shape[0] != 1 or dtype_of(rotated) != torch.float32:
        return None
    turned = False
    node = value
    while node is not rotated:
        if is_call(node, aten.transpose.int):
            turned ^= {axis % 4 for axis in args(node)[1:3]} == {1, 2}
        elif is_call(node, aten.permute.default):
            turned ^= [axis % 4 for axis in args(node)[1]] == [0, 2, 1, 3]
        elif 1 in (heads, length) and shape_of(node)[1:3] != shape_of(args(node)[0])[1:3]:
            turned = not turned
        node = args(node)[0]
    wanted = (length, heads) if turned else (heads, length)
    return (1 if turned else 2) if shape[1:3] == wanted else None


def _read(program: ExportedProgram, rotated: Node, source: Node, axis: int) -> Rotation | None:
    """What is done to each channel, if it is a rotation of pairs by the position."""
    shape = shape_of(source)
    n = shape[3]

    def result(x: torch.Tensor) -> torch.Tensor:
        """[L, H, n] of a value like the source."""
        value = evaluate(program, rotated, {source: x})[0]
        return value if axis == 1 else value.transpose(0, 1)

    columns = []
    for channel in range(n):
        one = torch.zeros(shape)
        one[..., channel] = 1
        value = result(one)
        if not torch.equal(value, value[:, :1].expand_as(value)):
            return None
        columns.append(value[:, 0])
    matrix = torch.stack(columns, -1)  # [L, n of the result, n of the source]
    for interleaved in (False, True):
        rotation = _as_pairs(matrix, interleaved)
        if rotation is not None:
            probe = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            rows = probe[0] if axis == 1 else probe[0].transpose(0, 1)
            wanted = torch.einsum("lij,lhj->lhi", matrix, rows)
            return rotation if torch.allclose(result(probe), wanted, atol=CLOSE, rtol=CLOSE) else None
    return None


def _as_pairs(matrix: torch.Tensor, interleaved: bool) -> Rotation | None:
    """The angles of matrices [L, n, n] that turn pairs of channels, and leave those behind the last one as they are."""
    n = matrix.shape[1]
    plain = torch.eye(n).expand_as(matrix)
    turned = [channel for channel in range(n) if not torch.equal(matrix[:, channel], plain[:, channel])]
    half = (max(turned) + 2) // 2 if turned else 0
    if not half:
        return None
    first = torch.arange(half) * (2 if interleaved else 1)
    second = first + (1 if interleaved else half)
    cos, sin = matrix[:, first, first], matrix[:, second, first]
    made = plain.clone()
    made[:, first, first] = made[:, second, second] = cos
    made[:, second, first], made[:, first, second] = sin, -sin
    return Rotation(cos.contiguous(), sin.contiguous(), interleaved) if torch.equal(made, matrix) else None


def _tables(
    program: ExportedProgram, found: list[tuple[Rotation, tuple[Node, Node]]], rotation: Rotation
) -> tuple[Node, Node, bool]:
    """The constants of a rotation, one pair for all that are equal."""
    for other, nodes in found:
        if torch.equal(other.cos, rotation.cos) and torch.equal(other.sin, rotation.sin):
            return (*nodes, rotation.interleaved)
    nodes = add_buffer(program, "rope_cos", rotation.cos), add_buffer(program, "rope_sin", rotation.sin)
    found.append((rotation, nodes))
    return (*nodes, rotation.interleaved)


def _rewrite(
    program: ExportedProgram, rotated: Node, source: Node, axis: int, tables: tuple[Node, Node, bool]
) -> None:
    """turn(x) of heads side by side, and what becomes of it; x turned back first where heads come before positions."""
    graph = program.graph

    def call(target: Any, *arguments: Any) -> Node:
        return call_before(graph, rotated, target, *arguments)

    x = source
    if axis == 2:
        x = (
            args(source)[0]
            if is_turn(source, 0, 2, 1, 3)
            else call(aten.permute.default, source, [0, 2, 1, 3])
        )
    _, length, heads, n = shape_of(x)
    rows = call(aten.reshape.default, x, [1, length, heads * n])
    cos, sin, interleaved = tables
    turned = call(mcu.rope_rows.default, rows, cos, sin, n, interleaved)
    result = call(aten.view.default, turned, [1, length, heads, n])
    if axis == 2:
        result = call(aten.permute.default, result, [0, 2, 1, 3])
    rotated.replace_all_uses_with(result)
