"""cortex_m:: and quantized_decomposed:: operators give the integers of ExecuTorch's Python definitions."""

from __future__ import annotations

import ctypes
from typing import Any

import executorch.backends.cortex_m.passes  # noqa: F401  registers cortex_m
import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # registers quantized_decomposed
from executorch.backends.cortex_m.passes.passes_utils import quantize_multiplier_aot
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.planning.registry import emit
from tests.kernels.call import EXTREMES, assert_same_bits, int8, normal
from tests.kernels.cases import ARENA, MODEL, Case, check, named, place, trials_of
from tests.kernels.instructions import Machine, instruction

RNG = np.random.default_rng(4)
M = torch.ops.cortex_m
SCALES = st.floats(1e-4, 4.0)


def q(*shape: int, space: Any = ARENA) -> Any:
    return int8(RNG, *shape), space


def i32(low: int, high: int, *shape: int, space: Any = MODEL) -> Any:
    return RNG.integers(low, high, shape).astype(np.int32), space


def f(*shape: int, spread: float = 1.0) -> Any:
    return np.concatenate([EXTREMES, normal(RNG, *shape, spread=spread).ravel()]).astype(np.float32), ARENA


FACTOR = quantize_multiplier_aot(0.0031)
SCRATCH = (np.zeros(0, np.uint8), ARENA)


def _add(
    x: Any,
    y: Any,
    points: tuple[int, int, int] = (3, -7, 11),
    low: int = -128,
    high: int = 127,
    sign: int = 1,
) -> Case:
    first, (multiplier, shift), last = (quantize_multiplier_aot(s) for s in (0.5, 0.31, 2 / 2**20))
    arguments = (x, points[0], *first, y, points[1], sign * multiplier, shift, points[2], *last, low, high)
    return Case("cortex_m::quantized_add", arguments, M.quantized_add)


def _linear(x: Any, n: int, form: str, point: int = 5, bias: bool = True) -> Case:
    """As the pass writes it for Helium ("sum") or for other cores ("bias")."""
    weight = int8(RNG, n, x[0].shape[-1])
    addend = RNG.integers(-9999, 9999, n).astype(np.int32) * bias
    sums = (addend - point * weight.astype(np.int32).sum(1, dtype=np.int32))[None].astype(np.int32)
    given = (None, (sums, MODEL)) if form == "sum" else ((addend, MODEL) if bias else None, None)
    rest = (-point, 0, -9, [FACTOR[0]], [FACTOR[1]], 100, -120)
    return Case("cortex_m::quantized_linear", (x, (weight, MODEL), *given, *rest), M.quantized_linear)


def _softmax(x: Any, scale: float, point: int) -> Case:
    multiplier, shift = quantize_multiplier_aot(min(scale * 2**26, 2.0**31 - 1))
    return Case("cortex_m::softmax", (x, -1, point, -128, multiplier, shift, -100), M.softmax)


def _cases() -> list[Case]:
    quantized = torch.ops.quantized_decomposed
    scales = RNG.uniform(0.001, 0.1, 4).astype(np.float32), MODEL
    points = RNG.integers(-128, 127, 4), MODEL
    limits = (-128, 127, torch.int8)
    return [
        _add(q(2, 3, 5), q(2, 3, 5)),
        _add(q(64), q(64), (-128, 127, -128), -50, 60),
        Case("cortex_m::quantized_mul", (q(4, 33), -128, q(4, 33), 127, 5, *FACTOR), M.quantized_mul),
        Case(
            "cortex_m::quantized_mul", (q(9), 0, q(9), 3, -5, *quantize_multiplier_aot(3.7)), M.quantized_mul
        ),
        Case("cortex_m::quantized_activation", (q(3, 100), q(256, space=MODEL)), M.quantized_activation),
        Case(
            "cortex_m::quantized_batch_matmul",
            (q(3, 4, 33), -7, q(3, 5, 33), 128, 5, *FACTOR, SCRATCH),
            M.quantized_batch_matmul,
        ),
        _linear(q(2, 3, 33), 7, "sum"),
        _linear(q(2, 3, 33), 7, "bias", 127),
        _linear(q(1, 100), 7, "bias", -128, bias=False),
        _softmax(q(4, 60), 0.05, 3),
        Case("cortex_m::pad", (q(2, 3), [0, 0, 1, 0], [0, 0, 0, 2], -5), M.pad),
        Case("cortex_m::pad", (q(2, 3, 4, 5), [1, 0, 2, 3], [0, 1, 0, 2], 7), M.pad),
        Case("cortex_m::pad", (q(1, 3, 1, 1), [0, 2, 1, 0], [0, 0, 1, 3], 7), M.pad),
        Case("cortex_m::quantize_per_tensor", (f(99, spread=3), 0.0123, 7, *limits), M.quantize_per_tensor),
        Case("cortex_m::dequantize_per_tensor", (q(99), 0.0123, 7, *limits), M.dequantize_per_tensor),
        Case(
            "quantized_decomposed::quantize_per_channel",
            ((normal(RNG, 4, 5, spread=3), ARENA), scales, points, 0, *limits),
            quantized.quantize_per_channel,
        ),
        Case(
            "quantized_decomposed::dequantize_per_channel",
            (q(3, 4, 2), scales, points, 1, *limits),
            quantized.dequantize_per_channel,
        ),
        _add(q(3, 21), q(3, 21), sign=-1),
        Case("cortex_m::quantized_div", (q(3, 33), -7, q(3, 33), 12, 5, 3.1), M.quantized_div),
    ]


