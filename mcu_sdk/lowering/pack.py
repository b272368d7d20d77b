"""A pass that lays int8 weights out for a core's vector unit, before the .pte is written.

Each constant stays one constant: a weight is packed when all that reads it can read it packed, such as the tied table
of an embedding and the last linear. What cannot be packed keeps its rows, and its kernels work on every core.
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
    constant_name,
    constant_value,
    is_call,
    is_constant,
    replace,
    shape_of,
    tidy,
)
from mcu_sdk.operators.layouts import COLUMNS, ROWS, WeightLayout
from mcu_sdk.operators.reference.packed import interleave, pack, pad_channels

mcu = torch.ops.mcu

MOST_PADDING = 1.5
"""Times a weight may grow: a matrix of two rows would become four times as large, and hardly faster."""

_WEIGHT_INDEX: dict[object, int] = {
    mcu.embedding_s8.default: 0,
    mcu.linear_s8.default: 2,
    mcu.linear_s8_static.default: 1,
    mcu.linear_s8_requantize.default: 1,
}


def pack_weights(program: ExportedProgram, layout: WeightLayout) -> int:
    """Rewrite a quantized program in place for `layout`; returns how many weights were packed (none for "rows")."""
    if layout == "rows":
        return 0
    constants = _Constants(program)
    weights = {
        args(node)[_WEIGHT_INDEX[node.target]]: None
        for node in program.graph.nodes
        if is_call(node, *_WEIGHT_INDEX)
    }
    packed = [weight for weight in weights if _can_be_packed(program, weight)]
    for weight in packed:
        values = constants.packed(weight)
        for user in list(weight.users):
            _pack_call(program, user, values, constants)
    tidy(program)
    return len(packed)


def _can_be_packed(program: ExportedProgram, weight: object) -> bool:
    """Whether a weight is a constant matrix that only packable calls read, and only as their weight."""
    if not isinstance(weight, Node) or not is_constant(program, weight) or len(shape_of(weight)) != 2:
        return False
    n, k = shape_of(weight)
    if -(-n // ROWS) * ROWS * -(-k // COLUMNS) * COLUMNS > MOST_PADDING * n * k:
        return False
    return all(_takes_packed(program, user, weight) for user in weight.users)


def _takes_packed(program: ExportedProgram, call: Node, weight: Node) -> bool:
    if not is_call(call, *_WEIGHT_INDEX):
        return False
    index = _WEIGHT_INDEX[call.target]
    others = [argument for i, argument in enumerate(args(call)) if i != index]
    if args(call)[index] is not weight or weight in others:
        return False
    channels = _channel_arguments(call)
    if not all(argument is None or is_constant(program, argument) for argument in channels):
        return False
    if call.target == mcu.linear_s8_requantize.default:  # the vector kernel shifts to the right only
        return not bool((constant_value(program, channels[2]) > 0).any())
    return True


def _channel_arguments(call: Node) -> tuple[Any, ...]:
    """The arguments with a value for each row of the weight."""
    values = args(call)
    if call.target == mcu.embedding_s8.default:
        return (values[1],)
    if call.target == mcu.linear_s8.default:
        return (values[3], values[4])
    return tuple(values[2:5])


class _Constants:
    """Packed copies of constants, each made once."""

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._made: dict[tuple[Node, ...], Node] = {}

    def packed(self, weight: Node) -> Node:
        return self._make((weight,), "packed", pack(self._value(weight)))

    def channels(self, values: Node | None) -> Node | None:
        return None if values is None else self._make((values,), "padded", pad_channels(self._value(values)))

    def requantization(self, bias: Node, multiplier: Node, shift: Node) -> Node:
        values = interleave(self._value(bias), self._value(multiplier), self._value(shift))
        return self._make((bias, multiplier, shift), "requantization", values)

    def _value(self, node: Node) -> torch.Tensor:
        return constant_value(self._program, node)

    def _make(self, sources: tuple[Node, ...], what: str, value: torch.Tensor) -> Node:
        if sources not in self._made:
            name = f"{constant_name(self._program, sources[0])}_{what}"
            self._made[sources] = add_buffer(self._program, name, value)
        return self._made[sources]


def _pack_call(program: ExportedProgram, call: Node, weight: Node, constants: _Constants) -> None:
    values = args(call)
    count = int(call.meta["val"].shape[-1])
    arguments: tuple[Any, ...]
    if call.target == mcu.embedding_s8.default:
        target = mcu.embedding_s8.packed
        arguments = (weight, constants.channels(values[1]), values[2], count)
    elif call.target == mcu.linear_s8.default:
        target = mcu.linear_s8.packed
        channels = map(constants.channels, values[3:5])
        arguments = (*values[:2], weight, *channels, count)
    elif call.target == mcu.linear_s8_static.default:
        target = mcu.linear_s8_static.packed
        arguments = (values[0], weight, *map(constants.channels, values[2:5]), count)
    else:
        target = mcu.linear_s8_requantize.packed
        arguments = (values[0], weight, constants.requantization(*values[2:5]), *values[5:8], count)
    replace(program.graph, call, target, arguments)
    program.graph.erase_node(call)
