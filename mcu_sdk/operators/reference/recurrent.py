"""mcu::lstm_s8 and mcu::gru_s8: a recurrent layer over a whole sequence, int8 products, gates and states in int16.

A gate is the sum of two products, each saturated to int16 in steps of 1 / GATE_ONE, and so is the sum; sigmoid and tanh
are looked up, with the line between two entries, and are in steps of 1 / 2^15. So is a state whose `bits` are 15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.linear import S16, requantize
from mcu_sdk.operators.reference.packed import separate, unpack

GATE_BITS = 11
GATE_ONE = 1 << GATE_BITS
"""A gate of one: int16 reaches from -16 to 16."""
CURVE_STEP = 6
"""Bits of a gate between two entries of a table."""
ENTRIES = 257
"""Of a curve's table: from 0 to 8."""
CURVE_END = (1 << 14) - 1
"""The last gate that is looked up, next to 8."""

Integers = NDArray[np.int64]


def curves() -> torch.Tensor:
    """int16[2, ENTRIES]: sigmoid and tanh at 0, 1/32, 2/32, ... 8, in steps of 1 / 2^15."""
    x = torch.arange(ENTRIES, dtype=torch.float64) * (1 << CURVE_STEP) / GATE_ONE
    rows = torch.stack([torch.sigmoid(x), torch.tanh(x)]) * (1 << 15)
    return rows.round().clamp(*S16).to(torch.int16)


def _sigmoid(tables: Integers, x: Integers) -> Integers:
    return np.where(x < 0, (1 << 15) - _curve(tables[0], x), _curve(tables[0], x))


def _tanh(tables: Integers, x: Integers) -> Integers:
    return np.where(x < 0, -_curve(tables[1], x), _curve(tables[1], x))


def _curve(table: Integers, x: Integers) -> Integers:
    """The curve at |x|, x an int16."""
    magnitude = np.minimum(np.abs(x), CURVE_END)
    at, between = magnitude >> CURVE_STEP, magnitude & ((1 << CURVE_STEP) - 1)
    step: Integers = table[at + 1] - table[at]
    value: Integers = table[at] + _right(step * between, CURVE_STEP)
    return value


def _right(x: Integers, shift: int) -> Integers:
    """x / 2^shift to the nearest integer, ties up."""
    return (x + ((1 << shift) >> 1)) >> shift


def _saturate(x: Integers) -> Integers:
    return np.clip(x, *S16)


class _Layer:
    """What both operators do: the products, and the order of the steps."""

    def __init__(
        self,
        x: torch.Tensor,
        weights: tuple[torch.Tensor, torch.Tensor],
        constants: torch.Tensor,
        output: tuple[int, int],
        backwards: bool,
        gates: int,
        n: int,
    ) -> None:
        self.n = n
        rows = gates * self.n
        of_input, self.state_weight = (
            to_numpy(weight if weight.dim() == 2 else unpack(weight, rows, k)).astype(np.float64)
            for weight, k in zip(weights, (x.shape[2], self.n), strict=True)
        )
        apart = (
            constants if constants.dim() == 3 else torch.stack([separate(part, rows) for part in constants])
        )
        self.constants = to_numpy(apart)
        self.multiplier, self.shift = (np.int64(number) for number in output)
        self.sequences, self.steps, _ = x.shape
        self.backwards = backwards
        self.inputs = self._requantized(to_numpy(x).astype(np.float64) @ of_input.T, 0)

    def _requantized(self, products: Any, which: int) -> Integers:
        bias, multiplier, shift = self.constants[which]
        total = (products.astype(np.int64) + bias).astype(np.int32)
        requantized: Integers = requantize(total, multiplier, shift).astype(np.int64)
        return _saturate(requantized)

    def of_state(self, hidden: Integers) -> Integers:
        """What the state adds to the gates, in a gate's steps."""
        return self._requantized(hidden.astype(np.float64) @ self.state_weight.T, 1)

    def order(self) -> Iterator[int]:
        return iter(range(self.steps - 1, -1, -1) if self.backwards else range(self.steps))

    def to_s8(self, value: Integers) -> Integers:
        """A result of int16 in the output's int8."""
        scaled: Integers = requantize(value, self.multiplier, self.shift).astype(np.int64)
        return np.clip(scaled, -127, 127)

    def run(self, hidden: Integers, step: Callable[[int, Integers], Integers]) -> torch.Tensor:
        """The outputs int8[S, T, n] of `step(t, hidden)` for each step, beginning with `hidden`."""
        out = np.zeros((self.sequences, self.steps, self.n), np.int8)
        for t in self.order():
            hidden = step(t, hidden)
            out[:, t] = hidden
        return to_torch(out)


