"""Emitters of the recurrent layers over whole sequences: mcu::lstm_s8 and mcu::gru_s8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mcu_sdk.operators.layouts import ROWS
from mcu_sdk.planning.emitters.checks import (
    apart,
    boolean,
    call,
    integer,
    optional_tensor,
    out_tensor,
    shape_is,
    tensor,
)
from mcu_sdk.planning.emitters.mcu_linear import check_multipliers, check_sum
from mcu_sdk.planning.emitters.mcu_packed import packed_weight
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Parameters, Scratch, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S8, S16, S32 = DType.S8, DType.S16, DType.S32
ENTRIES = 257
"""Of a curve's table."""


class _Layer(NamedTuple):
    """What both kinds have, and its sizes."""

    weights: tuple[Tensor, ...]
    x: Tensor
    out: Tensor
    state: Tensor
    sequences: int
    steps: int
    inputs: int
    n: int
    packed: bool


def _layer(instruction: Instruction, gates: int, first: int) -> _Layer:
    """A layer whose weights begin at argument `first`; `gates` of them in each cell."""
    x = tensor(instruction, 0, S8)
    weights = tuple(tensor(instruction, first + i, kind) for i, kind in enumerate((S8, S8, S32, S16)))
    n, out, state = (
        integer(instruction, first + 8),
        out_tensor(instruction, first + 9, S8),
        out_tensor(instruction, first + 10, S16),
    )
    if len(x.shape) != 3 or min(x.shape) < 1:
        unsupported(instruction, "an input of shape [sequences, steps, channels] is wanted")
    sequences, steps, inputs = x.shape
    if n < 1:
        unsupported(instruction, f"it has {n} cells")
    packed = len(weights[0].shape) == 4
    if packed:
        packed_weight(instruction, first, gates * n, inputs)
        packed_weight(instruction, first + 1, gates * n, n)
    else:
        shape_is(instruction, weights[0], "the input's weight", gates * n, inputs)
        shape_is(instruction, weights[1], "the state's weight", gates * n, n)
    constants = (2, -(-gates * n // ROWS), 3, ROWS) if packed else (2, 3, gates * n)
    for value, what, shape in (
        (weights[2], "the constants", constants),
        (weights[3], "the tables", (2, ENTRIES)),
        (out, "the output", (sequences, steps, n)),
        (state, "the last state", (sequences, n)),
    ):
        shape_is(instruction, value, what, *shape)
    for k in (inputs, n):
        check_sum(instruction, k)
    _check_constants(instruction, weights[2], weights[3], packed)
    return _Layer(weights, x, out, state, sequences, steps, inputs, n, packed)


def _check_constants(instruction: Instruction, constants: Tensor, tables: Tensor, packed: bool) -> None:
    """Multipliers and shifts are within what the kernel computes with, and what the tables hold keeps its sums in range."""
    if constants.data is None or tables.data is None:
        unsupported(instruction, "its multipliers, shifts and tables have to be constants")
    known = np.frombuffer(constants.data, "<i4", constants.elements).reshape(constants.shape)
    _, multiplier, shift = np.moveaxis(known, 2 if packed else 1, 0)
    check_multipliers(instruction, multiplier, shift, 0 if packed else 31)
    if (np.frombuffer(tables.data, "<i2", tables.elements) < 0).any():
        unsupported(instruction, "a table of its curves has a value below 0")


def _parameters(instruction: Instruction, layer: _Layer, first: int) -> Parameters:
    bits, multiplier, shift = (integer(instruction, first + i) for i in (4, 5, 6))
    if not 0 <= bits <= 15:
        unsupported(instruction, f"its states have {bits} bits behind the point, not 0 to 15")
    if not 0 <= multiplier < 1 << 31 or not -31 <= shift <= 15:
        unsupported(instruction, f"its result's factor {multiplier} at shift {shift} is out of range")
    return Parameters(
        "McuRecurrent",
        (
            *((name, getattr(layer, name)) for name in ("sequences", "steps", "inputs", "n")),
            ("bits", bits),
            ("multiplier", multiplier),
            ("shift", shift),
            ("backwards", int(boolean(instruction, first + 7))),
        ),
    )


def _call(instruction: Instruction, name: str, gates: int, begins: Sequence[DType]) -> Sequence[KernelCall]:
    """(x, what it begins with, weights, constants, tables, bits, multiplier, shift, backwards, n, out, state)."""
    first = 1 + len(begins)
    layer = _layer(instruction, gates, first)
    given = [optional_tensor(instruction, 1 + i, kind) for i, kind in enumerate(begins)]
    for value in given:
        if value is not None:
            shape_is(instruction, value, "what it begins with", layer.sequences, layer.n)
    inputs = (layer.x, *given, *layer.weights)
    apart(instruction, layer.out, *inputs, layer.state)
    apart(instruction, layer.state, *inputs)
    parameters = _parameters(instruction, layer, first)
    # Of LSTM sums and zeros, of GRU two kinds of sums and zeros, int16 for each gate, and a state in int8.
    scratch = Scratch(layer.n * (16 if gates == 4 else 19))
    name = f"{name}_packed" if layer.packed else name
    return call(name, *inputs, layer.out, layer.state, scratch, parameters)


@emits("mcu::lstm_s8")
def lstm_s8(instruction: Instruction) -> Sequence[KernelCall]:
    return _call(instruction, "lstm_s8", 4, (S8, S16))


@emits("mcu::gru_s8")
def gru_s8(instruction: Instruction) -> Sequence[KernelCall]:
    return _call(instruction, "gru_s8", 3, (S16,))
