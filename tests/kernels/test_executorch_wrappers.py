"""Called by ExecuTorch's registry, an operator gives what its compiled plan gives; and refuses what does not fit.

Memory ends where a tensor does, with a page behind it that faults: a wrapper that lets too much through ends the test run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.operators.table import called_operators
from mcu_sdk.planning.emitters.cortex_m_images import depthwise_scratch
from mcu_sdk.planning.emitters.mcu_linear import two_rows_scratch
from mcu_sdk.planning.executorch_memory import _scratch_of
from mcu_sdk.planning.instruction import DType, Instruction, Tensor, Value
from mcu_sdk.planning.registry import emit
from mcu_sdk.project.wrappers import names_of
from tests.kernels import test_cortex_m
from tests.kernels.call import assert_same_bits
from tests.kernels.cases import Case, place
from tests.kernels.examples import own_examples
from tests.kernels.instructions import Machine, instruction
from tests.kernels.test_emitters import _expected, _placed

pytestmark = pytest.mark.slow
INVALID_ARGUMENT = 0x12
SCRATCH = 1 << 20
KINDS = {DType.U8: 0, DType.S8: 1, DType.S16: 2, DType.S32: 3, DType.S64: 4, DType.F16: 5, DType.F32: 6}
KINDS |= {DType.F64: 7, DType.BOOL: 11}


class _Argument(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("data", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("order", ctypes.c_void_p),
        ("list", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("integer", ctypes.c_int64),
        ("number", ctypes.c_double),
    )


def registered(made: Instruction) -> str:
    """The name that the registry knows: the operators of the examples carry an overload with the name."""
    for row in called_operators().values():
        if row.name == made.operator.removesuffix("_"):
            return names_of(row)[1 if made.in_place else 0]
    return ""


def run(
    caller: ctypes.CDLL,
    machine: Machine,
    made: Instruction,
    *,
    scratch_bytes: int = SCRATCH,
    name: str | None = None,
) -> int:
    """The error that the kernel reports, on memory made anew, with so much temporary memory. `name`: in the registry, where it
    is no operator of ours; -1 where there is none."""
    machine.prepare(made)
    keep: list[Any] = []
    arguments = (_Argument * len(made.arguments))(*(_argument(a, machine, keep) for a in made.arguments))
    scratch = np.zeros(SCRATCH + 16, np.uint8)
    start = scratch.ctypes.data + -scratch.ctypes.data % 16
    error: int = caller.official_call(
        (name or registered(made)).encode(), ctypes.addressof(arguments), len(arguments), start, scratch_bytes
    )
    return error


def _argument(value: Value, machine: Machine, keep: list[Any]) -> _Argument:
    def kept(values: Sequence[int], kind: Any) -> int:
        keep.append(np.array([*values, 0], kind))
        return int(keep[-1].ctypes.data)

    if isinstance(value, Tensor):
        sizes, order = kept(value.shape, np.int32), kept(value.order, np.uint8)
        return _Argument(1, KINDS[value.dtype], machine.address(value), sizes, order, 0, len(value.shape))
    if isinstance(value, list):
        return _Argument(5, list=kept([int(item) for item in value], np.int64), count=len(value))  # type: ignore[arg-type]
    if isinstance(value, bool):
        return _Argument(4, integer=value)
    if isinstance(value, int):
        return _Argument(2, integer=value)
    return _Argument(0) if value is None else _Argument(3, number=float(value))  # type: ignore[arg-type]


CORTEX_M = [
    *(case for case in test_cortex_m.CASES.values() if case.operator in called_operators()),
    *(
        Case("cortex_m::transpose", (test_cortex_m.q(*shape), order), test_cortex_m.M.transpose)
        for shape, order in (
            ((2, 3, 4, 5), [0, 2, 3, 1]),
            ((1, 6, 1, 5), [0, 3, 2, 1]),
            ((7, 4), [-1, 0]),
            ((3, 4), [0, 1]),
        )
    ),
]
NAMES = [f"{i}-{case.operator.partition('::')[2]}" for i, case in enumerate(own_examples())]
NAMES += [f"{i}-{case.operator}" for i, case in enumerate(CORTEX_M)]


def made_of(name: str, machine: Machine) -> tuple[Instruction, list[Tensor]]:
    """An example as an instruction, and what it writes."""
    number, _, operator = name.partition("-")
    if operator.startswith("cortex_m::"):
        case = CORTEX_M[int(number)]
        arguments, outs = place(case, case.expected(), machine)
        numbers = [KINDS[DType.S8] if argument is torch.int8 else argument for argument in arguments]
        return instruction(case.operator, *numbers), outs
    example = own_examples()[int(number)]
    arguments, outs = _placed(example, _expected(example), machine)
    return instruction(example.operator, *arguments), outs


def test_every_operator_has_an_example() -> None:
    examples = {case.operator.removesuffix("_") for case in [*own_examples(), *CORTEX_M]}
    packed = {name for name in called_operators() if name.endswith(".packed")}
    assert called_operators().keys() - examples <= packed  # which whole files have


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_what_the_plan_gives(name: str, kernel_library: ctypes.CDLL, caller: ctypes.CDLL) -> None:
    ours, theirs = Machine(), Machine()
    made, outs = made_of(name, ours)
    ours.run(kernel_library, made)
    again, written = made_of(name, theirs)
    assert run(caller, theirs, again) == 0
    assert not theirs.changed_outside(written)
    for mine, other in zip(outs, written, strict=True):
        if mine.dtype is not DType.U8:  # scratch
            assert_same_bits(theirs.read(other), ours.read(mine))


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_the_scratch_that_inspect_reckons_with(name: str, caller: ctypes.CDLL) -> None:
    """What the plan's call has, in steps of 16 bytes: enough, and not with a step less, where both call the same kernel."""
    machine = Machine()
    made, _ = made_of(name, machine)
    needed = _scratch_of(made)
    assert run(caller, machine, made, scratch_bytes=needed) == 0
    by_rows = {call.function for call in emit(made)} == {"mcu_conv2d_rows_s8"}  # which no wrapper calls
    if needed and not by_rows:
        assert run(caller, machine, made, scratch_bytes=needed - 16) != 0


