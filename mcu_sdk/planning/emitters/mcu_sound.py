"""Emitters of the `mcu::` operators that make a model's input of sound."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mcu_sdk.operators.limits import LONGEST_FRAME, LONGEST_WAVE
from mcu_sdk.planning.emitters.checks import (
    apart,
    boolean,
    call,
    constant_integers,
    integer,
    number,
    optional_tensor,
    out_tensor,
    same_elements,
    shape_is,
    tensor,
)
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Parameters, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S16, S32, S64, F32, U8 = DType.S16, DType.S32, DType.S64, DType.F32, DType.U8


@emits("mcu::log_mel")
def log_mel(instruction: Instruction) -> Sequence[KernelCall]:
    """(samples, count, window, roots, filters, spans, frames, hop, centered, from mean, bins first, preemphasis, floor, gain,
    offset, reach, out, scratch)."""
    samples, count = tensor(instruction, 0, S16), optional_tensor(instruction, 1, S64)
    window, roots, filters = (tensor(instruction, i, F32) for i in (2, 3, 4))
    spans, out, scratch = (
        tensor(instruction, 5, S32),
        out_tensor(instruction, 16, F32),
        out_tensor(instruction, 17, U8),
    )
    frames, hop = integer(instruction, 6), integer(instruction, 7)
    centered, from_mean, bins_first = (boolean(instruction, i) for i in (8, 9, 10))
    width, points, length = window.elements, roots.elements // 2, samples.elements
    if len(spans.shape) != 2 or spans.shape[1] != 2 or spans.shape[0] < 1:
        unsupported(instruction, "pairs of a first power and a number of them are wanted for its bins")
    bins = spans.shape[0]
    _check_transform(instruction, roots, width, points)
    _check_frames(instruction, frames, hop, width, length, centered=centered)
    if count is not None:
        shape_is(instruction, count, "the number of samples", 1)
    shape_is(instruction, out, "the output", *((1, bins, frames) if bins_first else (1, frames, bins)))
    shape_is(instruction, scratch, "the scratch", 8 * points)
    _check_spans(instruction, spans, filters, points // 2 + 1)
    if scratch.offset % 16:
        unsupported(instruction, "its scratch is not 16-aligned")
    inputs = [value for value in (samples, count, window, roots, filters, spans) if value is not None]
    apart(instruction, out, *inputs, scratch)
    apart(instruction, scratch, *inputs)
    floor = number(instruction, 12)
    if not 1e-30 < floor < 1e30:
        unsupported(instruction, f"its floor is {floor}, not a positive number")
    front = Parameters(
        "McuLogMel",
        (
            ("length", length),
            ("width", width),
            ("points", points),
            ("bins", bins),
            ("frames", frames),
            ("hop", hop),
            ("centered", int(centered)),
            ("from_mean", int(from_mean)),
            ("bins_first", int(bins_first)),
            ("preemphasis", _finite(instruction, 11)),
            ("floor", floor),
            ("gain", _finite(instruction, 13)),
            ("offset", _finite(instruction, 14)),
            ("reach", _finite(instruction, 15)),
        ),
    )
    return call("log_mel", samples, count, window, roots, filters, spans, out, scratch, front)


def _check_transform(instruction: Instruction, roots: Tensor, width: int, points: int) -> None:
    shape_is(instruction, roots, "the table of roots", points, 2)
    left = points // 2
    for factor in (2, 5):
        while left > 1 and left % factor == 0:
            left //= factor
    if points < 2 or points % 2 or left != 1 or not 1 <= width <= min(points, LONGEST_FRAME):
        unsupported(
            instruction, f"a transform of {points} points over a window of {width} is none of its kinds"
        )


def _check_frames(
    instruction: Instruction, frames: int, hop: int, width: int, length: int, *, centered: bool
) -> None:
    """Every frame lies in the samples, or, mirrored at the ends, does not reach back over them."""
    spare = width // 2 if centered else 0
    if frames < 1 or hop < 1 or length <= spare or (frames - 1) * hop + width - spare > length + spare:
        unsupported(
            instruction, f"{frames} frames of {width} each {hop} samples do not lie in {length} samples"
        )


def _check_spans(instruction: Instruction, spans: Tensor, filters: Tensor, powers: int) -> None:
    values = constant_integers(instruction, spans, "its bins")
    pairs = list(zip(values[::2], values[1::2], strict=True))
    if any(first < 0 or n < 0 or first + n > powers for first, n in pairs):
        unsupported(instruction, f"its bins are not among {powers} powers")
    if sum(n for _, n in pairs) != filters.elements:
        unsupported(instruction, f"its bins have not {filters.elements} weights together")


def _finite(instruction: Instruction, index: int) -> float:
    value = number(instruction, index)
    if not (math.isfinite(value) and abs(value) < 1e30):
        unsupported(instruction, f"argument {index} is {value}, not a number that a float holds")
    return value


@emits("mcu::normalize_wave")
def normalize_wave(instruction: Instruction) -> Sequence[KernelCall]:
    """(samples, count, normalizes, out)."""
    samples, count = tensor(instruction, 0, S16), optional_tensor(instruction, 1, S64)
    out = out_tensor(instruction, 3, F32)
    n = same_elements(instruction, samples, out)
    if n > LONGEST_WAVE:
        unsupported(instruction, f"it has {n:,} samples where {LONGEST_WAVE:,} go")
    if count is not None:
        shape_is(instruction, count, "the number of samples", 1)
    apart(instruction, out, samples, count)
    return call("normalize_wave", samples, count, out, n, boolean(instruction, 2))
