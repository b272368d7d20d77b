"""Operators that no kernel has, by others: unfold, im2col, col2im and roll as views, turned axes and slices; group norms;
transposed convolutions; pools of rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import add_buffer, args, aten, constant_value, is_call, is_constant, shape_of
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.transposed import spread


def spell_out(program: ExportedProgram) -> int:
    """Rewrite in place what can be; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if node.op != "call_function" or node.target not in RULES:
            continue
        new = RULES[node.target](program, node)
        if new is not None:
            node.replace_all_uses_with(new)
            count += 1
    return count


def _without_nothing(program: ExportedProgram, node: Node) -> Node | None:
    """A padding by nothing is its input."""
    source = args(node)[0]
    return source if isinstance(source, Node) and not any(args(node)[1]) else None


def _weight_norm(program: ExportedProgram, node: Node) -> Node | None:
    """The weight itself of one kept as directions and lengths."""
    if not all(is_constant(program, value) for value in args(node)[:2]):
        return None
    direction, length = (constant_value(program, value) for value in args(node)[:2])
    axis = args(node)[2] if len(args(node)) > 2 else 0
    return add_buffer(program, node.name, torch._weight_norm(direction, length, axis))


def _mean(program: ExportedProgram, node: Node) -> Node | None:
    """Pools that leave one value of each channel."""
    adaptive = is_call(node, aten.adaptive_avg_pool2d.default, aten.adaptive_avg_pool1d.default)
    if adaptive and any(side != 1 for side in args(node)[1]):
        return _windows_alike(program, node)
    if not adaptive and not _takes_all(node):
        return None
    axes = [-1] if is_call(node, aten.adaptive_avg_pool1d.default) else [-2, -1]
    return call_before(program.graph, node, aten.mean.dim, args(node)[0], axes, True)


