"""Operators that move elements, make them, convert them or look them up are PyTorch's, bit for bit."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.planning.registry import emit
from tests.kernels.call import int8, normal
from tests.kernels.cases import ARENA, MODEL, Case, named, place, trials_of
from tests.kernels.instructions import Machine, instruction

RNG = np.random.default_rng(2)


def f(*shape: int, space: Any = ARENA) -> Any:
    return normal(RNG, *shape), space


def i64(low: int, high: int, *shape: int) -> Any:
    return RNG.integers(low, high, shape), ARENA


def s8(*shape: int) -> Any:
    return int8(RNG, *shape), ARENA


def b(*shape: int) -> Any:
    return RNG.random(shape) < 0.5, ARENA


def _moves() -> list[Case]:
    return [
        Case("aten::view_copy", (f(2, 6), [3, 4]), torch.reshape),
        Case("aten::squeeze_copy", (f(2, 1, 6, 1),), torch.squeeze),
        Case("aten::squeeze_copy", (f(2, 1, 6, 1), [-1]), lambda x, _: x.squeeze(-1)),
        Case("aten::unsqueeze_copy", (s8(2, 6), 1), torch.unsqueeze),
        Case("aten::alias_copy", (f(2, 6),), lambda x: x),
        Case("aten::permute_copy", (f(2, 3, 4), [2, 0, 1]), torch.permute),
        Case("aten::permute_copy", (s8(9, 1, 3, 32), [2, 0, 1, 3]), torch.permute),
        Case("aten::permute_copy", (b(2, 3, 4, 5), [3, -2, 1, 0]), torch.permute),
        Case("aten::permute_copy", (i64(0, 9, 3, 4), [1, 0]), torch.permute),
        Case("aten::permute_copy", (f(), []), torch.permute),
        Case("cortex_m::transpose", (s8(2, 3, 4), [0, 2, 1]), torch.permute),
        Case("aten::transpose_copy", (f(2, 3, 4), -1, 0), torch.transpose),
        Case("aten::t_copy", (f(3, 4),), torch.t),
        Case("aten::expand_copy", (f(1, 2, 1, 3), [1, 2, 4, 3], False), lambda x, s, _: x.expand(s)),
        Case("aten::expand_copy", (f(3), [2, -1], False), lambda x, s, _: x.expand(s)),
        Case("aten::expand_copy", (i64(0, 9, 1), [5], False), lambda x, s, _: x.expand(s)),
        Case("aten::expand_copy", (f(2, 3), [2, 3], False), lambda x, s, _: x.expand(s)),
        Case("aten::repeat", (f(2, 3), [2, 1, 3]), lambda x, r: x.repeat(r)),
        Case("aten::repeat", (s8(3), [4]), lambda x, r: x.repeat(r)),
        Case("aten::flip", (f(2, 3, 4), [0, -1]), torch.flip),
        Case("aten::slice_copy", (f(2, 8, 3), 1, 2, 6, 1), lambda x, *_: x[:, 2:6]),
        Case("aten::slice_copy", (f(2, 8, 3), 1, -5, 2**63 - 1, 2), lambda x, *_: x[:, -5::2]),
        Case("aten::slice_copy", (s8(9), 0, None, None, 3), lambda x, *_: x[::3]),
        Case("aten::slice_copy", (f(2, 3), 0, 5, 9, 1), lambda x, *_: x[5:9]),
        Case("aten::slice_scatter", (f(2, 8), f(2, 3), 1, 1, 6, 2), torch.slice_scatter),
        Case("aten::select_scatter", (f(2, 8), f(2), 1, -3), torch.select_scatter),
        Case("aten::select_copy", (f(3, 4, 5), 1, -1), torch.select),
        Case("aten::select_copy", (i64(0, 9, 3), 0, 2), torch.select),
        Case("aten::split_with_sizes_copy", (f(2, 6, 3), [1, 3, 2], 1), torch.split_with_sizes, listed=True),
        Case("aten::split_copy", (f(7, 2), 3, 0), torch.split, listed=True),
        Case("aten::unbind_copy", (s8(2, 3, 4), 1), torch.unbind, listed=True),
        Case("aten::cat", ([f(2, 3), f(2, 1), f(2, 4)], -1), torch.cat),
        Case("aten::cat", ([s8(1, 3), s8(4, 3)], 0), torch.cat),
        Case("aten::cat", ([f(0), f(2, 3)], 1), torch.cat),
        Case("aten::stack", ([f(2, 3), f(2, 3)], 1), torch.stack),
        Case("aten::constant_pad_nd", (f(2, 3), [1, 2, 0, 3], 0.5), torch.constant_pad_nd),
        Case("aten::constant_pad_nd", (i64(0, 9, 2, 3), [0, 2], -1), torch.constant_pad_nd),
    ]


KINDS = (np.float32, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)


def _makes() -> list[Case]:
    cases = [
        Case("aten::full", ([2, 3], float("-inf")), lambda *_: torch.full((2, 3), float("-inf"))),
        Case("aten::full", ([5], 7), lambda *_: torch.full((5,), 7)),
        Case("aten::full", ([5], True), lambda *_: torch.full((5,), True)),
        Case("aten::full", ([5], 1e300), lambda *_: torch.full((5,), float("inf"))),
        Case("aten::full_like", (s8(3), -3, None), lambda x, *_: torch.full_like(x, -3)),
        Case("aten::zeros", ([4],), lambda _: torch.zeros(4)),
        Case("aten::ones_like", (f(3, 2), None), lambda x, _: torch.ones_like(x)),
        Case("aten::fill", (f(3), 2.5), lambda x, v: torch.full_like(x, v)),
        Case("aten::scalar_tensor", (-1.5,), torch.scalar_tensor),
        Case("aten::arange", (5,), torch.arange),
        Case("aten::arange", (2, 9, 3), torch.arange),
        Case("aten::arange", (0.5, 2, 0.5), torch.arange),
        Case("aten::copy", (f(3, 4), f(4), False), lambda x, y, _: torch.broadcast_to(y, x.shape)),
        Case("aten::copy", (f(3), i64(-9, 9, 3), False), lambda x, y, _: y.to(x.dtype)),
        Case("aten::copy_", (f(3, 4), f(3, 1), False), lambda x, y, _: y.expand(3, 4), in_place=True),
        Case("aten::_to_copy", (f(3, 4), False, None), lambda x, *_: x),
        Case(
            "dim_order_ops::_to_dim_order_copy",
            ((np.array([0, 0.1, 60000], np.float16), ARENA), False, [0]),
            lambda x, *_: x.float(),
        ),
    ]
    for source in KINDS:
        # Within int8, where every conversion is defined.
        values = RNG.integers(0 if source is np.uint8 else -99, 100, 9).astype(source), ARENA
        if source is np.float32:
            values = (values[0] + np.float32(0.75), ARENA)
        for target in KINDS:
            if target is np.uint8 and source not in (np.uint8, np.bool_):
                values = np.abs(values[0]), ARENA
            kind = torch.from_numpy(np.zeros(1, target)).dtype
            cases.append(Case("aten::_to_copy", (values, False, None), lambda x, *_, kind=kind: x.to(kind)))
    return cases


def _indexed() -> list[Case]:
    return [
        Case(
            "aten::embedding",
            (f(9, 5, space=MODEL), i64(0, 9, 2, 3), -1, False, False),
            lambda w, i, *_: w[i],
        ),
        Case("aten::embedding", (s8(9, 5), i64(0, 9, 4), -1, False, False), lambda w, i, *_: w[i]),
        Case("aten::index_select", (f(3, 7, 2), 1, i64(0, 7, 5)), torch.index_select),
        Case("aten::index", (f(3, 7, 2), [None, i64(-7, 7, 2, 2)]), lambda x, i: x[:, i[1]]),
        Case("aten::index", (b(7), [i64(0, 7, 3)]), lambda x, i: x[i[0]]),
        Case(
            "aten::index_put",
            (f(1, 2, 6, 4), [None, None, (np.array([3]), ARENA)], f(1, 2, 1, 4), False),
            lambda x, i, v, _: x.index_copy(2, i[2], v),
        ),
        Case(
            "aten::index_put_",
            (f(6, 4), [(np.array([5, -5]), ARENA)], f(2, 4), False),
            lambda x, i, v, _: x.index_put(i, v),
            in_place=True,
        ),
        Case("aten::index_copy", (s8(2, 6), 1, (np.array([4, 0]), ARENA), s8(2, 2)), torch.index_copy),
        Case(
            "aten::index_copy_",
            (f(1, 2, 6, 4), 2, (np.array([3]), ARENA), f(1, 2, 1, 4)),
            torch.index_copy,
            in_place=True,
        ),
        Case("aten::gather", (f(2, 5, 3), 1, i64(0, 5, 2, 4, 3), False), lambda x, d, i, _: x.gather(d, i)),
        Case("aten::gather", (i64(0, 99, 5), -1, i64(0, 5, 7), False), lambda x, d, i, _: x.gather(d, i)),
        Case("aten::scatter", (f(2, 5, 3), 1, i64(0, 5, 2, 2, 3), 1.5), torch.scatter),
        Case("aten::scatter", (i64(0, 9, 5), 0, i64(0, 5, 2), -3), torch.scatter),
    ]


CASES = named([*_moves(), *_makes(), *_indexed()])
test_is_pytorch, test_corrupt_arguments_do_no_harm, test_sharing_memory = trials_of(
    CASES, corrupted=[name for name in CASES if "_to_copy" not in name]
)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("aten::view_copy", (f(2, 6), [12])),
        ("aten::unsqueeze_copy", (f(2, 6), 0)),
        ("aten::clone", (f(6), None)),
    ],
)
def test_a_view_in_place_is_nothing(operator: str, arguments: tuple[Any, ...]) -> None:
    x = Machine().place(*arguments[0])
    assert emit(instruction(operator, x, *arguments[1:], x)) == []


def test_permuting_axes_of_one_is_a_plain_copy() -> None:
    machine = Machine()
    x, out = (
        machine.place(np.zeros((1, 1, 4, 8), np.float32)),
        machine.place(np.zeros((1, 4, 1, 8), np.float32)),
    )
    (call,) = emit(instruction("aten::permute_copy", x, [0, 2, 1, 3], out))
    assert call.function == "mcu_copy"


def test_a_cache_update_in_place_copies_only_its_row() -> None:
    machine = Machine()
    cache, row = (
        machine.place(np.zeros((1, 2, 6, 4), np.float32)),
        machine.place(np.zeros((1, 2, 1, 4), np.float32)),
    )
    position = machine.place(np.array([3]))
    calls = emit(instruction("aten::index_put", cache, [None, None, position], row, False, cache))
    assert [call.function for call in calls] == ["mcu_put_rows"]


@pytest.mark.parametrize("bad", [-7, 7, 2**31, 2**32 + 1, -(2**63), 2**63 - 1])
def test_indices_out_of_range_do_no_harm(kernel_library: ctypes.CDLL, bad: int) -> None:
    """Reading gives zeros, writing leaves the row away."""
    x, row = normal(np.random.default_rng(0), 2, 6), np.ones((2, 1), np.float32)
    index = np.array([bad])
    for operator, arguments in (
        ("aten::index_select", (x, 1, index)),
        ("aten::gather", (x, 1, np.full((2, 1), bad), False)),
    ):
        machine = Machine()
        placed = [machine.place(a) if isinstance(a, np.ndarray) else a for a in arguments]
        out = machine.place(row)
        machine.run(kernel_library, instruction(operator, *placed, out))
        assert (machine.read(out) == 0).all() and not machine.changed_outside([out])
    machine = Machine()
    target = machine.place(x)
    update = instruction("aten::index_copy_", target, 1, machine.place(index), machine.place(row))
    machine.run(kernel_library, update)
    assert not machine.changed_outside([])


def test_floats_that_no_integer_holds(kernel_library: ctypes.CDLL) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2.0**63, 127.9], np.float32)
    machine = Machine()
    given, out = machine.place(x), machine.place(np.zeros(7, np.int64))
    machine.run(kernel_library, instruction("aten::_to_copy", given, False, None, out))
    top, bottom = 2**63 - 1, -(2**63)
    assert machine.read(out).tolist() == [0, top, bottom, top, bottom, top, 127]


@pytest.mark.parametrize(
    ("operator", "arguments", "out"),
    [
        ("aten::slice_copy", (f(4), 0, 0, 4, 0), f(4)),
        ("aten::select_copy", (f(4), 0, 4), f()),
        ("aten::permute_copy", (f(2, 3), [0, 0]), f(2, 2)),
        ("aten::cat", ([f(2, 3), f(3, 3)], 1), f(2, 6)),
        ("aten::cat", ([f(2, 3), s8(2, 3)], 1), f(2, 6)),
        ("aten::expand_copy", (f(3), [2], False), f(2)),
        ("aten::constant_pad_nd", (f(3), [-1, 0], 0), f(2)),
        ("aten::index_put", (f(4), [i64(0, 4, 2)], f(2), True), f(4)),
        ("aten::index", (f(4, 4), [i64(0, 4, 2), i64(0, 4, 2)]), f(2)),
        ("aten::arange", (5000,), (np.arange(5000), ARENA)),
        ("aten::full", ([2], 300), s8(2)),
        ("aten::full", ([2], float("nan")), i64(0, 2, 2)),
        ("aten::_to_copy", (f(3), False, None), (np.zeros(3, np.float16), ARENA)),
    ],
)
def test_refused(operator: str, arguments: tuple[Any, ...], out: Any) -> None:
    case = Case(operator, arguments, lambda *_: torch.from_numpy(out[0]))
    placed, _ = place(case, [out[0]], Machine())
    with pytest.raises(UnsupportedOperatorError):
        emit(instruction(operator, *placed))
