"""Elementwise aten operators are PyTorch's, up to the error bounds of the kernels' own functions."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.planning.registry import emit
from tests.kernels.call import EXTREMES, int8, normal
from tests.kernels.cases import ARENA, MODEL, Case, check, named, place, trials_of
from tests.kernels.instructions import Machine, instruction

RNG = np.random.default_rng(1)
FUNCTION = 1e-6
"""Our exp, sin, cos, log and erf are within 5e-7 (kernels/math/math.h); PyTorch's own are within an ulp."""


def f(*shape: int, space: Any = ARENA, spread: float = 1.0) -> Any:
    return normal(RNG, *shape, spread=spread), space


def positive(*shape: int) -> Any:
    return RNG.uniform(0.01, 50, shape).astype(np.float32), ARENA


def i64(*shape: int, space: Any = ARENA) -> Any:
    return RNG.integers(-9, 9, shape), space


def i32(*shape: int) -> Any:
    return RNG.integers(-9, 9, shape).astype(np.int32), ARENA


def s8(*shape: int) -> Any:
    return int8(RNG, *shape), ARENA


def b(*shape: int) -> Any:
    return RNG.random(shape) < 0.5, ARENA


def _cases() -> list[Case]:
    specials = np.concatenate([EXTREMES, np.array([np.inf, -np.inf, np.nan, 7, -7], np.float32)]), ARENA
    cases = [
        Case("aten::add", (f(2, 3, 5), f(2, 3, 5), 1), lambda x, y, _: x + y),
        Case("aten::add", (f(2, 3, 5), f(3, 1), 1), lambda x, y, _: x + y),
        Case("aten::add", (f(4, 1), f(3), 1), lambda x, y, _: x + y),
        Case("aten::add", (f(2, 3), f(3), -2.5), lambda x, y, a: x + a * y, 1e-6),
        Case("aten::add", (f(2, 3), 1.7, 1), lambda x, y, _: x + y),
        Case("aten::add", (f(), f(), 1), lambda x, y, _: x + y),
        Case("aten::add", (i64(2, 3), i64(3), 1), lambda x, y, _: x + y),
        Case("aten::add", (i64(2, 3), 7, 3), lambda x, y, a: x + a * y),
        Case("aten::add", (f(2, 3), i64(1, space=MODEL), 1), lambda x, y, _: x + y),
        Case("aten::add", (i32(2, 3), i32(2, 3), 1), lambda x, y, _: x + y),
        Case("aten::sub", (f(2, 3), f(2, 1), 1), lambda x, y, _: x - y),
        Case("aten::sub", (i64(5), i64(5), 2), lambda x, y, a: x - a * y),
        Case("aten::rsub", (f(2, 3), 1.0, 1), lambda x, y, _: y - x),
        Case("aten::mul", (f(3, 4), f(4)), torch.mul),
        Case("aten::mul", (f(1, 4, 9, 8), f(1)), torch.mul),
        Case("aten::mul", (f(3, 4), 0.5), torch.mul),
        Case("aten::mul", (i64(3, 4), i64(1, 4)), torch.mul),
        Case("aten::div", (f(3, 4), f(3, 4)), torch.div),
        Case("aten::div", (f(3, 4), 3.0), torch.div),
        Case(
            "aten::div",
            (f(9, spread=9), f(9), "floor"),
            lambda x, y, _: torch.floor(x / y),
        ),
        Case("aten::div", (f(9, spread=9), f(9), "trunc"), lambda x, y, _: torch.trunc(x / y)),
        Case("aten::minimum", (f(3, 4), f(4)), torch.minimum),
        Case("aten::maximum", (specials, f(1)), torch.maximum),
        Case("aten::maximum", (i64(3, 4), i64(3, 1)), torch.maximum),
        Case("cortex_m::minimum", (s8(3, 4), s8(1, 4)), torch.minimum),
        Case("cortex_m::maximum", (s8(3, 4), s8(1)), torch.maximum),
        Case("cortex_m::minimum", (i32(3, 4), i32(1)), torch.minimum),
        Case("aten::relu", (f(3, 4),), torch.relu),
        Case("aten::relu", (s8(3, 4),), torch.relu),
        Case("aten::clamp", (f(3, 4), -0.5, 0.7), torch.clamp),
        Case("aten::clamp", (f(3, 4), None, 0.7), torch.clamp),
        Case("aten::clamp", (s8(30), -20, None), torch.clamp),
        Case("aten::clamp", (s8(30), None, 300), lambda x, *_: x),
        Case("aten::clamp", (i64(30), -2, 3), torch.clamp),
        Case("aten::hardtanh", (f(3, 4), -1.0, 1.0), torch.nn.functional.hardtanh),
        Case("aten::silu", (f(40, spread=5),), torch.nn.functional.silu, FUNCTION),
        Case("aten::gelu", (f(40, spread=3), "none"), lambda x, _: torch.nn.functional.gelu(x), 2e-6),
        Case(
            "aten::gelu",
            (f(40, spread=3), "tanh"),
            lambda x, a: torch.nn.functional.gelu(x, approximate=a),
            FUNCTION,
        ),
        Case("aten::leaky_relu", (f(9), 0.1), torch.nn.functional.leaky_relu),
        Case("aten::hardswish", (f(9, spread=4),), torch.nn.functional.hardswish, 3e-7),
        Case("aten::hardsigmoid", (f(9, spread=4),), torch.nn.functional.hardsigmoid, 3e-7),
        *(Case("aten::pow", (f(9), e), torch.pow, 1e-6) for e in (1, 2, 2.0, 3, 4, 7)),
        *(Case("aten::pow", (positive(9), e), torch.pow, 1e-6) for e in (0.5, -0.5, -1)),
        Case("aten::where", (b(3, 4), f(3, 4), f(4)), torch.where),
        Case("aten::where", (b(2, 3, 1), f(1), f(3, 5)), torch.where),
        Case("aten::where", (b(3, 4), i64(3, 4), i64(1)), torch.where),
        Case("aten::where", (b(1, 4), s8(3, 4), s8(3, 4)), torch.where),
        Case("aten::masked_fill", (f(3, 4), b(4), float("-inf")), torch.masked_fill),
        Case("aten::isnan", (specials,), torch.isnan),
        Case("aten::isinf", (specials,), torch.isinf),
        Case("aten::logical_not", (b(7),), torch.logical_not),
        Case("aten::bitwise_not", (b(7),), torch.logical_not),
        Case("aten::neg", (i64(7),), torch.neg),
        Case("aten::abs", (i64(7),), torch.abs),
        Case("aten::sub", (f(2, 3), 1.7, 1), lambda x, y, _: x - y),
    ]
    tables = {
        (("neg", "abs", "floor", "ceil", "trunc", "round", "sign", "relu"), 0.0): specials,
        (("sigmoid", "tanh", "erf", "exp", "sin", "cos"), FUNCTION): f(99, spread=4),
        (("sqrt", "rsqrt", "reciprocal", "log"), FUNCTION): positive(99),
    }
    for (names, tolerance), x in tables.items():
        cases += [Case(f"aten::{name}", (x,), getattr(torch, name), tolerance) for name in names]
    for operands in ((f(5, 9), f(9)), (i64(5, 9), 2), (i32(5, 9), i32(5, 1)), (specials, float("-inf"))):
        names = ("eq", "ne", "lt", "le", "gt", "ge")
        cases += [Case(f"aten::{name}", operands, getattr(torch, name)) for name in names]
    names = tuple(f"{kind}_{name}" for kind in ("logical", "bitwise") for name in ("and", "or", "xor"))
    cases += [Case(f"aten::{name}", (b(5, 9), b(9)), getattr(torch, name)) for name in names]
    return cases


