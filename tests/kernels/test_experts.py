"""The linears of a mixture of experts are their references, with int8 weights, packed or not, and with int4 ones, and those
are linears of the chosen weights."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.operators.reference import experts, int4, linear, packed
from mcu_sdk.planning import registry
from mcu_sdk.planning.instruction import Instruction, Space, Tensor
from mcu_sdk.planning.operands import touched
from tests.kernels.call import assert_same_bits, int8, normal
from tests.kernels.instructions import Machine
from tests.kernels.test_int4 import operands

EXPERTS = 3
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 20))
"""(rows, k, n)"""


def _t(array: Any) -> Any:
    return None if array is None else from_numpy(array)


@settings(max_examples=60, deadline=None)
@given(size=SIZES, seed=st.integers(0, 2**32 - 1), with_bias=st.booleans(), shared=st.booleans())
def test_each_row_is_a_linear_of_its_expert(
    kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int, with_bias: bool, shared: bool
) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    inputs = 1 if shared else rows
    x, x_scale, weight = int8(rng, inputs, k), normal(rng, inputs), int8(rng, EXPERTS, n, k)
    scale, bias = normal(rng, EXPERTS, n), normal(rng, EXPERTS, n) if with_bias else None
    expert = rng.integers(-1, EXPERTS + 1, rows)
    expected = np.zeros((rows, n), np.float32)
    for row, index in enumerate(expert):
        if 0 <= index < EXPERTS:
            at = slice(0, 1) if shared else slice(row, row + 1)
            chosen = weight[index], scale[index], None if bias is None else bias[index]
            expected[row] = linear.linear_s8(_t(x[at]), _t(x_scale[at]), *map(_t, chosen))[0]
    by_rows = [x, x_scale, weight, scale, bias, expert]
    laid_out = [
        packed.pack(_t(weight)),
        *(None if v is None else packed.pad_channels(_t(v)) for v in (scale, bias)),
    ]
    by_blocks = [x, x_scale, *(None if v is None else v.numpy() for v in laid_out), expert]
    assert_same_bits(experts.expert_linear_s8(*map(_t, by_rows)).numpy(), expected)
    assert_same_bits(experts.expert_linear_s8_packed(*map(_t, by_blocks), n).numpy(), expected)
    for values, overload, more in ((by_rows, "out", []), (by_blocks, "packed_out", [n])):
        machine = Machine()
        arguments, out = _placed(machine, values, (rows, n))
        machine.run(
            kernel_library, Instruction(0, "mcu::expert_linear_s8", overload, (*arguments, *more, out), "#0")
        )
        assert not machine.changed_outside([out])
        assert_same_bits(machine.read(out), expected)


@settings(max_examples=40, deadline=None)
@given(size=SIZES, seed=st.integers(0, 2**32 - 1), with_bias=st.booleans(), shared=st.booleans())
def test_each_row_is_an_int4_linear_of_its_expert(
    kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int, with_bias: bool, shared: bool
) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    inputs = 1 if shared else rows
    weight = np.stack([operands(rng, 1, k, n, False)[2] for _ in range(EXPERTS)])
    x, x_scale = int8(rng, inputs, k), normal(rng, inputs)
    bias = normal(rng, EXPERTS, n) if with_bias else None
    expert = rng.integers(-1, EXPERTS + 1, rows)
    expected = np.zeros((rows, n), np.float32)
    for row, index in enumerate(expert):
        if 0 <= index < EXPERTS:
            at = slice(0, 1) if shared else slice(row, row + 1)
            chosen = _t(weight[index]), None if bias is None else _t(bias[index])
            expected[row] = int4.linear_s4(_t(x[at]), _t(x_scale[at]), *chosen, n)[0]
    values = [x, x_scale, weight, bias, expert]
    assert_same_bits(experts.expert_linear_s4(*map(_t, values), n).numpy(), expected)
    machine = Machine()
    arguments, out = _placed(machine, values, (rows, n))
    machine.run(kernel_library, Instruction(0, "mcu::expert_linear_s4", "out", (*arguments, n, out), "#0"))
    assert not machine.changed_outside([out])
    assert_same_bits(machine.read(out), expected)


def _placed(machine: Machine, values: list[Any], shape: tuple[int, int]) -> tuple[list[Any], Tensor]:
    """Inputs, weights with what belongs to them, and the chosen experts, in their spaces; and the result."""
    constants = len(values) - 3
    spaces = (Space.ARENA, Space.ARENA, *(Space.MODEL,) * constants, Space.ARENA)
    placed = [None if v is None else machine.place(v, space) for v, space in zip(values, spaces, strict=True)]
    return placed, machine.place(np.zeros(shape, np.float32))


def _example(rows: int = 2) -> tuple[list[Any], Tensor]:
    values = [
        np.zeros((1, 20), np.int8),
        np.zeros(1, np.float32),
        np.zeros((EXPERTS, 11, 20), np.int8),
        np.zeros((EXPERTS, 11), np.float32),
        None,
        np.zeros(rows, np.int64),
    ]
    return _placed(Machine(), values, (rows, 11))


def test_a_step_reads_the_weights_of_those_that_are_chosen() -> None:
    arguments, out = _example()
    instruction = Instruction(0, "mcu::expert_linear_s8", "out", (*arguments, out), "#0")
    amounts = {id(tensor): amount for tensor, amount in touched(instruction)}
    assert amounts[id(arguments[2])] == 2 * 11 * 20
    assert amounts[id(arguments[3])] == 2 * 11 * 4
    blocks = np.zeros((EXPERTS, 2, 2, 8, 16), np.int8), np.zeros((EXPERTS, 16), np.float32)
    arguments[2:4] = [Machine().place(value, Space.MODEL) for value in blocks]
    instruction = Instruction(0, "mcu::expert_linear_s8", "packed_out", (*arguments, 11, out), "#0")
    amounts = {id(tensor): amount for tensor, amount in touched(instruction)}
    assert amounts[id(arguments[2])] == 2 * 2 * 2 * 8 * 16


def _int4_example() -> list[Any]:
    """x, x_scale, weight, bias, expert, n, out."""
    values = [
        np.zeros((1, 40), np.int8),
        np.zeros(1, np.float32),
        np.zeros((EXPERTS, 2, 2, 144), np.int8),
        np.zeros((EXPERTS, 11), np.float32),
        np.zeros(2, np.int64),
    ]
    arguments, out = _placed(Machine(), values, (2, 11))
    return [*arguments, 11, out]


def test_of_int4_weights_those_that_are_chosen_are_read() -> None:
    arguments = _int4_example()
    instruction = Instruction(0, "mcu::expert_linear_s4", "out", tuple(arguments), "#0")
    amounts = {id(tensor): amount for tensor, amount in touched(instruction)}
    assert amounts[id(arguments[2])] == 2 * 2 * 2 * 144
    assert amounts[id(arguments[3])] == 2 * 11 * 4
    (one,) = registry.emit(instruction)
    assert one.function == "mcu_expert_linear_s4"
    kernels = "expert_linear_s4.cpp", "gemv_s4_helium.S", "linear_s4.cpp", "linear_s4_helium.cpp"
    assert one.sources == tuple(f"kernels/linear/{name}" for name in kernels)


@pytest.mark.parametrize(
    ("index", "change", "why"),
    [
        (0, {"shape": (3, 40)}, "does not match 3 rows"),
        (0, {"shape": (1, 65)}, "the int4 weight has the shape"),
        (1, {"shape": (2,)}, "2 input scales for 1 rows"),
        (2, {"shape": (EXPERTS, 2, 1, 144)}, "the int4 weight has the shape"),
        (2, {"shape": ()}, "the int4 weight has the shape"),
        (2, {"space": Space.ARENA}, "no constant"),
        (3, {"shape": (EXPERTS, 16)}, "the bias has the shape"),
        (4, {"shape": (3,)}, "the output's size does not match"),
    ],
)
def test_int4_operands_that_do_not_go_together_are_refused(
    index: int, change: dict[str, Any], why: str
) -> None:
    arguments = _int4_example()
    arguments[index] = replace(arguments[index], **change)
    with pytest.raises(UnsupportedOperatorError, match=why):
        registry.emit(Instruction(0, "mcu::expert_linear_s4", "out", tuple(arguments), "#0"))


@pytest.mark.parametrize("index", [0, 1, 2, 3, 5])
def test_operands_that_do_not_go_together_are_refused(index: int) -> None:
    arguments, out = _example()
    arguments[index] = replace(arguments[index], shape=(*arguments[index].shape[:-1], 3))
    with pytest.raises(UnsupportedOperatorError):
        registry.emit(Instruction(0, "mcu::expert_linear_s8", "out", (*arguments, out), "#0"))
