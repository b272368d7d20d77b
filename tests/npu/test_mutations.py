"""Faults put into the simulator on purpose: the comparison with the reference model has to notice each of them.

A fault is one line of a module's source, replaced; the simulator is imported anew on top of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import mcu_sdk.npu
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.resources import PACKAGE
from tests.npu.comparison import count_mismatches
from tests.npu.graphs import graphs
from tests.npu.lowering import Lowered, compile_tosa, lower
from tests.npu.models import cases

PREFIX = "mcu_sdk.npu."
SHARED = {PREFIX + name for name in ("errors", "accelerator", "weight_decoder")}
"""Modules that a test needs to be the same inside and outside."""


class Fault(NamedTuple):
    """In `module`, `line` (without its indentation) becomes `instead`; `case` shows it."""

    module: str
    line: str
    instead: str
    case: str


FAULTS = {
    "half of a half is added before the shift": Fault(
        "arithmetic",
        "self._half = np.where(self._shift > 0, np.int64(1) << np.maximum(self._shift - 1, 0), 0)",
        "self._half = np.where(self._shift > 0, np.int64(1) << np.maximum(self._shift - 2, 0), 0)",
        "conv_3x3",
    ),
    "the zero point is added to the output the wrong way": Fault(
        "finish", "values = values + self._zero_point", "values = values - self._zero_point", "conv_3x3"
    ),
    "the output has no upper limit": Fault(
        "finish",
        "limited: Any = np.minimum(np.maximum(values, self._low), self._high)",
        "limited: Any = np.maximum(values, self._low)",
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
        "pooling",
        "total = np.sign(total) * ((np.abs(total) + count // 2) // count)  # half away from zero",
        "total = np.sign(total) * (np.abs(total) // count)",
        "average_pool_uncounted",
    ),
    "averages round halves up": Fault(
        "pooling",
        "total = np.sign(total) * ((np.abs(total) + count // 2) // count)  # half away from zero",
        "total = (total + count // 2) // count",
        "average_pool_uncounted",
    ),
    "interpolation is cut off": Fault(
        "tables",
        "between = base + ((slope * fraction + half) >> _FRACTION_BITS)",
        "between = base + ((slope * fraction) >> _FRACTION_BITS)",
        "tanh_a16w8",
    ),
    "a table begins one entry later": Fault(
        "tables",
        "return np.asarray(entries[values - kind.range[0]])",
        "return np.asarray(entries[values - kind.range[0] - 1])",
        "gelu",
    ),
    "the operand without a scale is shifted too far": Fault(
        "elementwise",
        "_FIXED_SHIFT = {8: 19, 16: 14}",
        "_FIXED_SHIFT = {8: 20, 16: 14}",
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
        "elementwise",
        "return np.asarray((32 - bits).astype(np.int64))",
        "return np.asarray((31 - bits).astype(np.int64))",
        "clz",
    ),
    "a shift to the right does not round": Fault(
        "elementwise",
        "return np.asarray(np.where(b > 0, ((a >> np.maximum(b - 1, 0)) + 1) >> 1, a))",
        "return np.asarray(a >> b)",
        "shift_right",
    ),
    "bricks are eight channels wide": Fault(
        "memory_access", "step_x = _BRICK * size", "step_x = _BRICK // 2 * size", "slice"
    ),
}


def _source_with(fault: Fault) -> str:
    path = PACKAGE / "npu" / f"{fault.module}.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [index for index, line in enumerate(lines) if line.strip() == fault.line]
    assert len(places) == 1, (
        f"{path.name} has {len(places)} lines {fault.line!r}: give the fault a line it has"
    )
    line = lines[places[0]]
    lines[places[0]] = line[: len(line) - len(line.lstrip())] + fault.instead
    return "\n".join(lines) + "\n"


@contextmanager
def faulty_simulator(fault: Fault) -> Iterator[Any]:
    """The class Simulator, imported on top of the faulty module; everything is as before afterwards."""
    name = PREFIX + fault.module
    own = {n: m for n, m in sys.modules.items() if n.startswith(PREFIX) and n not in SHARED}
    attributes = dict(vars(mcu_sdk.npu))
    for module in own:
        del sys.modules[module]
    try:
        faulty = ModuleType(name)
        sys.modules[name] = faulty
        exec(compile(_source_with(fault), f"<{fault.module} with a fault>", "exec"), vars(faulty))
        yield import_module(PREFIX + "simulator").Simulator
    finally:
        for module in [n for n in sys.modules if n.startswith(PREFIX) and n not in SHARED]:
            del sys.modules[module]
        sys.modules.update(own)
        vars(mcu_sdk.npu).update(attributes)


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