CASES = named(_cases())
test_is_pytorch, test_corrupt_arguments_do_no_harm, test_sharing_memory = trials_of(CASES, attempts=25)


@pytest.mark.parametrize("seed", range(20))
def test_broadcasts_of_random_shapes(kernel_library: ctypes.CDLL, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 4, rng.integers(0, 7))
    shapes = []
    for _ in range(2):
        kept = np.where(rng.random(len(shape)) < 0.4, 1, shape)
        shapes.append(tuple(int(size) for size in kept[rng.integers(0, len(shape) + 1) :]))
    first, second = (RNG.integers(-9, 9, s) for s in shapes)
    check(kernel_library, Case("aten::add", ((first, ARENA), (second, ARENA), 1), lambda x, y, _: x + y))
    choice = np.asarray(rng.random(shapes[1]) < 0.5)
    case = Case("aten::where", ((choice, ARENA), (first, ARENA), (second, ARENA)), torch.where)
    check(kernel_library, case)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "sin", "cos"])
def test_functions_over_their_whole_range(kernel_library: ctypes.CDLL, name: str) -> None:
    """Against float64: relative error where the function is large, absolute where it is small."""
    if name == "log":
        x = np.geomspace(1.2e-38, 3.4e38, 20001).astype(np.float32)
    elif name in ("sin", "cos"):
        x = np.linspace(-8000, 8000, 20001).astype(np.float32)
    else:
        x = np.linspace(-88, 88.7, 20001).astype(np.float32)
    wide = torch.from_numpy(x).double()
    machine = Machine()
    given, out = machine.place(x), machine.place(np.zeros_like(x))
    machine.run(kernel_library, instruction(f"aten::{name}", given, out))
    expected = getattr(torch, name)(wide).numpy()
    # exp is 0 below -86, where it is less than 5e-38.
    np.testing.assert_allclose(machine.read(out), expected, rtol=5e-7, atol=4e-7 if name != "exp" else 5e-38)


def test_functions_of_what_is_no_number(kernel_library: ctypes.CDLL) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 1000, -1000], np.float32)
    for name, expected in (
        ("exp", [np.inf, 0, np.nan, np.inf, 0]),
        ("log", [np.inf, np.nan, np.nan, None, np.nan]),
    ):
        machine = Machine()
        given, out = machine.place(x), machine.place(np.zeros_like(x))
        machine.run(kernel_library, instruction(f"aten::{name}", given, out))
        for found, value in zip(machine.read(out), expected, strict=True):
            assert value is None or found == value or (np.isnan(found) and np.isnan(value))


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("aten::add", (i64(3), 0.5, 1)),
        ("aten::add", (f(3), i64(3), 1)),
        ("aten::mul", (b(3), b(3))),
        ("aten::pow", (f(3), 2.5)),
        ("aten::pow", (f(3), -3)),
        ("aten::clamp", (s8(3), 0.5, None)),
        ("aten::gelu", (f(3), "sigmoid")),
        ("aten::div", (f(3), f(3), "up")),
    ],
)
def test_refused(operator: str, arguments: tuple[Any, ...]) -> None:
    out = arguments[0][0]
    case = Case(operator, arguments, lambda *_: torch.from_numpy(out))
    placed, _ = place(case, [out], Machine())
    with pytest.raises(UnsupportedOperatorError):
        emit(instruction(operator, *placed))