@pytest.mark.parametrize("name", NAMES)
def test_what_the_plan_refuses_is_refused(name: str, caller: ctypes.CDLL) -> None:
    """Each tensor with an element less in one axis, of another type, or none; each value of another kind."""
    machine = Machine()
    made, _ = made_of(name, machine)
    tried = refused = 0
    for index, value in enumerate(made.arguments):
        for other in _others(value):
            changed = replace(made, arguments=(*made.arguments[:index], other, *made.arguments[index + 1 :]))
            error = run(caller, machine, changed)
            assert error in (0, INVALID_ARGUMENT)
            tried, refused = tried + 1, refused + (error != 0)
            if isinstance(value, Tensor) and not isinstance(other, Tensor) and other is not None:
                assert error == INVALID_ARGUMENT or _is_unused(made, index)
            if error == 0 and isinstance(other, Tensor):  # then the plan takes it as well
                _planned(changed)
    assert refused > tried // 3


def _is_unused(made: Instruction, index: int) -> bool:
    row = called_operators()[made.operator.removesuffix("_")]
    return f"unused {row.argument_names[index]}" in row.call


def _planned(made: Instruction) -> None:
    try:
        emit(made)
    except UnsupportedOperatorError as error:
        raise AssertionError("the wrapper takes what the plan refuses") from error


def _others(value: Value) -> list[Value]:
    if not isinstance(value, Tensor):
        return [7 if isinstance(value, list) else [1]] if value is not None else []
    fewer = [
        replace(value, shape=tuple(size - (at == axis) for at, size in enumerate(value.shape)))
        for axis in range(len(value.shape))
        if value.shape[axis] > 1
    ]
    same_size = {DType.S32: DType.F32, DType.F32: DType.S32, DType.S8: DType.U8, DType.U8: DType.S8}
    return [*fewer, replace(value, dtype=same_size.get(value.dtype, DType.U8)), None, 7]


def test_those_of_cortex_m_have_the_schema_that_torch_registers() -> None:
    theirs = [row for row in called_operators().values() if not row.is_ours]
    assert theirs
    for row in theirs:
        schema = getattr(torch.ops.cortex_m, row.plain_name).out._schema
        given = [argument.name for argument in schema.arguments if not argument.is_out]
        assert given == list(row.argument_names), row.name
        kinds = {"Tensor": "Tensor", "Tensor?": "Optional[Tensor]", "int[]": "List[int]"}
        found = [str(argument.type) for argument in schema.arguments if not argument.is_out]
        said = [part.split()[0] for part in row.arguments.split(", ")]
        assert found == [kinds.get(kind, "int" if kind == "ScalarType" else kind) for kind in said], row.name


def test_scratch_has_the_bytes_that_plans_give(caller: ctypes.CDLL) -> None:
    """A host's kernels take none for a depthwise convolution, so that too little would not show."""
    caller.official_pair_bytes.argtypes = [ctypes.c_int64] * 2
    caller.official_pair_bytes.restype = caller.official_depthwise_scratch.restype = ctypes.c_int64
    for k in (1, 16, 17, 100, 255, 257, 4000):
        for pairs in (1, 8):
            assert caller.official_pair_bytes(k, pairs) == two_rows_scratch(k, pairs=pairs)
    for height, width, channels in (
        (1, 1, 8),
        (5, 7, 16),
        (7, 5, 16),
        (12, 12, 64),
        (96, 96, 8),
        (300, 200, 64),
    ):
        for stride in ((1, 1), (1, 2), (2, 1), (2, 2)):
            wanted = depthwise_scratch((1, height, width, channels), stride)
            assert caller.official_depthwise_scratch(height, width, channels, *stride) == wanted