def _as_in_a_file(case: Case) -> Case:
    """Types go by their numbers in a .pte."""
    arguments = tuple(1 if a is torch.int8 else a for a in case.arguments)
    return Case(case.operator, arguments, lambda *_: tuple(map(torch.from_numpy, case.expected())))


CASES = named([_as_in_a_file(case) for case in _cases()])
test_is_the_definition, test_corrupt_arguments_do_no_harm, test_sharing_memory = trials_of(
    CASES, attempts=150
)


ALL = np.arange(-128, 128).astype(np.int8)
POINTS = st.integers(-128, 127)


@settings(max_examples=60, deadline=None)
@given(
    a=SCALES, b=SCALES, out=SCALES, points=st.tuples(POINTS, POINTS, POINTS), sign=st.sampled_from((1, -1))
)
def test_every_sum(
    kernel_library: ctypes.CDLL, a: float, b: float, out: float, points: Any, sign: int
) -> None:
    """All 65,536 pairs, with the multipliers that the pass computes from three scales; sums and differences."""
    larger = 2 * max(a, b)
    first, second = quantize_multiplier_aot(a / larger), quantize_multiplier_aot(b / larger)
    last = quantize_multiplier_aot(larger / (out * 2**20))
    x, y = (np.ascontiguousarray(v) for v in np.broadcast_arrays(ALL[:, None], ALL[None]))
    factors = sign * second[0], second[1]
    arguments = ((x, ARENA), points[0], *first, (y, ARENA), points[1], *factors, points[2], *last, -128, 127)
    check(kernel_library, Case("cortex_m::quantized_add", arguments, M.quantized_add))


@settings(max_examples=60, deadline=None)
@given(factor=st.floats(1e-5, 8.0), points=st.tuples(POINTS, POINTS, POINTS))
def test_every_product(kernel_library: ctypes.CDLL, factor: float, points: Any) -> None:
    x, y = (np.ascontiguousarray(v) for v in np.broadcast_arrays(ALL[:, None], ALL[None]))
    arguments = ((x, ARENA), points[0], (y, ARENA), points[1], points[2], *quantize_multiplier_aot(factor))
    check(kernel_library, Case("cortex_m::quantized_mul", arguments, M.quantized_mul))


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-5, 300.0), points=st.tuples(POINTS, POINTS, POINTS))
def test_every_quotient(kernel_library: ctypes.CDLL, scale: float, points: Any) -> None:
    x, y = (np.ascontiguousarray(v) for v in np.broadcast_arrays(ALL[:, None], ALL[None]))
    arguments = ((x, ARENA), points[0], (y, ARENA), points[1], points[2], scale)
    check(kernel_library, Case("cortex_m::quantized_div", arguments, M.quantized_div))


