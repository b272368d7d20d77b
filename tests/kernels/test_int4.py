"""mcu_linear_s4 is its reference on this computer, its blocks lie as described, and its emitter refuses the rest."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.operators.layouts import GROUP
from mcu_sdk.operators.reference import int4
from mcu_sdk.planning import registry
from mcu_sdk.planning.instruction import Instruction, KernelCall, Space
from tests.kernels.call import Guarded, assert_same_bits, call, int8, normal
from tests.kernels.instructions import Machine

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(0, 3), st.integers(1, 200), st.integers(1, 30))
"""(rows, k, n)"""
SCALES = np.array([1, -1, 0, -0.0, 0.3, 2.0**-100, -3 * 2.0**60, 2.0**-122], np.float32)
"""Scales of all sizes; what is stored of the least one is the least normal number."""


def _t(array: Any) -> Any:
    return None if array is None else from_numpy(array)


def operands(rng: np.random.Generator, rows: int, k: int, n: int, with_bias: bool) -> tuple[Any, ...]:
    """(x, x_scale, weight, bias) as the kernel takes them."""
    groups = -(-k // GROUP)
    values = rng.integers(int4.LOWEST, int4.HIGHEST + 1, (n, k)).astype(np.int8)
    scales = rng.uniform(-1, 1, (n, groups)).astype(np.float32)
    if rng.random() < 0.3:
        scales = np.where(rng.random((n, groups)) < 0.3, rng.choice(SCALES, size=(n, groups)), scales)
    weight = int4.pack_groups(_t(values), _t(scales).bfloat16()).numpy()
    x = int8(rng, rows, k)
    if rng.random() < 0.1:
        x[:] = -128
    return x, normal(rng, rows), weight, normal(rng, n) if with_bias else None


def reference(operands: tuple[Any, ...], n: int) -> Any:
    return int4.linear_s4(*map(_t, operands), n).numpy()


@settings(max_examples=80, deadline=None)
@given(size=SIZES, seed=SEEDS, with_bias=st.booleans())
def test_linear_s4(
    kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int, with_bias: bool
) -> None:
    rows, k, n = size
    given = operands(np.random.default_rng(seed), rows, k, n, with_bias)
    out = Guarded((rows, n), np.float32)
    call(kernel_library, "linear_s4", *given, out, rows, k, n)
    assert_same_bits(out.array, reference(given, n))


def test_by_hand() -> None:
    """Two groups of one row: ((3 * 5 - 8 * 2) * 0.5 + (7 * -4) * -0.25) * 0.125 + 1."""
    values = torch.zeros(1, 64, dtype=torch.int8)
    values[0, 0], values[0, 31], values[0, 40] = 3, -8, 7
    weight = int4.pack_groups(values, torch.tensor([[0.5, -0.25]], dtype=torch.bfloat16))
    assert weight.shape == (1, 2, 144)
    assert (int(weight[0, 0, 0]), int(weight[0, 0, 15]) & 0xFF, int(weight[0, 1, 8])) == (3, 0x80, 7)
    factors = weight[0, :, 128:130].contiguous().view(torch.bfloat16)
    assert factors.flatten().tolist() == [0.5 / 16, -0.25 / 16]
    x = torch.zeros(1, 64, dtype=torch.int8)
    x[0, 0], x[0, 31], x[0, 40] = 5, 2, -4
    found = int4.linear_s4(x, torch.tensor([0.125]), weight, torch.tensor([1.0]), 1)
    assert found.tolist() == [[((15 - 16) * 0.5 + -28 * -0.25) * 0.125 + 1]]


@given(n=st.integers(1, 20), k=st.integers(1, 130), seed=SEEDS)
def test_unpack_undoes_pack(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = from_numpy(rng.integers(-8, 8, (n, k)).astype(np.int8))
    scales = from_numpy(rng.uniform(-1, 1, (n, -(-k // 32))).astype(np.float32)).bfloat16()
    found = int4.unpack_groups(int4.pack_groups(values, scales), n, k)
    assert torch.equal(found[0], values)
    assert torch.equal(found[1] * int4.UNIT, scales.float())


def test_a_row_in_floats() -> None:
    """The operator is the product with the weights that its numbers mean, as near as float32 sums are."""
    given = operands(np.random.default_rng(7), 2, 140, 12, True)
    x, x_scale, weight, bias = given
    values, factors = (part.numpy().astype(np.float64) for part in int4.unpack_groups(_t(weight), 12, 140))
    real = values * np.repeat(factors * int4.UNIT, GROUP, 1)[:, :140]
    wanted = (x.astype(np.float64) @ real.T) * x_scale.astype(np.float64)[:, None] + bias
    terms = (np.abs(x.astype(np.float64)) @ np.abs(real).T) * np.abs(x_scale)[:, None] + np.abs(bias)
    # Five groups: a product, at most five sums, the row's scale and the bias each round a term once, by 2^-24 of it.
    assert (np.abs(reference(given, 12) - wanted) <= 8 * 2.0**-24 * terms).all()


K, N = 64, 11


def _arguments(machine: Machine) -> list[Any]:
    """x, x_scale, weight, bias, n, out."""
    return [
        machine.place(np.zeros((1, K), np.int8)),
        machine.place(np.zeros(1, np.float32)),
        machine.place(np.zeros((2, 2, 144), np.int8), Space.MODEL),
        None,
        N,
        machine.place(np.zeros((1, N), np.float32)),
    ]


def _emit(arguments: list[Any]) -> list[KernelCall]:
    return list(registry.emit(Instruction(0, "mcu::linear_s4", "out", tuple(arguments), "#0")))


def test_taken() -> None:
    (one,) = _emit(_arguments(Machine()))
    assert one.function == "mcu_linear_s4"
    assert one.sources == (
        "kernels/linear/gemv_s4_helium.S",
        "kernels/linear/linear_s4.cpp",
        "kernels/linear/linear_s4_helium.cpp",
    )
    assert one.arguments[-3:] == (1, K, N)


@pytest.mark.parametrize(
    ("index", "change", "why"),
    [
        (0, {"shape": (1, 65)}, "the int4 weight has the shape"),
        (1, {"shape": (2,)}, "2 input scales for 1 rows"),
        (2, {"shape": (2, 1, 144)}, "the int4 weight has the shape"),
        (2, {"shape": (1, 4, 144)}, "the int4 weight has the shape"),
        (2, {"space": Space.ARENA}, "no constant"),
        (5, {"shape": (1, N + 1)}, "the output's size does not match"),
        (5, {"space": Space.MODEL}, "is written, but is a constant"),
    ],
)
def test_refused(index: int, change: dict[str, Any], why: str) -> None:
    arguments = _arguments(Machine())
    arguments[index] = replace(arguments[index], **change)
    with pytest.raises(UnsupportedOperatorError, match=why):
        _emit(arguments)


def test_refused_places_and_numbers() -> None:
    machine = Machine()
    arguments = _arguments(machine)
    for index, value, why in (
        (2, replace(arguments[2], offset=arguments[2].offset + 8), "no multiple of 16"),
        (3, machine.place(np.zeros(16, np.float32), Space.MODEL), "the bias has the shape"),
        (4, 0, "the output's size does not match"),
        (5, replace(arguments[0], dtype=arguments[5].dtype, shape=(1, N)), "shares memory with an input"),
    ):
        with pytest.raises(UnsupportedOperatorError, match=why):
            _emit([*arguments[:index], value, *arguments[index + 1 :]])
