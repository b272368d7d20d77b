"""Instructions of mcu:: operators, and of those that only move data: emitted and called, they are their references;
wrong ones are refused and never reach outside their memory."""

from __future__ import annotations

import ctypes
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.operators import reference as ops  # noqa: F401 (registers the operators)
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor
from mcu_sdk.planning.registry import emit
from tests.kernels.call import assert_same_bits, int8, normal
from tests.kernels.examples import ARENA, MODEL, Case, own_examples
from tests.kernels.instructions import Machine, instruction


def _quantized(x: torch.Tensor, scale: float, zero_point: int, low: int, high: int, _: int) -> torch.Tensor:
    inverse = torch.tensor(np.float32(1) / np.float32(scale))
    return (torch.round(x * inverse) + zero_point).clamp(low, high).to(torch.int8)


def _dequantized(q: torch.Tensor, scale: float, zero_point: int, *_: Any) -> torch.Tensor:
    return (q.to(torch.int32) - zero_point).float() * torch.tensor(np.float32(scale))


def _others() -> list[Case]:
    """Operators of ExecuTorch and ATen that move data, look rows up or quantize."""
    rng = np.random.default_rng(0)
    k = 19

    def f(*shape: int, space: Space = ARENA) -> tuple[Any, Space]:
        return normal(rng, *shape), space

    def q(*shape: int) -> tuple[Any, Space]:
        return int8(rng, *shape), ARENA

    def i(low: int, high: int, *shape: int) -> tuple[Any, Space]:
        return rng.integers(low, high, shape), ARENA

    return [
        Case("aten::clone", (f(2, k), None), lambda x, _: x),
        Case("aten::view_copy", (q(2, 6), [3, 4]), lambda x, _: x.reshape(3, 4)),
        Case("dim_order_ops::_clone_dim_order", (i(0, 9, 2, 3), False, [0, 1]), lambda x, *_: x),
        Case("executorch_prim::et_view", (f(2, 6), [12]), lambda x, _: x.reshape(12)),
        Case(
            "aten::embedding",
            (f(9, k, space=MODEL), i(0, 9, 1, 2), -1, False, False),
            lambda weight, ids, *_: weight[ids],
        ),
        Case("cortex_m::quantize_per_tensor", (f(3, k), 0.011, 5, -127, 100, 1), _quantized),
        Case("cortex_m::dequantize_per_tensor", (q(3, k), 0.013, 5, -128, 127, 1), _dequantized),
        Case(
            "quantized_decomposed::dequantize_per_tensor", (q(k), 3.0, -8, -128, 127, 1, None), _dequantized
        ),
    ]


CASES = {
    f"{number}-{case.operator.partition('::')[2]}": case
    for number, case in enumerate([*own_examples(), *_others()])
}


def _example(operator: str) -> Case:
    return next(case for case in CASES.values() if case.operator == operator)


def _own(operator: str) -> Callable[..., Any]:
    """The reference of an operator of ours."""
    overload: Callable[..., Any] = getattr(torch.ops.mcu, operator.removeprefix("mcu::")).default
    return overload


def _expected(case: Case) -> list[Any]:
    """What the operator's reference returns, as arrays."""
    values = [torch.from_numpy(a[0].copy()) if isinstance(a, tuple) else a for a in case.arguments]
    result = (case.reference or _own(case.operator))(*values)
    return [r.numpy() for r in (result if isinstance(result, tuple) else (result,))]


def _placed(
    case: Case, expected: list[Any], machine: Machine, shuffle: random.Random | None = None
) -> tuple[list[Any], list[Tensor]]:
    """(arguments, out tensors among them), in memory in their order or in any."""
    outs = [] if case.in_place else [(np.zeros_like(e), ARENA) for e in expected]
    arguments: list[Any] = [*case.arguments, *outs]
    order = [index for index, argument in enumerate(arguments) if isinstance(argument, tuple)]
    if shuffle:
        shuffle.shuffle(order)
    for index in order:
        arguments[index] = machine.place(*arguments[index])
    return arguments, [arguments[0]] if case.in_place else arguments[len(case.arguments) :]


