"""Called by ExecuTorch's registry, an operator gives what its compiled plan gives; and refuses what does not fit.

Memory ends where a tensor does, with a page behind it that faults: a wrapper that lets too much through ends the test run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import executorch.backends.cortex_m.passes  # noqa: F401  registers cortex_m
import numpy as np
import pytest
import torch
from executorch.backends.cortex_m.passes.passes_utils import quantize_multiplier_aot

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.operators.table import Operator, called_operators
from mcu_sdk.operators.table.row import LIBRARIES
from mcu_sdk.planning.emitters.cortex_m_images import depthwise_scratch
from mcu_sdk.planning.emitters.mcu_linear import two_rows_scratch
from mcu_sdk.planning.executorch_memory import _scratch_of
from mcu_sdk.planning.instruction import DType, Instruction, Tensor, Value
from mcu_sdk.planning.registry import emit
from mcu_sdk.project.instead import takes
from mcu_sdk.project.wrappers import names_of, registered_names
from tests.kernels import (
    test_aten_elementwise,
    test_aten_reduce,
    test_cortex_m,
    test_cortex_m_images,
    test_cortex_m_transpose_conv,
    test_quantized_weights,
)
from tests.kernels.call import assert_same_bits, int8
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
    if made.operator.partition("::")[0] in LIBRARIES:
        return made.full_name
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
    theirs: bool = False,
) -> int:
    """The error that the kernel reports, on memory made anew, with so much temporary memory; -1 where there is none. `name`:
    in the registry, where the operator's does not say it. `theirs`: of the registry, not ours."""
    machine.prepare(made)
    keep: list[Any] = []
    arguments = (_Argument * len(made.arguments))(*(_argument(a, machine, keep) for a in made.arguments))
    scratch = np.zeros(SCRATCH + 16, np.uint8)
    start = scratch.ctypes.data + -scratch.ctypes.data % 16
    wanted = (name or registered(made)).encode()
    error: int = caller.official_call(
        wanted, ctypes.addressof(arguments), len(arguments), start, scratch_bytes, theirs
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
    if isinstance(value, str):
        return _Argument(6, list=kept(value.encode(), np.uint8), count=len(value))
    if isinstance(value, bool):
        return _Argument(4, integer=value)
    if isinstance(value, int):
        return _Argument(2, integer=value)
    return _Argument(0) if value is None else _Argument(3, number=float(value))  # type: ignore[arg-type]


CORTEX_M = [
    *(
        case
        for case in (*test_cortex_m.CASES.values(), *test_aten_elementwise.CASES.values())
        if case.operator in called_operators() and case.operator.startswith("cortex_m::")
    ),
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


def _numbers(arguments: list[Any]) -> list[Any]:
    """A type as ExecuTorch's number of it."""
    return [KINDS[DType.S8] if argument is torch.int8 else argument for argument in arguments]


def _instead() -> list[tuple[Case, Operator]]:
    """Of ATen's and the quantized operators each example that a wrapper of ours takes, with its row."""
    found = []
    for case in (
        *test_aten_elementwise.CASES.values(),
        *test_aten_reduce.CASES.values(),
        *test_quantized_weights.CASES.values(),
        *QUANTIZED,
    ):
        arguments = _numbers(place(case, case.expected(), Machine())[0])
        for row in called_operators().values():
            same = row.is_of_libraries and row.name.partition(".")[0] == case.operator
            if same and not case.listed and takes(row, instruction(case.operator, *arguments)):
                found.append((case, row))
    return found


QUANTIZED = [
    Case(
        "quantized_decomposed::quantize_per_tensor",
        (test_aten_reduce.f(5, 9), 0.03, 3, -128, 127, torch.int8),
        torch.ops.quantized_decomposed.quantize_per_tensor,
    ),
    Case(
        "quantized_decomposed::dequantize_per_tensor",
        (test_cortex_m.q(5, 9), 0.03, 3, -128, 127, torch.int8, None),
        lambda x, scale, point, *_: (x.to(torch.int32) - point) * np.float32(scale),
    ),
]
INSTEAD = _instead()


def _images() -> list[Any]:
    """(operator, image, arguments, tensors of scratch) of ExecuTorch's convolutions, pools and pads."""
    rng = np.random.default_rng(5)

    def convolution(x: tuple[int, ...], weight: tuple[int, ...], *pairs: list[int], depth: int = 0) -> Any:
        outputs = weight[3] if depth else weight[0]
        factors = [quantize_multiplier_aot(factor) for factor in rng.uniform(1e-4, 0.05, outputs)]
        numbers = [np.array(column, np.int32) for column in zip(*factors, strict=True)]
        bias = rng.integers(-9999, 9999, outputs).astype(np.int32)
        ends = [*([depth] if depth else []), 5, -3, *numbers, -120, 110]
        return int8(rng, *x), [int8(rng, *weight), bias, *pairs, *ends]

    one, none = [1, 1], [0, 0]
    return [
        ("quantized_conv2d", *convolution((2, 6, 7, 5), (4, 3, 2, 3), [2, 1], [1, 0], one), 1),
        ("quantized_conv2d", *convolution((2, 5, 3, 2), (4, 1, 1, 5), one, none, one), 1),
        ("quantized_conv2d", *convolution((1, 4, 6, 5), (3, 3, 3, 4), one, one, [2, 1]), 1),
        ("quantized_depthwise_conv2d", *convolution((1, 4, 6, 6), (1, 3, 3, 4), one, one, one, depth=1), 1),
        ("quantized_depthwise_conv2d", *convolution((1, 2, 5, 6), (1, 3, 2, 4), one, none, one, depth=2), 1),
        ("quantized_depthwise_conv2d", *convolution((1, 1, 9, 6), (1, 4, 3, 8), one, one, one, depth=8), 1),
        (
            "quantized_transpose_conv2d",
            *convolution((2, 3, 4, 5), (2, 3, 2, 3), [2, 1], [1, 0], [1, 0], one),
            2,
        ),
        (
            "quantized_max_pool2d",
            int8(rng, 2, 3, 7, 6),
            [[3, 2], [2, 2], [1, 0], one, False, 4, 4, -90, 90],
            0,
        ),
        ("quantized_avg_pool2d", int8(rng, 2, 3, 8, 7), [[3, 2], [2, 2], one, True, 3, 1 << 30, -3], 1),
        ("quantized_avg_pool2d", int8(rng, 1, 3, 8, 8), [[2, 2], [2, 2], none, False, 3, 1 << 30, -3], 1),
        ("pad", int8(rng, 1, 3, 4, 5), [[0, 1, 2, 0], [0, 0, 1, 0], -7], 0),
    ]


IMAGES = _images()
NAMES = [f"{i}-{case.operator.partition('::')[2]}" for i, case in enumerate(own_examples())]
NAMES += [f"{i}-{case.operator}" for i, case in enumerate(CORTEX_M)]
NAMES += [f"{i}-{row.name}" for i, (_, row) in enumerate(INSTEAD)]
NAMES += [f"{i}-image::{operator}" for i, (operator, *_) in enumerate(IMAGES)]


def made_of(name: str, machine: Machine) -> tuple[Instruction, list[Tensor]]:
    """An example as an instruction, and what it writes."""
    number, _, operator = name.partition("-")
    if operator.startswith("image::"):
        return _made_of_image(machine, *IMAGES[int(number)])
    if operator.partition("::")[0] in LIBRARIES:
        case, row = INSTEAD[int(number)]
        arguments, outs = place(case, case.expected(), machine)
        base, overload = row.name.partition("::")[0], row.out_name.partition(".")
        made = instruction(f"{base}::{overload[0]}", *_numbers(arguments))
        return replace(made, overload=overload[2]), outs
    if operator.startswith("cortex_m::"):
        case = CORTEX_M[int(number)]
        arguments, outs = place(case, case.expected(), machine)
        return instruction(case.operator, *_numbers(arguments)), outs
    example = own_examples()[int(number)]
    arguments, outs = _placed(example, _expected(example), machine)
    return instruction(example.operator, *arguments), outs


def _made_of_image(
    machine: Machine, operator: str, x: Any, arguments: list[Any], scratches: int
) -> tuple[Instruction, list[Tensor]]:
    """The output as it lies in memory."""
    if scratches == 2:
        expected = test_cortex_m_transpose_conv._expected(x, arguments)
        made = test_cortex_m_transpose_conv._placed(machine, x, arguments, expected)
    else:
        expected = test_cortex_m_images._expected(operator, x, arguments, scratches == 1)
        made = test_cortex_m_images._placed(machine, operator, x, arguments, expected, scratches == 1)
    out = made.arguments[-1]
    assert isinstance(out, Tensor)
    return made, [replace(out, shape=tuple(out.shape[axis] for axis in (0, 2, 3, 1)), dim_order=())]


def test_every_operator_has_an_example() -> None:
    examples = {case.operator.removesuffix("_") for case in [*own_examples(), *CORTEX_M]}
    examples |= {row.name for _, row in INSTEAD} | {f"cortex_m::{operator}" for operator, *_ in IMAGES}
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
    """To the byte: enough, and not with one less."""
    machine = Machine()
    made, _ = made_of(name, machine)
    needed = _scratch_of(made)
    assert run(caller, machine, made, scratch_bytes=needed) == 0
    if needed:
        assert run(caller, machine, made, scratch_bytes=needed - 1) != 0


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
    row = registered_names()[registered(made)]
    return index < len(row.argument_names) and f"unused {row.argument_names[index]}" in row.call


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
    theirs = [row for row in called_operators().values() if row.name.startswith("cortex_m::")]
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
