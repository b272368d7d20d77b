"""The constants of a .pte that the firmware reads, one by one: where each lies in the file, and how hot it is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from mcu_sdk.planning.instruction import Instruction, KernelCall, Pointer, Space, Tensor
from mcu_sdk.planning.operands import touched
from mcu_sdk.planning.pieces import Constant
from mcu_sdk.planning.plan import Plan


def constants_of(plan: Plan) -> tuple[Constant, ...]:
    """What kernels and the model's outputs point at inside of the .pte, in the order of the file.

    Tensors that share bytes are one constant. What the emitters have turned into tables of their own is not in it.
    """
    found: list[tuple[int, int, str]] = []
    for planned in plan.all_calls:
        found += [(t.offset, t.offset + max(t.nbytes, 1), planned.name) for t in _pointed_at(planned.call)]
    found += [
        (tensor.offset, tensor.offset + max(tensor.nbytes, 1), "output")
        for method in (plan, *plan.beside)
        for tensor in (*method.inputs, *method.outputs)
        if tensor.space is Space.MODEL
    ]
    begins: list[int] = []
    ends: list[int] = []
    names: list[str] = []
    order = sorted(range(len(found)), key=lambda index: (found[index][0], index))
    for begin, end, name in (found[index] for index in order):
        if begins and begin < ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            begins.append(begin)
            ends.append(end)
            names.append(name)
    traffic = [0] * len(begins)
    for tensor, amount in model_reads(plan):
        index = bisect_right(begins, tensor.offset) - 1
        if index >= 0 and tensor.offset < ends[index]:
            traffic[index] += amount
    return tuple(
        Constant(name, begin, end - begin, amount)
        for name, begin, end, amount in zip(names, begins, ends, traffic, strict=True)
    )


def instructions_of(plan: Plan) -> Iterable[Instruction]:
    """Each instruction once, though several calls may come from it."""
    return {planned.instruction.index: planned.instruction for planned in plan.calls}.values()


def model_reads(plan: Plan) -> Iterator[tuple[Tensor, int]]:
    """The tensors inside of the .pte that a step's instructions read, with the bytes that each reads."""
    for instruction in instructions_of(plan):
        yield from ((t, amount) for t, amount in touched(instruction) if t.space is Space.MODEL)


def _pointed_at(call: KernelCall) -> Iterator[Tensor]:
    for argument in call.arguments:
        tensor = argument.tensor if isinstance(argument, Pointer) else argument
        if isinstance(tensor, Tensor) and tensor.space is Space.MODEL:
            yield tensor
