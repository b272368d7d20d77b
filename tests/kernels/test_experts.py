"""The linears of a mixture of experts are their references, packed or not, and those are linears of the chosen weights."""

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
from mcu_sdk.operators.reference import experts, linear, packed
from mcu_sdk.planning import registry
from mcu_sdk.planning.instruction import Instruction, Space, Tensor
from mcu_sdk.planning.operands import touched
from tests.kernels.call import assert_same_bits, int8, normal
from tests.kernels.instructions import Machine

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


def _placed(machine: Machine, values: list[Any], shape: tuple[int, int]) -> tuple[list[Any], Tensor]:
    spaces = (Space.ARENA, Space.ARENA, Space.MODEL, Space.MODEL, Space.MODEL, Space.ARENA)
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


@pytest.mark.parametrize("index", [0, 1, 2, 3, 5])
def test_operands_that_do_not_go_together_are_refused(index: int) -> None:
    arguments, out = _example()
    arguments[index] = replace(arguments[index], shape=(*arguments[index].shape[:-1], 3))
    with pytest.raises(UnsupportedOperatorError):
        registry.emit(Instruction(0, "mcu::expert_linear_s8", "out", (*arguments, out), "#0"))