@settings(max_examples=60, deadline=None)
@given(
    k=st.integers(1, 300),
    n=st.integers(1, 9),
    factor=st.floats(1e-6, 0.05),
    point=POINTS,
    form=st.sampled_from(["sum", "bias"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_linear(
    kernel_library: ctypes.CDLL, k: int, n: int, factor: float, point: int, form: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    case = _linear((int8(rng, 2, k), ARENA), n, form, point)
    multiplier, shift = quantize_multiplier_aot(factor)
    arguments = (*case.arguments[:7], [multiplier], [shift], *case.arguments[9:])
    check(kernel_library, Case(case.operator, arguments, case.reference))


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(1e-3, 1.0), point=POINTS, n=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_softmax(kernel_library: ctypes.CDLL, scale: float, point: int, n: int, seed: int) -> None:
    """Within a step of the definition, and only where that lies within 1e-4 steps of a tie: e^x is off by 2.5e-7."""
    x = int8(np.random.default_rng(seed), 3, n)
    case = _softmax((x, ARENA), scale, point)
    expected, machine = case.expected(), Machine()
    arguments, (out,) = place(case, expected, machine)
    machine.run(kernel_library, instruction(case.operator, *arguments))
    found = machine.read(out).astype(int)
    different = found != expected[0]
    multiplier, shift = case.arguments[4:6]
    wide = (
        torch.softmax(torch.from_numpy(x).double() * (multiplier / 2**31 * 2.0**shift / 2**26), -1).numpy()
        * 256
    )
    assert (np.abs(found - expected[0]) <= 1).all()
    np.testing.assert_allclose(np.abs(wide[different] % 1 - 0.5), 0, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(1e-6, 1e3), point=POINTS, seed=st.integers(0, 2**32 - 1))
def test_quantize_and_back(kernel_library: ctypes.CDLL, scale: float, point: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    halves = (np.arange(-260, 260) / 2 * scale).astype(np.float32)  # ties
    x = np.concatenate([EXTREMES, halves, normal(rng, 99, spread=50 * scale)]).astype(np.float32)
    limits = (-128, 127, torch.int8)
    case = Case("cortex_m::quantize_per_tensor", ((x, ARENA), scale, point, *limits), M.quantize_per_tensor)
    check(kernel_library, _as_in_a_file(case))
    case = Case(
        "cortex_m::dequantize_per_tensor", ((ALL, ARENA), scale, point, *limits), M.dequantize_per_tensor
    )
    check(kernel_library, _as_in_a_file(case))


def test_both_forms_of_linear_are_one(kernel_library: ctypes.CDLL) -> None:
    """A file for Helium and one for other cores give the same integers."""
    x, weight, bias = int8(RNG, 3, 50), int8(RNG, 7, 50), RNG.integers(-999, 999, 7).astype(np.int32)
    sums = (bias - 9 * weight.astype(np.int32).sum(1)).astype(np.int32)[None]
    found = []
    for given_bias, given_sum in ((bias, None), (None, sums)):
        machine = Machine()
        tensors = [None if v is None else machine.place(v, MODEL) for v in (weight, given_bias, given_sum)]
        out = machine.place(np.zeros((3, 7), np.int8))
        rest = (-9, 0, 4, [FACTOR[0]], [FACTOR[1]], 127, -128)
        linear = instruction("cortex_m::quantized_linear", machine.place(x), *tensors, *rest, out)
        machine.run(kernel_library, linear)
        found.append(machine.read(out))
    assert_same_bits(found[0], found[1])
    assert len(np.unique(found[0])) > 5


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("0-quantized_add", 1, 128),
        ("0-quantized_add", 3, 32),
        ("0-quantized_add", 2, -(2**31)),
        ("0-quantized_add", 9, -5),
        ("0-quantized_add", 11, 50),
        ("6-quantized_linear", 5, 3),
        ("6-quantized_linear", 7, []),
        ("6-quantized_linear", 4, 129),
        ("9-softmax", 1, 0),
        ("9-softmax", 3, 0),
        ("13-quantize_per_tensor", 1, 0.0),
        ("13-quantize_per_tensor", 5, 5),
        ("18-quantized_div", 5, 0.0),
    ],
)
def test_refused(name: str, at: int, value: Any) -> None:
    case = CASES[name]
    arguments, _ = place(case, case.expected(), Machine())
    if (name, at) == ("0-quantized_add", 11):
        arguments[12] = 40  # a range from 50 to 40
    arguments[at] = value
    with pytest.raises(UnsupportedOperatorError):
        emit(instruction(case.operator, *arguments))