@pytest.mark.parametrize("name", CASES)
def test_instruction_is_its_reference(kernel_library: ctypes.CDLL, name: str) -> None:
    case, machine = CASES[name], Machine()
    expected = _expected(case)
    arguments, outs = _placed(case, expected, machine)
    machine.run(kernel_library, instruction(case.operator, *arguments))
    assert not machine.changed_outside(outs)
    for out, value in zip(outs, expected, strict=True):
        if out.dtype is not DType.U8:  # scratch
            assert_same_bits(machine.read(out), value)


def test_an_update_into_its_own_cache_copies_nothing(kernel_library: ctypes.CDLL) -> None:
    case = _example("mcu::cache_write")
    arguments, _ = _placed(case, _expected(case), Machine())
    assert [call.function for call in emit(instruction("mcu::cache_write", *arguments))] == [
        "mcu_copy",
        "mcu_cache_write",
    ]
    arguments[-1] = arguments[0]
    assert [call.function for call in emit(instruction("mcu::cache_write", *arguments))] == [
        "mcu_cache_write"
    ]


# ---- wrong instructions


def _replaced(arguments: Sequence[Any], index: int, value: Any) -> list[Any]:
    return [value if position == index else argument for position, argument in enumerate(arguments)]


def _corruptions(arguments: list[Any], rng: random.Random) -> list[Any]:
    """The arguments with one thing wrong."""
    index = rng.randrange(len(arguments))
    value = arguments[index]
    if rng.random() < 0.1:
        return arguments[:index] if rng.random() < 0.5 else [*arguments, value]
    if isinstance(value, Tensor) and rng.random() < 0.85:
        return _replaced(arguments, index, _corrupt_tensor(value, arguments, rng))
    other = rng.choice(arguments)
    junk = rng.choice(
        [None, True, "x", [], [1], 0, -1, 1 << 40, 2**31, 1e300, float("nan"), float("inf"), other]
    )
    return _replaced(arguments, index, junk)


def _corrupt_tensor(value: Tensor, arguments: list[Any], rng: random.Random) -> Tensor:
    """A tensor that still lies within its memory, which is all that the reader of the file promises."""
    shape = list(value.shape)
    kind = rng.randrange(6)
    if kind == 0 and shape:
        axis = rng.randrange(len(shape))
        shape[axis] = rng.choice([0, 1, max(shape[axis] - 1, 0), shape[axis]])
        return replace(value, shape=tuple(shape))
    if kind == 1:
        return replace(
            value, shape=rng.choice([(), (0,), (value.elements,), (1, *shape), tuple(reversed(shape))])
        )
    if kind == 2:
        fitting = [d for d in DType if d.size <= value.dtype.size]
        return replace(value, dtype=rng.choice(fitting))
    if kind == 3 and len(shape) > 1:
        return replace(value, dim_order=tuple(reversed(range(len(shape)))))
    if kind == 4:
        others = [t for t in arguments if isinstance(t, Tensor) and t.nbytes >= value.nbytes]
        other = rng.choice(others)
        return replace(value, space=other.space, offset=other.offset, data=None)
    return rng.choice([t for t in arguments if isinstance(t, Tensor)])


