"""Emitters of the `mcu::` operators over a whole sequence in int8: attention, norms, tables, embeddings that are added."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    integer,
    number,
    optional_tensor,
    out_tensor,
    rows_of,
    same_elements,
    same_or_apart,
    shape_is,
    tensor,
)
from mcu_sdk.planning.emitters.mcu_linear import LONGEST_SUM, zero_point_of
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Parameters, Scratch, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S8, S16, S64, F32, U8 = DType.S8, DType.S16, DType.S64, DType.F32, DType.U8


@emits("mcu::sequence_attention_s8")
def sequence_attention_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(q, k, v, padding, bias, heads, score scale, out scale, out zero point, out, scratch)."""
    q, k, v = (tensor(instruction, i, S8) for i in range(3))
    padding, bias = optional_tensor(instruction, 3, S64), optional_tensor(instruction, 4, F32)
    out, scratch = out_tensor(instruction, 9, S8), out_tensor(instruction, 10, U8)
    queries, positions, heads, groups, n = _sizes(instruction, q, k, v)
    shape_is(instruction, out, "the output", *q.shape)
    if padding is not None:
        shape_is(instruction, padding, "the padding", 1, positions)
    bias_heads, bias_rows, bias_stride = _bias_form(instruction, bias, heads, queries, positions)
    _check_scratch(instruction, scratch, positions, n)
    inputs = [value for value in (q, k, v, padding, bias) if value is not None]
    apart(instruction, out, *inputs, scratch)
    apart(instruction, scratch, *inputs)
    if max(positions, n) >= LONGEST_SUM:
        unsupported(instruction, f"{positions} positions of {n} channels can overflow a 32-bit sum")
    attention = Parameters(
        "McuSequenceAttention",
        (
            ("queries", queries),
            ("positions", positions),
            ("heads", heads),
            ("groups", groups),
            ("n", n),
            ("bias_heads", bias_heads),
            ("bias_rows", bias_rows),
            ("bias_stride", bias_stride),
            ("score_scale", _positive(instruction, 6)),
            ("out_scale", _positive(instruction, 7)),
            ("out_zero_point", zero_point_of(instruction, 8)),
        ),
    )
    return call("sequence_attention_s8", q, k, v, padding, bias, out, scratch, attention)


def _sizes(instruction: Instruction, q: Tensor, k: Tensor, v: Tensor) -> tuple[int, int, int, int, int]:
    """(queries, positions, heads, groups, n) of q[1, queries, heads * n] and k, v[1, positions, groups * n]."""
    heads = integer(instruction, 5)
    for value, what in ((q, "the queries"), (k, "the keys")):
        if len(value.shape) != 3 or value.shape[0] != 1 or min(value.shape) < 1:
            unsupported(instruction, f"{what} have to be of the shape [1, positions, heads * channels]")
    shape_is(instruction, v, "the values", *k.shape)
    if heads < 1 or q.shape[2] % heads or k.shape[2] % (q.shape[2] // heads):
        unsupported(instruction, f"{heads} heads do not divide its queries and keys")
    n = q.shape[2] // heads
    groups = k.shape[2] // n
    if heads % groups:
        unsupported(instruction, f"{groups} heads of keys do not divide {heads} heads of queries")
    return q.shape[1], k.shape[1], heads, groups, n


def _bias_form(
    instruction: Instruction, bias: Tensor | None, heads: int, queries: int, positions: int
) -> tuple[int, int, int]:
    """(heads, rows, floats for each head) of the bias; ones without it."""
    if bias is None:
        return 1, 1, 0
    by_distance = (1, queries + positions - 1)
    if len(bias.shape) != 3 or bias.shape[0] not in (1, heads):
        unsupported(
            instruction, f"its bias has the shape {list(bias.shape)}, not one of a table for each head"
        )
    if bias.shape[1:] not in ((queries, positions), by_distance):
        wanted = f"[{queries}, {positions}] or {list(by_distance)}"
        unsupported(
            instruction, f"its bias has the shape {list(bias.shape)} where {wanted} for each head is wanted"
        )
    return bias.shape[0], bias.shape[1], bias.shape[1] * bias.shape[2]


def _check_scratch(instruction: Instruction, scratch: Tensor, positions: int, n: int) -> None:
    rows, columns, channels, length = _up(positions, 8), _up(n, 16), _up(n, 8), _up(positions, 16)
    needed = (
        rows * columns
        + channels * length
        + 36 * max(rows, channels)
        + _up(8 * n, 16)
        + _up(8 * positions, 16)
    )
    if scratch.elements < needed or scratch.offset % 16:
        unsupported(
            instruction, f"its scratch has {scratch.elements} bytes where {needed}, 16-aligned, are wanted"
        )


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _positive(instruction: Instruction, index: int) -> float:
    value = number(instruction, index)
    if not (math.isfinite(value) and 0 < value < 1e30):
        unsupported(instruction, f"argument {index} is {value}, not a positive scale")
    return value


@emits("mcu::lookup_s8", "mcu::lookup_s8_")
def lookup_s8(instruction: Instruction) -> Sequence[KernelCall]:
    x, table = tensor(instruction, 0, S8), tensor(instruction, 1, S8)
    out = out_tensor(instruction, 0 if instruction.in_place else 2, S8)
    if table.elements != 256:
        unsupported(instruction, f"its table has {table.elements} values where 256 are wanted")
    count = same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, table)
    return call("lookup_s8", x, table, out, count) if count else []


