"""Faults put into the simulator on purpose: the comparison with the reference model has to notice each of them.

tests/npu/faults.py says what a fault is.
"""

from __future__ import annotations

from importlib import import_module

import pytest

from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.errors import SimulationError
from tests.npu.comparison import count_mismatches
from tests.npu.faults import PREFIX, Fault, faulty_simulator
from tests.npu.graphs import graphs
from tests.npu.lowering import Lowered, compile_tosa, lower
from tests.npu.models import cases

FAULTS = {
    "half of a half is added before the shift": Fault(
        "arithmetic",
        "self._half = np.where(self._shift > 0, np.int64(1) << np.maximum(self._shift - 1, 0), 0)",
        "self._half = np.where(self._shift > 0, np.int64(1) << np.maximum(self._shift - 2, 0), 0)",
        "conv_3x3",
    ),
    "the zero point is added to the output the wrong way": Fault(
        "arithmetic", "values = values + zero_point", "values = values - zero_point", "conv_3x3"
    ),
    "the output has no upper limit": Fault(
        "arithmetic",
        "limited: Any = np.minimum(np.maximum(values, low), high)",
        "limited: Any = np.maximum(values, low)",
        "sub_column",
    ),
    "the input's zero point is taken off the wrong way": Fault(
        "convolution",
        "self.bias = bias - window.ifm.zero_point * wide.sum(axis=(1, 2, 3))",
        "self.bias = bias + window.ifm.zero_point * wide.sum(axis=(1, 2, 3))",
        "conv_3x3",
    ),
    "the kernel lies on its side": Fault(
        "weights",
        "row = origin[0] + element // extent[1]",
        "row = origin[0] + element % extent[1]",
        "conv_3x3",
    ),
    "depthwise weights are not padded": Fault(
        "weights",
        "multiple = 4 if operation.depthwise else (2 if bits == 16 else 4) if part_kernel else 1",
        "multiple = 1 if operation.depthwise else (2 if bits == 16 else 4) if part_kernel else 1",
        "depthwise_dilated",
    ),
    "the bias has 39 bits": Fault(
        "weights",
        "bias = np.where(bias >> 39, bias - (1 << 40), bias)",
        "bias = np.where(bias >> 39, bias - (1 << 39), bias)",
        "conv_3x3",
    ),
    "the kernel is not dilated in height": Fault(
        "window", "row * kernel.dilation_y,", "row,", "depthwise_dilated"
    ),
    "the padding is one column off": Fault(
        "window",
        "self._place = slice(window.top, window.top + height), slice(window.left, window.left + width)",
        "self._place = slice(window.top, window.top + height), slice(window.left - 1, window.left - 1 + width)",
        "conv_3x3",
    ),
    "averages are rounded towards zero": Fault(
        "arithmetic",
        "return np.asarray(np.sign(total) * ((np.abs(total) + count // 2) // count))",
        "return np.asarray(np.sign(total) * (np.abs(total) // count))",
        "average_pool_uncounted",
    ),
    "averages round halves up": Fault(
        "arithmetic",
        "return np.asarray(np.sign(total) * ((np.abs(total) + count // 2) // count))",
        "return np.asarray((total + count // 2) // count)",
        "average_pool_uncounted",
    ),
    "interpolation is cut off": Fault(
        "tables",
        "between = (unrounded(values, entries) + half) >> _FRACTION_BITS",
        "between = unrounded(values, entries) >> _FRACTION_BITS",
        "tanh_a16w8",
    ),
    "a table begins one entry later": Fault(
        "tables",
        "return np.asarray(entries[values - kind.range[0]])",
        "return np.asarray(entries[values - kind.range[0] - 1])",
        "gelu",
    ),
    "the operand without a scale is shifted too far": Fault(
        "decode",
        "FIXED_SHIFT = {8: 19, 16: 14}",
        "FIXED_SHIFT = {8: 20, 16: 14}",
        "sub_column",
    ),
    "operands are never swapped": Fault(
        "elementwise",
        "finish(regions, internal, compute(b, a) if operation.reversed else compute(a, b), bound)",
        "finish(regions, internal, compute(a, b), bound)",
        "sub_column",
    ),
    "both roundings of DOUBLE go up": Fault(
        "arithmetic",
        "addend = addend + np.where(values < 0, -self._signed, self._signed)",
        "addend = addend + self._signed",
        "rescale_8_double",
    ),
    "one leading zero is not counted": Fault(
        "bits",
        "return np.asarray((32 - bits).astype(np.int64))",
        "return np.asarray((31 - bits).astype(np.int64))",
        "clz",
    ),
    "a shift to the right does not round": Fault(
        "bits",
        "return np.asarray(np.where(b > 0, ((a >> np.maximum(b - 1, 0)) + 1) >> 1, a))",
        "return np.asarray(a >> b)",
        "shift_right",
    ),
    "bricks are eight channels wide": Fault(
        "memory_access", "step_x = _BRICK * size", "step_x = _BRICK // 2 * size", "slice"
    ),
}


def _lowered(case: str) -> Lowered:
    if case not in graphs():
        return lower(cases()[case], "ethos-u55-128")
    tosa = graphs()[case]()
    return Lowered(compile_tosa(tosa, "ethos-u55-128"), tosa)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_noticed(name: str) -> None:
    fault = FAULTS[name]
    lowered = _lowered(fault.case)
    with faulty_simulator(fault) as simulator:
        try:
            differing, _ = count_mismatches(lowered, simulator(accelerator("ethos-u55-128")), range(2))
        except SimulationError:
            return
    assert differing, f"nothing differs although {name}"


def test_no_fault_is_left_behind() -> None:
    before = import_module(PREFIX + "simulator").Simulator
    with faulty_simulator(FAULTS["averages round halves up"]) as simulator:
        assert simulator is not before
    assert import_module(PREFIX + "simulator").Simulator is before
    lowered = lower(cases()["average_pool_uncounted"], "ethos-u55-128")
    assert count_mismatches(lowered, before(accelerator("ethos-u55-128")), range(2))[0] == 0
