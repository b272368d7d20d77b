"""Tables of operators with arguments and references, and what is tried on each of them."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.planning.instruction import Space, Tensor
from mcu_sdk.planning.registry import emit
from tests.kernels.call import assert_same_bits
from tests.kernels.instructions import Machine, instruction
from tests.kernels.test_emitters import _corruptions, _in_child, _replaced, _shortened

ARENA, MODEL = Space.ARENA, Space.MODEL
Placed = tuple[np.ndarray[Any, Any], Space]


@dataclass(frozen=True)
class Case:
    """An operator's arguments, arrays with the space they lie in or plain values, and what it is to give.

    `reference` takes the arguments as torch tensors and values. `tolerance` is absolute and relative; 0 asks for
    equal bits. `in_place` says that argument 0 is written, and that there is no out tensor. `listed`: the outputs
    are one list.
    """

    operator: str
    arguments: tuple[Any, ...]
    reference: Callable[..., Any]
    tolerance: float = 0.0
    in_place: bool = False
    listed: bool = False

    def expected(self) -> list[np.ndarray[Any, Any]]:
        """What the reference gives, contiguous."""
        result = self.reference(*_map(self.arguments, lambda a: torch.from_numpy(a[0].copy())))
        values = result if isinstance(result, (tuple, list)) else (result,)
        return [np.asarray(value.contiguous().numpy()) for value in values]


def _map(value: Any, convert: Callable[[Placed], Any]) -> Any:
    """The same structure with each placed array converted."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], np.ndarray):
        return convert(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_map(item, convert) for item in value)
    return value


def named(cases: Sequence[Case]) -> dict[str, Case]:
    return {f"{number}-{case.operator.partition('::')[2]}": case for number, case in enumerate(cases)}


def place(case: Case, expected: Sequence[Any], machine: Machine) -> tuple[list[Any], list[Tensor]]:
    """(arguments, out tensors) with memory in a machine."""
    arguments = list(_map(case.arguments, lambda a: machine.place(*a)))
    if case.in_place:
        return arguments, [arguments[0]]
    outs = [machine.place(np.zeros_like(value), ARENA) for value in expected]
    return [*arguments, outs] if case.listed else [*arguments, *outs], outs


def check(library: ctypes.CDLL, case: Case) -> None:
    """The instruction gives what the reference does and touches nothing else."""
    expected, machine = case.expected(), Machine()
    arguments, outs = place(case, expected, machine)
    machine.run(library, instruction(case.operator, *arguments))
    assert not machine.changed_outside(outs)
    for out, value in zip(outs, expected, strict=True):
        found = machine.read(out)
        assert found.shape == value.shape
        if case.tolerance:
            np.testing.assert_allclose(found, value, rtol=case.tolerance, atol=case.tolerance)
        else:
            assert_same_bits(found, value)


def check_corrupt(library: ctypes.CDLL, case: Case, seed: str, capfd: Any, attempts: int = 60) -> None:
    """With something wrong about its arguments: refused, or computed without touching a byte that is not theirs."""
    expected, rng = case.expected(), random.Random(seed)

    def attempt(machine: Machine, arguments: list[Any]) -> None:
        written = arguments[:1] if case.in_place else arguments[len(case.arguments) :]
        if case.listed and written and isinstance(written[0], list):
            written = written[0]
        try:
            machine.run(library, instruction(case.operator, *arguments))
        except UnsupportedOperatorError:
            return
        may = [tensor for tensor in written if isinstance(tensor, Tensor) and not tensor.is_constant]
        assert not machine.changed_outside(may), arguments

    def work() -> None:
        machine = Machine()
        arguments, _ = place(case, expected, machine)
        for wrong in _shortened(arguments):
            attempt(machine, wrong)
        for _ in range(attempts):
            attempt(machine, _corruptions(arguments, rng))

    status = _in_child(work)
    captured = capfd.readouterr()
    assert status == 0, f"wait status {status}\n{captured.out}{captured.err}"


def check_sharing(library: ctypes.CDLL, case: Case) -> None:
    """An output that lies where an input does: refused, or right all the same. Constants: refused."""
    expected = case.expected()
    arguments, outs = place(case, expected, Machine())
    if case.listed or case.in_place:
        return
    for at in range(len(arguments) - len(outs), len(arguments)):
        out = arguments[at]
        constant = replace(out, space=MODEL, offset=1 << 20, data=bytes(out.nbytes))
        if out.nbytes:
            with pytest.raises(UnsupportedOperatorError, match="constant"):
                emit(instruction(case.operator, *_replaced(arguments, at, constant)))
        for value in [a for a in arguments[: len(arguments) - len(outs)] if isinstance(a, Tensor)]:
            if value.is_constant or out.nbytes > value.nbytes:
                continue
            machine = Machine()
            again, _ = place(case, expected, machine)
            shared = replace(out, space=value.space, offset=value.offset)
            try:
                machine.run(library, instruction(case.operator, *_replaced(again, at, shared)))
            except UnsupportedOperatorError:
                continue
            wanted = expected[at - (len(arguments) - len(outs))]
            np.testing.assert_allclose(machine.read(shared), wanted, rtol=case.tolerance, atol=case.tolerance)


Test = Callable[..., None]


def trials_of(
    cases: Mapping[str, Case], *, corrupted: Sequence[str] | None = None, attempts: int = 60
) -> tuple[Test, Test, Test]:
    """What is tried on each case of a table, for a test file to name: `check`, `check_corrupt` and `check_sharing`.

    `corrupted`: the cases of the second one (None: all).
    """

    @pytest.mark.parametrize("name", cases)
    def right(kernel_library: ctypes.CDLL, name: str) -> None:
        check(kernel_library, cases[name])

    @pytest.mark.parametrize("name", cases if corrupted is None else corrupted)
    def corrupt(kernel_library: ctypes.CDLL, name: str, capfd: Any) -> None:
        check_corrupt(kernel_library, cases[name], name, capfd, attempts)

    @pytest.mark.parametrize("name", cases)
    def sharing(kernel_library: ctypes.CDLL, name: str) -> None:
        check_sharing(kernel_library, cases[name])

    return right, corrupt, sharing