def _in_child(work: Callable[[], None]) -> int:
    """Run in a fork: memory that must not be touched would end the test run. Returns the wait status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitpid(child, 0)[1]


def _shortened(arguments: list[Any]) -> Iterator[list[Any]]:
    """Every tensor shorter by one along every axis, empty, or flat."""
    for index, value in enumerate(arguments):
        if isinstance(value, Tensor):
            for axis, length in enumerate(value.shape):
                for shorter in {length - 1, 0}:
                    shape = (*value.shape[:axis], shorter, *value.shape[axis + 1 :])
                    yield _replaced(arguments, index, replace(value, shape=shape))
            yield _replaced(arguments, index, replace(value, shape=(value.elements,)))
            yield _replaced(arguments, index, replace(value, shape=()))


@pytest.mark.parametrize("name", CASES)
def test_corrupt_instructions_do_no_harm(kernel_library: ctypes.CDLL, name: str, capfd: Any) -> None:
    """Refused, or computed without touching a byte that is not theirs."""
    case = CASES[name]
    expected, rng = _expected(case), random.Random(name)

    def attempt(machine: Machine, arguments: list[Any]) -> bool:
        wrong = instruction(case.operator, *arguments)
        try:
            machine.run(kernel_library, wrong)
        except UnsupportedOperatorError:
            return False
        assert not machine.changed_outside(_may_write(wrong, case)), wrong
        return True

    def work() -> None:
        machine = Machine()
        arguments, _ = _placed(case, expected, machine)
        for wrong in _shortened(arguments):
            attempt(machine, wrong)
        ran = [attempt(machine, _corruptions(arguments, rng)) for _ in range(150)]
        assert sum(ran) < 120, ran

    status = _in_child(work)
    captured = capfd.readouterr()
    assert status == 0, f"wait status {status}\n{captured.out}{captured.err}"


@pytest.mark.parametrize("name", CASES)
def test_outputs_that_share_memory_are_refused_or_right(kernel_library: ctypes.CDLL, name: str) -> None:
    """In part with anything: refused. Exactly an input: refused, or the result is the reference's all the same."""
    case = CASES[name]
    expected = _expected(case)
    arguments, outs = _placed(case, expected, Machine())
    inputs = [a for a in arguments if isinstance(a, Tensor) and a not in outs]
    for out in outs:
        at = arguments.index(out)
        for value in inputs:
            exactly = replace(out, space=value.space, offset=value.offset)
            for shift in (out.dtype.size, -out.dtype.size):
                beside = replace(exactly, offset=value.offset + 16 + shift)
                moved = [replace(a, offset=a.offset + 16) if a is value else a for a in arguments]
                if beside.overlaps(moved[arguments.index(value)]):
                    with pytest.raises(UnsupportedOperatorError):
                        emit(instruction(case.operator, *_replaced(moved, at, beside)))
            machine = Machine()
            arguments, _ = _placed(case, expected, machine)
            try:
                machine.run(kernel_library, instruction(case.operator, *_replaced(arguments, at, exactly)))
            except UnsupportedOperatorError:
                continue
            assert not case.in_place
            assert_same_bits(machine.read(exactly), expected[at - len(case.arguments)])


@pytest.mark.parametrize("name", CASES)
def test_a_constant_is_never_written(name: str) -> None:
    case = CASES[name]
    arguments, outs = _placed(case, _expected(case), Machine())
    for out in outs:
        constant = replace(out, space=MODEL, offset=1 << 20, data=bytes(out.nbytes))
        with pytest.raises(UnsupportedOperatorError, match="constant"):
            emit(instruction(case.operator, *_replaced(arguments, arguments.index(out), constant)))


def _may_write(wrong: Instruction, case: Case) -> list[Tensor]:
    outs = wrong.arguments[:1] if case.in_place else wrong.arguments[len(case.arguments) :]
    return [argument for argument in outs if isinstance(argument, Tensor) and not argument.is_constant]


def _takes_integers(case: Case) -> bool:
    """Positions or ids."""
    return any(isinstance(a, tuple) and a[0].dtype == np.int64 for a in case.arguments)


LOOKUPS = sorted({c.operator for c in own_examples() if _takes_integers(c)} | {"aten::embedding"})


@pytest.mark.parametrize("operator", LOOKUPS)
def test_positions_and_ids_out_of_range_do_no_harm(kernel_library: ctypes.CDLL, operator: str) -> None:
    """Data that is only known at run time."""
    case = _example(operator)
    expected = _expected(case)

    def work() -> None:
        for bad in (-1, 7, 8, 100, 2**31, 2**32 + 1, -(2**31), -(2**63), 2**63 - 1):
            arguments = tuple(
                (np.full_like(a[0], bad), a[1]) if isinstance(a, tuple) and a[0].dtype == np.int64 else a
                for a in case.arguments
            )
            machine = Machine()
            placed, outs = _placed(replace(case, arguments=arguments), expected, machine)
            machine.run(kernel_library, instruction(case.operator, *placed))
            assert not machine.changed_outside(outs)
            if case.in_place:
                assert not machine.changed_outside([]), bad

    assert _in_child(work) == 0
