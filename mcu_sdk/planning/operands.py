"""The tensors among an instruction's arguments, and how many bytes of each one execution reads or writes."""

from __future__ import annotations

from collections.abc import Iterable

from mcu_sdk.operators.layouts import ROWS
from mcu_sdk.operators.table import Operator
from mcu_sdk.planning.instruction import Instruction, Tensor, Value

PACKED_AXES = 4
"""Of a packed matrix: groups, blocks, and the rows and columns of a block."""


def tensors_in(values: Iterable[Value]) -> list[Tensor]:
    """The tensors among values, those in lists too, in order."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list):
            found += tensors_in(value)
    return found


def touched(instruction: Instruction) -> list[tuple[Tensor, int]]:
    """Each tensor among the arguments with the bytes that are read or written of it.

    All of it, unless the operator's row says that an index selects what, or that it is read at each step; a result that
    lies where the first argument does counts there.
    """
    row = instruction.row
    if row is None:
        return [(tensor, tensor.nbytes) for tensor in tensors_in(instruction.arguments)]
    found: list[tuple[Tensor, int]] = []
    names = row.argument_names
    for position, argument in enumerate(instruction.arguments):
        name = names[position] if position < len(names) else ""
        found += [(tensor, _touched_of(instruction, row, name, tensor)) for tensor in tensors_in([argument])]
    return found


def _touched_of(instruction: Instruction, row: Operator, name: str, tensor: Tensor) -> int:
    first = instruction.arguments[0]
    if not name and row.in_place and isinstance(first, Tensor) and tensor.same_memory(first):
        return 0
    if name in row.every_step and isinstance(first, Tensor) and len(first.shape) > 1:
        return tensor.nbytes * first.shape[1]
    if name not in row.one_of or tensor.nbytes == 0:
        return tensor.nbytes
    index = instruction.arguments[row.position(row.index)]
    count = index.elements if isinstance(index, Tensor) else 1
    length = tensor.shape[row.one_of[name]]
    if name == row.weight and row.layout != "rows" and row.one_of[name] == len(tensor.shape) - PACKED_AXES:
        length *= ROWS
    return min(tensor.nbytes, tensor.nbytes // length * count)
