"""What the emitters of packed products take, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.planning import registry
from mcu_sdk.planning.instruction import Instruction, KernelCall, Space, Tensor
from tests.kernels.instructions import Machine

K, N = 20, 11
GROUPS, BLOCKS = 2, 2


def _emit(operator: str, arguments: tuple[Any, ...]) -> list[KernelCall]:
    return list(registry.emit(Instruction(0, operator, "packed_out", arguments, "#0")))


def _constant(machine: Machine, *shape: int, dtype: Any = np.float32, values: Any = 0) -> Tensor:
    return machine.place(np.broadcast_to(np.array(values, dtype), shape), Space.MODEL)


def _linear(machine: Machine) -> list[Any]:
    """x, x_scale, weight, weight_scale, bias, n, out of mcu::linear_s8.packed."""
    return [
        machine.place(np.zeros((1, K), np.int8)),
        machine.place(np.zeros(1, np.float32)),
        _constant(machine, GROUPS, BLOCKS, 8, 16, dtype=np.int8),
        _constant(machine, 8 * GROUPS),
        None,
        N,
        machine.place(np.zeros((1, N), np.float32)),
    ]


def _static(machine: Machine) -> list[Any]:
    x, _, weight, scale, bias, n, out = _linear(machine)
    return [x, weight, _constant(machine, 8 * GROUPS, dtype=np.int32), scale, bias, n, out]


def _requantize(machine: Machine, shift: int = -3) -> list[Any]:
    x, _, weight, *_ = _linear(machine)
    constants = _constant(machine, GROUPS, 3, 8, dtype=np.int32, values=[[5], [1 << 30], [shift]])
    return [x, weight, constants, 4, -128, 127, N, machine.place(np.zeros((1, N), np.int8))]


def _added(machine: Machine) -> list[Any]:
    x, weight, constants, *_ = _requantize(machine)
    rows = [machine.place(np.zeros((1, N), np.int16)) for _ in range(2)]
    return [rows[0], x, weight, constants, N, rows[1]]


def _embedding(machine: Machine) -> list[Any]:
    weight, scale = _constant(machine, GROUPS, BLOCKS, 8, 16, dtype=np.int8), _constant(machine, 8 * GROUPS)
    return [
        weight,
        scale,
        machine.place(np.zeros(3, np.int64)),
        K,
        machine.place(np.zeros((3, K), np.float32)),
    ]


CASES = {
    "mcu::linear_s8": (_linear, 2),
    "mcu::linear_s8_static": (_static, 1),
    "mcu::linear_s8_requantize": (_requantize, 1),
    "mcu::linear_s8_add_s16": (_added, 2),
    "mcu::embedding_s8": (_embedding, 0),
}
"""The arguments, and which of them is the weight."""


@pytest.mark.parametrize("operator", CASES)
def test_taken(operator: str) -> None:
    """The packed kernel is called, and a linear's sources are complete."""
    arguments, _ = CASES[operator]
    (call,) = _emit(operator, tuple(arguments(Machine())))
    linear = operator.startswith("mcu::linear")
    row = "_row" if linear and "add" not in operator else ""
    assert call.function == f"mcu_{operator.removeprefix('mcu::')}_packed{row}"
    assert ("kernels/linear/gemv_s8_helium.S" in call.sources) == linear


def test_several_rows_have_a_kernel_of_their_own() -> None:
    """One row is computed without the code for several."""
    arguments = _linear(Machine())
    arguments[0] = replace(arguments[0], shape=(2, K))
    arguments[1] = replace(arguments[1], shape=(2,))
    arguments[-1] = replace(arguments[-1], shape=(2, N))
    (call,) = _emit("mcu::linear_s8", tuple(arguments))
    assert call.function == "mcu_linear_s8_packed"
    assert call.arguments[-3:] == (2, K, N)


def _refused(operator: str, arguments: list[Any], why: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=why):
        _emit(operator, tuple(arguments))


@pytest.mark.parametrize("operator", CASES)
def test_refused_weights(operator: str) -> None:
    make, index = CASES[operator]
    machine = Machine()
    arguments = make(machine)
    good = arguments[index]
    arguments[index] = replace(good, offset=good.offset + 8)
    _refused(operator, arguments, "no multiple of 16")
    arguments[index] = machine.place(np.zeros(good.shape, np.int8))
    _refused(operator, arguments, "no constant")
    for shape in ((1, 4, 8, 16), (2, 2, 16, 8), (4, 1, 8, 16), (2, 256)):
        arguments[index] = replace(good, shape=shape)
        _refused(operator, arguments, "packed weight has the shape")


@pytest.mark.parametrize(
    ("operator", "index", "why"),
    [
        ("mcu::linear_s8", 3, "the weight's scale has the shape"),
        ("mcu::linear_s8_static", 2, "the offset has the shape"),
        ("mcu::linear_s8_static", 3, "the scale has the shape"),
        ("mcu::linear_s8_requantize", 2, "requantized with has the shape"),
        ("mcu::linear_s8_add_s16", 3, "requantized with has the shape"),
        ("mcu::embedding_s8", 1, "the scale has the shape"),
    ],
)
def test_refused_channels(operator: str, index: int, why: str) -> None:
    """Constants that are not padded: a vector would read what lies behind them."""
    make, _ = CASES[operator]
    arguments = make(Machine())
    value = arguments[index]
    arguments[index] = replace(value, shape=(N, *value.shape[1:]))
    _refused(operator, arguments, why)


@pytest.mark.parametrize("operator", list(CASES)[:4])
@pytest.mark.parametrize("n", [0, -1, N + 1, 8])
def test_refused_sizes(operator: str, n: int) -> None:
    make, _ = CASES[operator]
    arguments = make(Machine())
    arguments[-2] = n
    _refused(operator, arguments, "the output's size does not match")


@pytest.mark.parametrize("shift", [1, -32])
def test_refused_shifts(shift: int) -> None:
    _refused("mcu::linear_s8_requantize", _requantize(Machine(), shift), "a shift is not within -31 .. 0")


def test_refused_rows_too_long_for_a_sum() -> None:
    machine = Machine()
    arguments = _linear(machine)
    arguments[0] = machine.place(np.zeros((1, 1 << 16), np.int8))
    _refused("mcu::linear_s8", arguments, "overflow a 32-bit sum")
