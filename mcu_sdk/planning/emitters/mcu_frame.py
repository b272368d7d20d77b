"""Emitter of the `mcu::` operator that makes an image of a camera's frame."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mcu_sdk.planning.emitters.checks import (
    apart,
    boolean,
    call,
    constant_integers,
    integer,
    out_tensor,
    shape_is,
    tensor,
)
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Parameters, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S32, F32, S8, U8 = DType.S32, DType.F32, DType.S8, DType.U8

LARGEST_SUM = (1 << 31) - 1 - (1 << 21)
"""Of 255 times the weights' magnitudes: an int32, half of the last place apart."""


@emits("mcu::resize_frame")
def resize_frame(instruction: Instruction) -> Sequence[KernelCall]:
    """(frame, column spans, column weights, row spans, row weights, table, ring, rows first, out, scratch)."""
    frame, table = tensor(instruction, 0, U8), tensor(instruction, 5, F32, S8)
    tables = [tensor(instruction, index, S32) for index in (1, 2, 3, 4)]
    out, scratch = out_tensor(instruction, 8, table.dtype), out_tensor(instruction, 9, U8)
    if len(frame.shape) != 4 or frame.shape[0] != 1:
        unsupported(instruction, f"a frame [1, H, W, C] is wanted, not {list(frame.shape)}")
    _, height, width, channels = frame.shape
    columns = _check_axis(instruction, tables[0], tables[1], width)
    rows = _check_axis(instruction, tables[2], tables[3], height)
    if any(a > b for side in zip(*rows, strict=True) for a, b in pairwise(side)):
        unsupported(instruction, "a row begins or ends before the one before it")
    ring, rows_first = integer(instruction, 6), boolean(instruction, 7)
    if not max(1, *(end - begin for begin, end in rows)) <= ring <= height:
        unsupported(
            instruction,
            f"its ring of {ring} rows is shorter than those that it sums, or longer than the frame",
        )
    shape_is(instruction, table, "the table", channels, 256)
    shape_is(instruction, out, "the output", 1, len(rows), len(columns), channels)
    held = width if rows_first else ring * len(columns)
    shape_is(instruction, scratch, "the scratch", (held + len(columns)) * channels)
    apart(instruction, out, frame, *tables, table, scratch)
    apart(instruction, scratch, frame, *tables, table)
    sizes = Parameters(
        "McuResizeFrame",
        (
            ("width", width),
            ("channels", channels),
            ("columns", len(columns)),
            ("rows", len(rows)),
            ("ring", ring),
            ("rows_first", int(rows_first)),
        ),
    )
    name = "resize_frame_f32" if table.dtype is F32 else "resize_frame_s8"
    return call(name, frame, *tables, table, out, scratch, sizes)


def _check_axis(
    instruction: Instruction, spans: Tensor, weights: Tensor, length: int
) -> list[tuple[int, int]]:
    """(begin, end) of each span, within `length`. What indexes has to be known."""
    if len(spans.shape) != 2 or spans.shape[1] != 2 or spans.shape[0] < 1:
        unsupported(instruction, "pairs of a beginning and a number are wanted for its columns and rows")
    what = "its columns, rows and weights"
    values, parts = (constant_integers(instruction, table, what) for table in (spans, weights))
    found, at = [], 0
    for begin, count in zip(values[::2], values[1::2], strict=True):
        if begin < 0 or count < 0 or begin + count > length:
            unsupported(instruction, f"{count} lines from {begin} on do not lie within {length}")
        if 255 * sum(abs(part) for part in parts[at : at + count]) > LARGEST_SUM:
            unsupported(instruction, "its weights add up to more than an int32 holds")
        found.append((begin, begin + count))
        at += count
    if at != len(parts):
        unsupported(instruction, f"{at} weights are wanted, {len(parts)} are there")
    return found