def _given(value: torch.Tensor | None, layer: _Layer) -> Integers:
    return (
        np.zeros((layer.sequences, layer.n), np.int64) if value is None else to_numpy(value).astype(np.int64)
    )


def _outputs(x: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return x.new_empty((*x.shape[:2], n)), x.new_empty((x.shape[0], n), dtype=torch.int16)


@define("lstm_s8", lambda x, *rest: _outputs(x, rest[-1]))
def lstm_s8(
    x: torch.Tensor,
    hidden: torch.Tensor | None,
    cell: torch.Tensor | None,
    input_weight: torch.Tensor,
    state_weight: torch.Tensor,
    constants: torch.Tensor,
    tables: torch.Tensor,
    bits: int,
    out_multiplier: int,
    out_shift: int,
    backwards: bool,
    n: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer of LSTM over x int8[S, T, I]: (the outputs int8[S, T, n], the last cells int16[S, n]).

    hidden int8[S, n] at the outputs' scale, and cell int16[S, n] in steps of 1 / 2^bits, are what it begins with, or
    None: zeros. input_weight int8[4 n, I], state_weight int8[4 n, n]: gates i, f, g, o as in PyTorch. constants int32
    [2, 3, 4 n]: bias (x's zero point folded in), multiplier and shift of the first product, then of the second. Or all
    packed as in mcu::linear_s8_requantize.packed, constants int32[2, ceil(4 n / 8), 3, 8]. tables as `curves` has them. c' = f c + i g, each product rounded, ties up; h = o tanh(c') in steps of 1 / 2^15, which
    out_multiplier and out_shift make int8 of.
    """
    layer = _Layer(x, (input_weight, state_weight), constants, (out_multiplier, out_shift), backwards, 4, n)
    known, cells = to_numpy(tables).astype(np.int64), _given(cell, layer)

    def step(t: int, hidden: Integers) -> Integers:
        nonlocal cells
        gates = _saturate(layer.inputs[:, t] + layer.of_state(hidden))
        i, f, g, o = np.split(gates, 4, -1)
        i, f, g, o = (_sigmoid(known, i), _sigmoid(known, f), _tanh(known, g), _sigmoid(known, o))
        cells = _saturate(_right(f * cells, 15) + _right(i * g, 30 - bits))
        angle = _right(cells, bits - GATE_BITS) if bits > GATE_BITS else cells << (GATE_BITS - bits)
        return layer.to_s8(_right(o * _tanh(known, _saturate(angle)), 15))

    out = layer.run(_given(hidden, layer), step)
    return out, to_torch(cells.astype(np.int16))


@define("gru_s8", lambda x, *rest: _outputs(x, rest[-1]))
def gru_s8(
    x: torch.Tensor,
    before: torch.Tensor | None,
    input_weight: torch.Tensor,
    state_weight: torch.Tensor,
    constants: torch.Tensor,
    tables: torch.Tensor,
    bits: int,
    out_multiplier: int,
    out_shift: int,
    backwards: bool,
    n: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer of GRU over x int8[S, T, I]: (the outputs int8[S, T, n], the last state int16[S, n]).

    before int16[S, n], in steps of 1 / 2^bits, is what it begins with, or None: zeros. input_weight int8[3 n, I],
    state_weight int8[3 n, n]: gates r, z, n as in PyTorch; constants int32[2, 3, 3 n] and tables as mcu::lstm_s8 has them, or packed.
    n = tanh(a + r b), a and b of int16; h' = n + z (h - n), each product rounded, ties up; the next product, and the
    output, has h' in int8.
    """
    layer = _Layer(x, (input_weight, state_weight), constants, (out_multiplier, out_shift), backwards, 3, n)
    known, states = to_numpy(tables).astype(np.int64), _given(before, layer)

    def step(t: int, hidden: Integers) -> Integers:
        nonlocal states
        of_input, of_state = layer.inputs[:, t], layer.of_state(hidden)
        gates = _sigmoid(known, _saturate(of_input[:, : 2 * n] + of_state[:, : 2 * n]))
        r, z = gates[:, :n], gates[:, n:]
        added = _right(r * of_state[:, 2 * n :], 15)
        new = _right(_tanh(known, _saturate(of_input[:, 2 * n :] + added)), 15 - bits)
        states = _saturate(new + _right(z * (states - new), 15))
        return layer.to_s8(states)

    out = layer.run(layer.to_s8(states), step)
    return out, to_torch(states.astype(np.int16))
