"""Tables of sizes and strides for operands that broadcast, with neighbouring axes joined where that is possible."""

from __future__ import annotations

from mcu_sdk.planning.instruction import ConstantArray, Instruction
from mcu_sdk.planning.registry import unsupported

MOST_AXES = 6
"""As in firmware/kernels/elementwise/broadcast.h."""


def strides_of(instruction: Instruction, operand: tuple[int, ...], out: tuple[int, ...]) -> list[int]:
    """Strides, in elements, that walk a contiguous operand over the output's shape: 0 where it repeats."""
    if len(operand) > len(out):
        unsupported(instruction, f"{list(operand)} does not broadcast to {list(out)}")
    padded = (1,) * (len(out) - len(operand)) + operand
    strides, step = [0] * len(out), 1
    for axis in range(len(out) - 1, -1, -1):
        if padded[axis] not in (1, out[axis]):
            unsupported(instruction, f"{list(operand)} does not broadcast to {list(out)}")
        strides[axis] = step if padded[axis] != 1 else 0
        step *= padded[axis]
    return strides


def broadcast_shapes(
    instruction: Instruction, out: tuple[int, ...], *operands: tuple[int, ...]
) -> tuple[ConstantArray, int]:
    """(sizes, then strides of each operand; number of axes) for a contiguous output.

    Raises UnsupportedOperatorError when a shape does not broadcast, or more than MOST_AXES axes remain.
    """
    shape = list(out) or [1]
    strides = [strides_of(instruction, operand, out) or [0] for operand in operands]
    axes = [axis for axis in range(len(shape)) if shape[axis] != 1] or [0]
    sizes = [shape[axis] for axis in axes]
    walks = [[walk[axis] for axis in axes] for walk in strides]
    axis = len(sizes) - 2
    while axis >= 0:
        if all(walk[axis] == walk[axis + 1] * sizes[axis + 1] for walk in walks):
            sizes[axis] *= sizes[axis + 1]
            del sizes[axis + 1]
            for walk in walks:
                del walk[axis]
        axis -= 1
    if len(sizes) > MOST_AXES:
        unsupported(instruction, f"more than {MOST_AXES} axes remain after joining")
    table = [*sizes, *(stride for walk in walks for stride in walk)]
    return ConstantArray("int32_t", tuple(table)), len(sizes)
