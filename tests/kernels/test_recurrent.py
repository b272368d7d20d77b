"""mcu_lstm_s8 and mcu_gru_s8 are their references, and these are close to PyTorch's layers."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy, nn

from mcu_sdk.lowering.requantize import multiplier_and_shift
from mcu_sdk.operators.reference.packed import interleave, pack
from mcu_sdk.operators.reference.recurrent import ENTRIES, curves, gru_s8, lstm_s8
from tests.kernels.call import Guarded, assert_same_bits, call, int8

SCRATCH = {"lstm": 16, "gru": 19}
"""Bytes for each cell."""
GATES = {"lstm": 4, "gru": 3}
REFERENCE = {"lstm": lstm_s8, "gru": gru_s8}
OUTPUT = multiplier_and_shift(127 / 32768)
"""From a result to int8."""


def operands(
    rng: np.random.Generator, kind: str, sizes: tuple[int, int, int, int], begins: bool, reach: float = 1.0
) -> tuple[Any, ...]:
    """(x, what it begins with, weights, constants, tables) of (sequences, steps, inputs, n); gates go some `reach` far."""
    sequences, steps, inputs, n = sizes
    rows = GATES[kind] * n
    factors = [multiplier_and_shift(reach * 2048 / (70 * 70 * k**0.5)) for k in (inputs, n)]
    constants = np.zeros((2, 3, rows), np.int32)
    for part, (multiplier, shift) in zip(constants, factors, strict=True):
        part[0] = rng.integers(-9999, 9999, rows)
        part[1] = rng.integers(multiplier // 2, multiplier, rows)
        part[2] = min(shift, 0) - rng.integers(0, 2, rows)
    state = rng.integers(-(1 << 15), 1 << 15, (sequences, n)).astype(np.int16) if begins else None
    hidden = int8(rng, sequences, n) if begins else None
    given_ = (hidden, state) if kind == "lstm" else (state,)
    return (
        int8(rng, sequences, steps, inputs),
        *given_,
        int8(rng, rows, inputs),
        int8(rng, rows, n),
        constants,
        curves().numpy(),
    )


def packed_of(given_: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same with weights and constants as Helium streams them."""
    *others, of_input, of_state, constants, tables = given_
    weights = [pack(from_numpy(weight)).numpy() for weight in (of_input, of_state)]
    joined = torch.stack([interleave(*part) for part in from_numpy(constants)]).numpy()
    return *others, *weights, joined, tables


def expected_of(
    kind: str, given_: tuple[Any, ...], bits: int, backwards: bool, n: int = 0
) -> tuple[Any, Any]:
    tensors = [None if x is None else from_numpy(x) for x in given_]
    n = n or given_[-3].shape[1]
    out, state = REFERENCE[kind](*tensors, bits, *OUTPUT, backwards, n)
    return out.numpy(), state.numpy()


def parameters_of(given_: tuple[Any, ...], bits: int, backwards: bool) -> np.ndarray[Any, Any]:
    """The bytes of McuRecurrent."""
    return np.array([*given_[0].shape, given_[-3].shape[1], bits, *OUTPUT, backwards], np.int32)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["lstm", "gru"]),
    sizes=st.tuples(*(st.integers(1, high) for high in (3, 4, 19, 9))),
    bits=st.sampled_from([0, 7, 12, 13, 15]),
    begins=st.booleans(),
    backwards=st.booleans(),
    reach=st.sampled_from([0.1, 2.0, 200.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_recurrent(
    kernel_library: ctypes.CDLL,
    kind: str,
    sizes: tuple[int, int, int, int],
    bits: int,
    begins: bool,
    backwards: bool,
    reach: float,
    seed: int,
) -> None:
    given_ = operands(np.random.default_rng(seed), kind, sizes, begins, reach)
    sequences, steps, _, n = sizes
    out, state = Guarded((sequences, steps, n), np.int8), Guarded((sequences, n), np.int16)
    scratch = Guarded(SCRATCH[kind] * n, np.uint8, 0x7F, aligned=True)
    parameters = parameters_of(given_, bits, backwards)
    expected = expected_of(kind, given_, bits, backwards)
    for name, arrays in ((f"{kind}_s8", given_), (f"{kind}_s8_packed", packed_of(given_))):
        call(kernel_library, name, *arrays, out, state, scratch, parameters)
        assert_same_bits(out.array, expected[0])
        assert_same_bits(state.array, expected[1])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_packed_weights_compute_the_same(kind: str) -> None:
    given_ = operands(np.random.default_rng(5), kind, (2, 3, 17, 6), True)
    for found, wanted in zip(
        expected_of(kind, packed_of(given_), 12, False, n=6),
        expected_of(kind, given_, 12, False),
        strict=True,
    ):
        assert_same_bits(found, wanted)


def test_curves() -> None:
    """Between two entries no further off than rounding and the line are: 4 of 32768."""
    tables = curves().numpy().astype(np.float64) / 32768
    x = np.linspace(0, 7.99, 999)
    for table, exact in zip(tables, (1 / (1 + np.exp(-x)), np.tanh(x)), strict=True):
        found = np.interp(x * 32, np.arange(ENTRIES), table)
        assert np.abs(found - exact).max() < 4 / 32768


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("backwards", [False, True])
def test_it_is_pytorchs_layer(kind: str, backwards: bool) -> None:
    """Within what rounding the states to int8 for the products does."""
    torch.manual_seed(3)
    inputs, n, steps = 6, 8, 12
    layer: Any = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](inputs, n, batch_first=True)
    scales, weights = [], []
    for weight in (layer.weight_ih_l0, layer.weight_hh_l0):
        scales.append(float(weight.detach().abs().max()) / 127)
        weights.append((weight.detach() / scales[-1]).round().to(torch.int8))
        weight.data = weights[-1].float() * scales[-1]
    x = torch.randint(-128, 128, (1, steps, inputs), dtype=torch.int8)
    rows = GATES[kind] * n
    constants = torch.zeros((2, 3, rows), dtype=torch.int32)
    for part, bias, unit in (
        (constants[0], layer.bias_ih_l0, scales[0] * 0.02),
        (constants[1], layer.bias_hh_l0, scales[1] / 127),
    ):
        part[0] = (bias.detach() / unit).round().int()
        part[1], part[2] = multiplier_and_shift(2048 * unit)
    begins = (None, None) if kind == "lstm" else (None,)
    out, state = REFERENCE[kind](
        x, *begins, *weights, constants, curves(), 15 if kind == "gru" else 13, *OUTPUT, backwards, n
    )
    real = x.float() * 0.02
    wanted, last = layer(real.flip(1) if backwards else real)
    wanted = wanted.flip(1) if backwards else wanted
    assert (out / 127 - wanted).abs().max() < 0.012
    found = state / (1 << 13) if kind == "lstm" else state / (1 << 15)
    assert (found - (last[1] if kind == "lstm" else last)[0]).abs().max() < 0.012
