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
    operator_row,
    replace,
    shape_of,
    tidy,
)
from mcu_sdk.operators.layouts import COLUMNS, MOST_PADDING, ROWS, WeightLayout
from mcu_sdk.operators.reference.packed import interleave, pack, pad_channels
from mcu_sdk.operators.table import OPERATORS, Operator

RECURRENT = (torch.ops.mcu.lstm_s8.default, torch.ops.mcu.gru_s8.default)


def pack_weights(program: ExportedProgram, layout: WeightLayout) -> int:
    """Rewrite a quantized program in place for `layout`; returns how many weights were packed (none for "rows")."""
    if layout == "rows":
        return 0
    constants = _Constants(program)
    weights = {
        args(node)[row.position(row.weight)]: None
        for node in program.graph.nodes
        if (row := _packable(node)) is not None
    }
    recurrent = sum(_pack_recurrent(program, node, constants) for node in list(program.graph.nodes))
    packed = [weight for weight in weights if _can_be_packed(program, weight)]
    for weight in packed:
        values = constants.packed(weight)
        for user in list(weight.users):
            _pack_call(program, user, values, constants)
    tidy(program)
    return len(packed) + recurrent


def _pack_recurrent(program: ExportedProgram, node: Node, constants: _Constants) -> int:
    """Pack both weights of a recurrent layer, where both can be, which then lie as its reference says; how many were."""
    if not is_call(node, *RECURRENT):
        return 0
    first = operator_row(node).position("input_weight")  # type: ignore[union-attr]  # ours
    weights, values = args(node)[first : first + 2], args(node)[first + 2]
    known = constant_value(program, values)
    if not all(_is_full(weight) for weight in weights) or bool((known[:, 2] > 0).any()):
        return 0
    joined = add_buffer(program, f"{values.name}_packed", torch.stack([interleave(*part) for part in known]))
    node.args = (*args(node)[:first], *map(constants.packed, weights), joined, *args(node)[first + 3 :])
    return 2


def _packable(call: Node) -> Operator | None:
    """The row of an operator that has an overload for packed weights."""
    row = operator_row(call)
    return row if row is not None and row.packed else None


def _can_be_packed(program: ExportedProgram, weight: object) -> bool:
    """Whether a weight is a constant matrix, or one for each expert, that only packable calls read as their weight."""
    if (
        not isinstance(weight, Node)
        or not is_constant(program, weight)
        or len(shape_of(weight)) not in (2, 3)
    ):
        return False
    if not _is_full(weight):
        return False
    return all(_takes_packed(program, user, weight) for user in weight.users)


def _is_full(weight: Node) -> bool:
    """Whether little of a packed matrix would be padding."""
    n, k = shape_of(weight)[-2:]
    return -(-n // ROWS) * ROWS * -(-k // COLUMNS) * COLUMNS <= MOST_PADDING * n * k


def _takes_packed(program: ExportedProgram, call: Node, weight: Node) -> bool:
    row = _packable(call)
    if row is None:
        return False
    given = dict(zip(row.argument_names, args(call), strict=True))
    if given.pop(row.weight) is not weight or weight in given.values():
        return False
    channels = [given[name] for name in row.channels]
    if not all(argument is None or is_constant(program, argument) for argument in channels):
        return False
    shift = given.get("shift")  # the vector kernel shifts to the right only
    return shift is None or not bool((constant_value(program, shift) > 0).any())


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
    """Put the packed overload in the place of a call: what has a value for each row of the weight is padded or, where
    the overload takes them as one, interleaved."""
    row = _packable(call)
    assert row is not None
    packed = OPERATORS[f"{row.name}.{row.packed}"]
    given: dict[str, Any] = dict(zip(row.argument_names, args(call), strict=True))
    channels = [given[name] for name in row.channels]
    given[row.weight] = weight
    given["n"] = int(call.meta["val"].shape[-1])
    if "constants" in packed.argument_names:
        given["constants"] = constants.requantization(*channels)
    else:
        given |= {name: constants.channels(value) for name, value in zip(row.channels, channels, strict=True)}
    target = getattr(call.target.overloadpacket, row.packed)  # type: ignore[union-attr]  # an operator overload
    replace(program.graph, call, target, tuple(given[name] for name in packed.argument_names))
    program.graph.erase_node(call)
