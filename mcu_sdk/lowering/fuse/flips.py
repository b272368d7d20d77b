"""Channels that are turned around before a convolution: its weights are turned instead."""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_name,
    constant_value,
    is_call,
    is_constant,
    shape_of,
)

CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding)


PADS = (aten.pad.default, aten.constant_pad_nd.default)


def turn_weights(program: ExportedProgram) -> int:
    """conv(flip(x), weight) -> conv(x, flip(weight)), also behind padding around an image, in place; returns how many flips
    went."""
    count = 0
    for node in list(program.graph.nodes):
        if not (
            is_call(node, aten.flip.default) and [axis % len(shape_of(node)) for axis in args(node)[1]] == [1]
        ):
            continue
        readers = _convolutions(program, node)
        if not readers:
            continue
        for reader in readers:
            weight = args(reader)[1]
            turned = constant_value(program, weight).flip(1).contiguous()
            buffer = add_buffer(program, f"{constant_name(program, weight)}_turned", turned)
            reader.args = (args(reader)[0], buffer, *args(reader)[2:])
        node.replace_all_uses_with(args(node)[0])
        count += 1
    return count


def _convolutions(program: ExportedProgram, image: Node) -> list[Node] | None:
    """All that reads the image, if that is convolutions in one group with constant weights; None if it is not."""
    found: list[Node] = []
    for user in image.users:
        if is_call(user, *PADS) and len(args(user)[1]) <= 2 * (len(shape_of(image)) - 2):
            behind = _convolutions(program, user)
        else:
            behind = [user] if _reads_all_channels(program, user, image) else None
        if behind is None:
            return None
        found += behind
    return found


def _reads_all_channels(program: ExportedProgram, user: Node, image: Node) -> bool:
    """Whether it is a convolution of the image, in one group, with constant weights."""
    if not is_call(user, *CONVOLUTIONS) or args(user)[0] is not image:
        return False
    weight = args(user)[1]
    return (
        isinstance(weight, Node)
        and is_constant(program, weight)
        and shape_of(weight)[1] == shape_of(image)[1]
    )