@emits("mcu::layer_norm_s8")
def layer_norm_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, y, weight, bias, y ratio, eps, out)."""
    x, y = tensor(instruction, 0, S8, S16, F32), optional_tensor(instruction, 1, S8)
    weight, bias = tensor(instruction, 2, F32), tensor(instruction, 3, F32)
    out = out_tensor(instruction, 6, S8)
    rows, n = rows_of(instruction, x)
    shape_is(instruction, weight, "the weight", n)
    shape_is(instruction, bias, "the bias", n)
    same_elements(instruction, x, out)
    apart(instruction, out, weight, bias)
    eps = number(instruction, 5)
    if x.dtype is not S8:
        if y is not None:
            unsupported(instruction, f"rows of {x.dtype!r} take no second ones")
        apart(instruction, out, x)
        if x.dtype is S16:
            return call("layer_norm_s16_to_s8", x, weight, bias, out, Scratch(4 * n), rows, n, eps)
        return call("layer_norm_to_s8", x, weight, bias, out, rows, n, eps)
    ratio = number(instruction, 4)
    if y is not None:
        same_elements(instruction, x, y)
        same_or_apart(instruction, out, y)
        if not math.isfinite(ratio):
            unsupported(instruction, f"the ratio of its scales is {ratio}")
    same_or_apart(instruction, out, x)
    return call("layer_norm_s8", x, y, weight, bias, out, Scratch(4 * n), rows, n, ratio, eps)


@emits("mcu::embedding_s8_add", "mcu::embedding_s8_add_")
def embedding_s8_add(instruction: Instruction) -> Sequence[KernelCall]:
    x, weight = tensor(instruction, 0, F32), tensor(instruction, 1, S8)
    scale, ids = tensor(instruction, 2, F32), tensor(instruction, 3, S64)
    out = out_tensor(instruction, 0 if instruction.in_place else 4, F32)
    if len(weight.shape) != 2 or weight.shape[1] < 1:
        unsupported(instruction, "the table has to have two axes")
    vocabulary, n = weight.shape
    shape_is(instruction, scale, "the scale", vocabulary)
    same_elements(instruction, x, out)
    if out.elements != ids.elements * n:
        unsupported(instruction, "there is not one row for each id")
    same_or_apart(instruction, out, x)
    apart(instruction, out, weight, scale, ids)
    copies = [] if out.same_memory(x) else call("copy", x, out, x.nbytes)
    return [*copies, *call("embedding_s8_add", out, weight, scale, ids, ids.elements, vocabulary, n)]