def _windows_alike(program: ExportedProgram, pool: Node) -> Node | None:
    """An adaptive average pool whose windows are all of one size, side by side."""
    x, sides = args(pool)
    given = shape_of(x)[-len(sides) :]
    if any(before % side for before, side in zip(given, sides, strict=True)):
        return None
    size = [before // side for before, side in zip(given, sides, strict=True)]
    target = aten.avg_pool2d.default if len(sides) == 2 else aten.avg_pool1d.default
    plain = call_before(program.graph, pool, target, x, size, size)
    spelt = _means_of_windows(program, plain) if len(sides) == 1 else _average(program, plain)
    return spelt or plain


def _means_of_windows(program: ExportedProgram, pool: Node) -> Node | None:
    """An average pool along one axis, of windows side by side."""
    graph = program.graph
    x, size, stride, padding, rounds_up = [*args(pool), *[[], [0], False][len(args(pool)) - 2 :]][:5]
    if list(stride or size) != list(size) or any(padding) or rounds_up:
        return None
    shape, window = shape_of(pool), int(size[0])
    cut = call_before(graph, pool, aten.slice.Tensor, x, len(shape) - 1, 0, shape[-1] * window)
    windows = call_before(graph, pool, aten.reshape.default, cut, [*shape, window])
    return call_before(graph, pool, aten.mean.dim, windows, [-1])


def _pool_of_rows(program: ExportedProgram, pool: Node) -> Node | None:
    """The pool of one channel along one axis, of windows side by side: of a text's rows, as Funnel has it. A last window that
    ends early (ceil_mode) takes what there is."""
    graph, x, shape = program.graph, args(pool)[0], shape_of(args(pool)[0])
    greatest = is_call(pool, aten.max_pool2d.default)
    defaults: list[Any] = [[], [0, 0], [1, 1], False] if greatest else [[], [0, 0], False, True, None]
    size, stride, padding, *rest = [*args(pool)[1:], *defaults[len(args(pool)) - 2 :]]
    plain = rest[0] == [1, 1] if greatest else rest[2] is None
    rounds_up = rest[1] if greatest else rest[0]
    along = [axis for axis, side in zip((-2, -1), size, strict=True) if side != 1]
    if len(shape) != 4 or shape[1] != 1 or len(along) != 1 or not plain:
        return None
    if list(stride or size) != list(size) or any(padding):
        return None
    axis, window = 4 + along[0], max(size)
    end = shape[axis] // window * window

    def of_windows(begin: int, end: int, window: int) -> Node:
        cut = call_before(graph, pool, aten.slice.Tensor, x, axis, begin, end)
        sides = [*shape[:axis], (end - begin) // window, window, *shape[axis + 1 :]]
        windows = call_before(graph, pool, aten.reshape.default, cut, sides)
        target = aten.amax.default if greatest else aten.mean.dim
        return call_before(graph, pool, target, windows, [axis + 1])

    parts = [of_windows(0, end, window)] if end else []
    if rounds_up and end < shape[axis]:
        parts.append(of_windows(end, shape[axis], shape[axis] - end))
    return parts[0] if len(parts) == 1 else call_before(graph, pool, aten.cat.default, parts, axis)


def _average(program: ExportedProgram, pool: Node) -> Node | None:
    return _mean(program, pool) or _pool_of_rows(program, pool)


def _takes_all(pool: Node) -> bool:
    """Whether one window takes in the whole image, and is divided by its pixels."""
    x, size, *rest = args(pool)
    padding = rest[1] if len(rest) > 1 else [0, 0]
    divisor = rest[4] if len(rest) > 4 else None
    whole = all(side <= window for side, window in zip(shape_of(x)[-2:], size, strict=True))
    return whole and shape_of(pool)[-2:] == (1, 1) and not any(padding) and divisor is None


def _with_numbers(program: ExportedProgram, node: Node) -> Node | None:
    """A convolution whose padding is a word, where that is as much on both sides."""
    graph = program.graph
    x, weight, *rest = args(node)
    axes = len(shape_of(weight)) - 2
    defaults: list[Any] = [None, [1] * axes, "valid", [1] * axes, 1]
    bias, stride, word, dilation, groups = [*rest, *defaults[len(rest) :]]
    stride, dilation = (value * axes if len(value) == 1 else value for value in (stride, dilation))
    reach = [step * (size - 1) for step, size in zip(dilation, shape_of(weight)[2:], strict=True)]
    if word == "same" and any(each % 2 for each in reach):
        return None
    padding = [each // 2 if word == "same" else 0 for each in reach]
    target = aten.conv2d.default if axes == 2 else aten.conv1d.default
    return call_before(graph, node, target, x, weight, bias, stride, padding, dilation, groups)


def _rolled(program: ExportedProgram, node: Node) -> Node | None:
    """x turned along axes: the end of each in front of its beginning."""
    x, shifts, axes = [*args(node), []][:3]
    if len(axes) != len(shifts):
        return None
    for shift, axis in zip(shifts, axes, strict=True):
        size = shape_of(x)[axis]
        cut = -shift % size
        if cut:
            parts = [
                call_before(program.graph, node, aten.slice.Tensor, x, axis, begin, end)
                for begin, end in ((cut, size), (0, cut))
            ]
            x = call_before(program.graph, node, aten.cat.default, parts, axis)
    assert isinstance(x, Node)
    return x


def _unfolded(program: ExportedProgram, node: Node) -> Node:
    """x in windows along an axis: [..., windows, ..., size]."""
    graph = program.graph
    x, axis, size, step = args(node)
    rank, windows = len(shape_of(x)), shape_of(node)[args(node)[1] % len(shape_of(x))]
    order = [a for a in range(rank) if a != axis % rank] + [axis % rank]
    if axis % rank != rank - 1:
        x = call_before(graph, node, aten.permute.default, x, order)
    shape = shape_of(x)
    if step == size:
        x = call_before(graph, node, aten.slice.Tensor, x, rank - 1, 0, windows * size)
    else:
        parts = [
            call_before(graph, node, aten.slice.Tensor, x, rank - 1, at * step, at * step + size)
            for at in range(windows)
        ]
        x = call_before(graph, node, aten.cat.default, parts, rank - 1)
    rows = call_before(graph, node, aten.reshape.default, x, [*shape[:-1], windows, size])
    back = [order.index(a) for a in range(rank)] + [rank]
    return (
        rows if back == list(range(rank + 1)) else call_before(graph, node, aten.permute.default, rows, back)
    )


def _tiles(size: tuple[int, ...], patch: list[int], rest: tuple[list[int], ...]) -> bool:
    """Whether patches side by side fill an image: no dilation, no padding, strides of their size."""
    dilation, padding, stride = rest
    whole = all(side % part == 0 for side, part in zip(size, patch, strict=True))
    return whole and set(dilation) == {1} and not any(padding) and list(stride) == list(patch)


def _patches(program: ExportedProgram, node: Node) -> Node | None:
    """im2col of x[1, C, H, W] by patches (h, w) side by side: [1, C h w, patches]."""
    graph = program.graph
    x, patch, *rest = args(node)
    if not _tiles(shape_of(x)[-2:], patch, tuple(rest)):
        return None
    batch, channels, height, width = shape_of(x)
    h, w = patch
    cut = call_before(graph, node, aten.reshape.default, x, [batch, channels, height // h, h, width // w, w])
    turned = call_before(graph, node, aten.permute.default, cut, [0, 1, 3, 5, 2, 4])
    return call_before(graph, node, aten.reshape.default, turned, list(shape_of(node)))


def _image(program: ExportedProgram, node: Node) -> Node | None:
    """col2im: the way back."""
    graph = program.graph
    x, size, patch, *rest = args(node)
    if not _tiles(tuple(size), patch, tuple(rest)):
        return None
    batch, channels, height, width = shape_of(node)
    h, w = patch
    parts = [batch, channels, h, w, height // h, width // w]
    cut = call_before(graph, node, aten.reshape.default, x, parts)
    turned = call_before(graph, node, aten.permute.default, cut, [0, 1, 4, 2, 5, 3])
    return call_before(graph, node, aten.reshape.default, turned, list(shape_of(node)))


def _group_norm(program: ExportedProgram, node: Node) -> Node | None:
    """Rows of one group each, normalized; then each channel's weight and bias."""
    graph = program.graph
    x, groups, weight, bias, eps = [*args(node), *[None, None, 1e-5][len(args(node)) - 2 :]][:5]
    if groups == 1 and len(shape_of(node)) == 4:
        return None  # channels_last.py does that
    shape = shape_of(x)
    size = math.prod(shape[1:]) // groups
    rows = call_before(graph, node, aten.reshape.default, x, [shape[0], groups, size])
    normed = call_before(graph, node, aten.layer_norm.default, rows, [size], None, None, eps)
    out = call_before(graph, node, aten.reshape.default, normed, list(shape))
    for value, target in ((weight, aten.mul.Tensor), (bias, aten.add.Tensor)):
        if value is not None:
            column = call_before(graph, node, aten.reshape.default, value, [-1, *[1] * (len(shape) - 2)])
            out = call_before(graph, node, target, out, column)
    return out


def _softmax(program: ExportedProgram, node: Node) -> Node | None:
    """Along an axis that is not the last: turned, and back."""
    graph = program.graph
    x, axis = args(node)[:2]
    rank = len(shape_of(x))
    if axis % rank == rank - 1:
        return None
    x = call_before(graph, node, aten.transpose.int, x, axis, rank - 1)
    x = call_before(graph, node, aten.clone.default, x, memory_format=torch.contiguous_format)
    shares = call_before(graph, node, aten.softmax.int, x, -1)
    return call_before(graph, node, aten.transpose.int, shares, axis, rank - 1)


RULES: dict[Any, Callable[[ExportedProgram, Node], Node | None]] = {
    aten.conv1d.padding: _with_numbers,
    aten.conv2d.padding: _with_numbers,
    aten.conv_transpose1d.default: spread,
    aten.conv_transpose2d.input: spread,
    aten.pad.default: _without_nothing,
    aten.roll.default: _rolled,
    aten.unfold.default: _unfolded,
    aten.im2col.default: _patches,
    aten.col2im.default: _image,
    aten.group_norm.default: _group_norm,
    aten._weight_norm.default: _weight_norm,
    aten.softmax.int: _softmax,
    aten.adaptive_avg_pool1d.default: _mean,
    aten.adaptive_avg_pool2d.default: _mean,
    aten.avg_pool1d.default: _means_of_windows,
    aten.avg_pool2d.default: _average,
    aten.max_pool2d.default: _pool_of_rows,
}
"""What becomes of an operator; None where it stays."""
