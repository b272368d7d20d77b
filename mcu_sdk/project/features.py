"""Rows of numbers as a model's inputs: one step a row."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import UsageError
from mcu_sdk.project.rows import Row, is_header, numbers_of
from mcu_sdk.project.tensors import Border, Inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray


def inputs_of(rows: Sequence[Row], borders: Sequence[Border], path: Path) -> tuple[list[Row], Inputs]:
    """The rows without a line of names at their head, and the steps. A row has the elements of all inputs, one input
    behind the other, each in the order of its shape.

    An int8, uint8 or int16 input whose scale is known takes real numbers, which are quantized. Raises UsageError for rows of
    another length, what is no finite number, and what an input cannot hold.
    """
    kept = list(rows[1:] if is_header(rows[0]) else rows)
    sizes = [prod(border.shape) for border in borders]
    found = len(rows[0].cells)
    if found != sum(sizes):
        told = ", ".join(f"{border.name} {border}" for border in borders)
        raise UsageError(
            f"The model reads {sum(sizes):,} numbers a row ({told}); the rows of {str(path)!r} have {found:,}.",
            hint="Give a column for each number, and no other ones.",
        )
    if not kept:
        raise UsageError(
            f"{str(path)!r} has no rows behind its line of names.", hint="Write a row for each step."
        )
    steps = []
    for row in kept:
        numbers, arrays, at = numbers_of(row, path), [], 0
        for border, size in zip(borders, sizes, strict=True):
            where = f"{str(path)!r}, line {row.line}"
            arrays.append(_array(numbers[at : at + size], border, where))
            at += size
        steps.append(tuple(arrays))
    return kept, Inputs(tuple(steps), stacked=True)


def _array(numbers: Sequence[float], border: Border, where: str) -> NDArray[Any]:
    import numpy as np

    values, wanted = np.array(numbers, np.float64), np.dtype(border.dtype)
    if border.dtype in ("int8", "uint8", "int16") and border.scale is not None:
        scale, zero_point = border.scale
        limits = np.iinfo(wanted)
        values = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    with np.errstate(over="ignore", invalid="ignore"):
        array = values.astype(wanted)
    same = (
        np.isfinite(array).all() if wanted.kind == "f" else np.array_equal(array.astype(np.float64), values)
    )
    if not same:
        wrong = next(value for value, kept in zip(values, array, strict=True) if float(kept) != value)
        raise UsageError(
            f"{where}: the input {border.name} is {border}, which cannot hold {wrong:g}.",
            hint="Look at what the model's numbers mean.",
        )
    return array.reshape(border.shape)
