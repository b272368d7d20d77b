"""The convolution that hears a sound, where a norm over all of it takes its loudness out again behind it (Moonshine) -> a linear over
windows of samples, whose rows get scales of their own (quantize.py).

How loud a sound is says nothing behind such a norm, but what rounding did to it stays: at one int8 scale for all sounds a voice of a
hundredth of the range has three levels, and so has what the norm makes as large as any other.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.channels_last import ONE_VALUE
from mcu_sdk.lowering.fuse.graph import add_buffer, args, aten, constant_value, is_call, is_constant, shape_of
from mcu_sdk.lowering.fuse.new_node import call_before


def waves_to_rows(program: ExportedProgram) -> int:
    """conv1d of one channel [1, 1, N] by [O, 1, K], functions of one value, group_norm of one group: rows [1, T, O] of T windows.
    Rewrites in place; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if is_call(node, aten.conv1d.default) and _hears(program, node):
            norm = _norm_behind(program, node)
            if norm is not None:
                _rewrite(program, node, norm)
                count += 1
    return count


def is_heard(linear: Node) -> bool:
    """Whether a linear of several rows is read, behind functions of one value, by a norm of all of its results together."""
    reader = linear
    while len(reader.users) == 1:
        (reader,) = reader.users
        if is_call(reader, aten.layer_norm.default, torch.ops.mcu.layer_norm.default):
            size = math.prod(shape_of(linear))
            return shape_of(reader)[-1] == size > shape_of(linear)[-1]
        if not is_call(
            reader, *ONE_VALUE, aten.view.default, aten.reshape.default, aten._unsafe_view.default
        ):
            return False
    return False


def _given(node: Node) -> list[Any]:
    """(x, weight, bias, stride, padding, dilation, groups), defaults filled in."""
    defaults: list[Any] = [None, [1], [0], [1], 1]
    return [*args(node), *defaults[len(args(node)) - 2 :]]


def _hears(program: ExportedProgram, node: Node) -> bool:
    x, weight, bias, _, padding, dilation, groups = _given(node)
    constant = all(value is None or is_constant(program, value) for value in (weight, bias))
    plain = groups == 1 and not any(padding) and list(dilation) == [1]
    return constant and plain and len(shape_of(x)) == 3 and shape_of(x)[:2] == (1, 1)


def _norm_behind(program: ExportedProgram, node: Node) -> Node | None:
    """The group_norm of one group that alone reads the value, behind functions of one value."""
    while len(node.users) == 1:
        (node,) = node.users
        if is_call(node, aten.group_norm.default):
            constant = all(value is None or is_constant(program, value) for value in args(node)[2:4])
            return node if args(node)[1] == 1 and constant else None
        if not is_call(node, *ONE_VALUE):
            return None
    return None


def _rewrite(program: ExportedProgram, node: Node, norm: Node) -> None:
    graph = program.graph
    x, weight, bias, (step,), *_ = _given(node)
    filters, windows = shape_of(node)[1:]
    rows, blocks = _windows(program, node, x, windows, shape_of(weight)[2], step)
    matrix = constant_value(program, weight).flatten(1)
    matrix = torch.nn.functional.pad(matrix, (0, blocks * step - matrix.shape[1]))
    kept = add_buffer(program, f"{weight.name}_rows", matrix.contiguous())
    value = call_before(graph, node, aten.linear.default, rows, kept, bias)
    function = node
    while (function := next(iter(function.users))) is not norm:
        value = call_before(graph, function, function.target, value, *args(function)[1:], **function.kwargs)
    _, _, scale, offset, eps = [*args(norm), *[None, None, 1e-5][len(args(norm)) - 2 :]][:5]
    size = filters * windows
    repeated = [
        each
        if each is None
        else add_buffer(program, f"{each.name}_repeated", constant_value(program, each).repeat(windows))
        for each in (scale, offset)
    ]
    value = call_before(graph, norm, aten.reshape.default, value, [1, 1, size])
    value = call_before(graph, norm, aten.layer_norm.default, value, [size], *repeated, eps)
    value = call_before(graph, norm, aten.reshape.default, value, [1, windows, filters])
    norm.replace_all_uses_with(call_before(graph, norm, aten.transpose.int, value, 1, 2))


def _windows(
    program: ExportedProgram, node: Node, x: Node, windows: int, width: int, step: int
) -> tuple[Node, int]:
    """Rows [1, windows, blocks * step] that begin `step` samples behind each other, and how many blocks of so many samples each
    has: as many as hold `width`."""
    graph, count = program.graph, shape_of(x)[2]
    blocks = -(-width // step)
    length = (windows - 1 + blocks) * step
    wave = call_before(graph, node, aten.reshape.default, x, [count])
    if count < length:
        wave = call_before(graph, node, aten.constant_pad_nd.default, wave, [0, length - count], 0.0)
    elif count > length:
        wave = call_before(graph, node, aten.slice.Tensor, wave, 0, 0, length)
    cut = call_before(graph, node, aten.reshape.default, wave, [windows - 1 + blocks, step])
    parts = [
        call_before(graph, node, aten.slice.Tensor, cut, 0, begin, begin + windows) for begin in range(blocks)
    ]
    rows = call_before(graph, node, aten.cat.default, parts, 1)
    return call_before(graph, node, aten.reshape.default, rows, [1, windows, blocks * step]), blocks
