"""A transposed convolution -> a convolution whose channels are shuffled into space: there are kernels for that.

Along an axis with stride s the outputs at s m + r, for one r < s, are a convolution of their own: with every s-th tap from r
on, back to front. All r together are s times as many channels of one convolution, in steps of one pixel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import add_buffer, args, aten, constant_value, is_constant, shape_of
from mcu_sdk.lowering.fuse.new_node import call_before

CONVOLUTIONS = {1: aten.conv1d.default, 2: aten.conv2d.default}


def spread_taps(weight: torch.Tensor, stride: list[int]) -> torch.Tensor:
    """float[C, O, taps...] of a transposed convolution -> [O * s..., C, ceil(taps / s)...] of the one that computes it."""
    axes = len(stride)
    for axis, step in enumerate(stride):
        at = 2 + 2 * axis  # each axis before this one has become two: parts and outputs between pixels
        lacking = -weight.shape[at] % step
        weight = torch.nn.functional.pad(weight, (*[0, 0] * (weight.dim() - at - 1), 0, lacking))
        weight = weight.unflatten(at, (-1, step)).flip(at)
    parts, between = [2 + 2 * axis for axis in range(axes)], [3 + 2 * axis for axis in range(axes)]
    return weight.permute(1, *between, 0, *parts).flatten(0, axes).contiguous()


def spread(program: ExportedProgram, node: Node) -> Node | None:
    """conv_transpose1d and conv_transpose2d of one image without groups and dilation, by constant filters; else None."""
    graph, axes = program.graph, len(shape_of(node)) - 2
    defaults: list[Any] = [None, [1] * axes, [0] * axes, [0] * axes, 1, [1] * axes]
    x, weight, *given = args(node)
    bias, *numbers = [*given, *defaults[len(given) :]]
    stride, padding, _, dilation = (
        list(value) * (axes if len(value) == 1 else 1) for value in (*numbers[:3], numbers[4])
    )
    constants = [weight] if bias is None else [weight, bias]
    if numbers[3] != 1 or set(dilation) != {1} or shape_of(x)[0] != 1 or axes not in CONVOLUTIONS:
        return None
    if not all(isinstance(value, Node) and is_constant(program, value) for value in constants):
        return None
    outputs, sides = shape_of(node)[1], shape_of(node)[2:]
    filters = spread_taps(constant_value(program, weight), stride)
    many = filters.shape[0] // outputs
    # Pixels from the first on that an output before the cut lies on, and those that the image lacks for it.
    pixels = [-(-(cut + side) // step) for cut, side, step in zip(padding, sides, stride, strict=True)]
    before = [taps - 1 for taps in filters.shape[2:]]
    behind = [max(0, count - size) for count, size in zip(pixels, shape_of(x)[2:], strict=True)]
    around = before
    if before != behind:
        both = [amount for pair in zip(reversed(before), reversed(behind), strict=True) for amount in pair]
        x, around = call_before(graph, node, aten.constant_pad_nd.default, x, both, 0.0), [0] * axes
    offsets = None
    if bias is not None:
        repeated = constant_value(program, bias).repeat_interleave(many)
        offsets = add_buffer(program, f"{bias.name}_spread", repeated)
    spread_weight = add_buffer(program, f"{weight.name}_spread", filters)
    ones = [1] * axes
    out = call_before(graph, node, CONVOLUTIONS[axes], x, spread_weight, offsets, ones, around, ones, 1)
    found = shape_of(out)[2:]
    out = call_before(graph, node, aten.reshape.default, out, [1, outputs, *stride, *found])
    order = [0, 1, *(at for axis in range(axes) for at in (2 + axes + axis, 2 + axis))]
    out = call_before(graph, node, aten.permute.default, out, order)
    whole = [size * step for size, step in zip(found, stride, strict=True)]
    out = call_before(graph, node, aten.reshape.default, out, [1, outputs, *whole])
    for axis, (cut, side, size) in enumerate(zip(padding, sides, whole, strict=True)):
        if (cut, side) != (0, size):
            out = call_before(graph, node, aten.slice.Tensor, out, 2 + axis, cut, cut + side)
    return out
