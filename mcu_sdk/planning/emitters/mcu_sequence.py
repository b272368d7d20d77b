"""Emitters of the `mcu::` operators over a whole sequence in integers: attention, norms, tables, embeddings that are added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mcu_sdk.operators.limits import LONGEST_SUM
from mcu_sdk.planning.emitters.checks import (
    apart,
    boolean,
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
from mcu_sdk.planning.emitters.mcu_linear import zero_point_of
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Parameters, Scratch, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S8, S16, S32, S64, F32, U8 = DType.S8, DType.S16, DType.S32, DType.S64, DType.F32, DType.U8


@emits("mcu::sequence_attention_s8")
def sequence_attention_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(q, k, v, padding, bias, tables, heads, score scale, out scale, out zero point, out, scratch)."""
    q, k, v = (tensor(instruction, i, S8) for i in range(3))
    padding, bias = optional_tensor(instruction, 3, S64), optional_tensor(instruction, 4, F32)
    tables = optional_tensor(instruction, 5, S32)
    out, scratch = out_tensor(instruction, 10, S8), out_tensor(instruction, 11, U8)
    sizes = _sizes(instruction, q, k, v, heads=integer(instruction, 6))
    shape_is(instruction, out, "the output", sizes.sequences, sizes.queries, sizes.heads * sizes.m)
    if padding is not None:
        shape_is(instruction, padding, "the padding", sizes.sequences, sizes.positions)
        if sizes.sequences > 1:
            unsupported(instruction, "it has padding of several sequences")
    form = _bias_form(instruction, bias, sizes)
    _check_tables(instruction, tables, bias, sizes.sequences)
    _check_scratch(instruction, scratch, sizes)
    inputs = [value for value in (q, k, v, padding, bias, tables) if value is not None]
    apart(instruction, out, *inputs, scratch)
    apart(instruction, scratch, *inputs)
    _check_lengths(instruction, sizes)
    attention = Parameters(
        "McuSequenceAttention",
        (
            *sizes._asdict().items(),
            *zip(BIAS_FORM, form, strict=True),
            ("score_scale", _positive(instruction, 7)),
            ("out_scale", _positive(instruction, 8)),
            ("out_zero_point", zero_point_of(instruction, 9)),
        ),
    )
    return call("sequence_attention_s8", q, k, v, padding, bias, tables, out, scratch, attention)


@emits("mcu::gated_attention_s8")
def gated_attention_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(q, k, v, gates, bias, heads, score scale, out scale, out zero point, out, scratch)."""
    q, k, v = (tensor(instruction, i, S8) for i in range(3))
    gates, bias = (tensor(instruction, i, F32) for i in (3, 4))
    out, scratch = out_tensor(instruction, 9, S8), out_tensor(instruction, 10, U8)
    sizes = _sizes(instruction, q, k, v, heads=integer(instruction, 5))
    if sizes.sequences != 1 or sizes.groups != sizes.heads:
        unsupported(instruction, "one sequence is wanted, and keys and values for each head")
    shape_is(instruction, out, "the output", 1, sizes.queries, sizes.heads * sizes.m)
    shape_is(instruction, gates, "the numbers of its queries", sizes.heads, sizes.queries)
    form = _bias_form(instruction, bias, sizes)
    if form[0] != 1:
        unsupported(instruction, f"its bias has {form[0]} tables where one is wanted")
    _check_lengths(instruction, sizes)
    _check_scratch(instruction, scratch, sizes)
    apart(instruction, out, q, k, v, gates, bias, scratch)
    apart(instruction, scratch, q, k, v, gates, bias)
    names = ("queries", "positions", "heads", "n", "m")
    attention = Parameters(
        "McuGatedAttention",
        (
            *((name, getattr(sizes, name)) for name in names),
            *list(zip(BIAS_FORM, form, strict=True))[1:4],
            ("score_scale", _positive(instruction, 6)),
            ("out_scale", _positive(instruction, 7)),
            ("out_zero_point", zero_point_of(instruction, 8)),
        ),
    )
    return call("gated_attention_s8", q, k, v, gates, bias, out, scratch, attention)


@emits("mcu::relative_attention_s8")
def relative_attention_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(q, k, v, padding, key table, query table, heads, score scale, those of the tables, out scale, out zero point, out,
    scratch)."""
    q, k, v = (tensor(instruction, i, S8) for i in range(3))
    padding = optional_tensor(instruction, 3, S64)
    tables = [optional_tensor(instruction, i, S8) for i in (4, 5)]
    out, scratch = out_tensor(instruction, 12, S8), out_tensor(instruction, 13, U8)
    sizes = _sizes(instruction, q, k, v, heads=integer(instruction, 6))
    for value, what in ((k, "the keys"), (v, "the values"), (out, "the output")):
        shape_is(instruction, value, what, *q.shape)
    if sizes.sequences != 1 or sizes.groups != sizes.heads:
        unsupported(instruction, "one sequence is wanted, and keys and values for each head")
    if padding is not None:
        shape_is(instruction, padding, "the padding", 1, sizes.positions)
    for table, what in zip(tables, ("the keys' table", "the queries' table"), strict=True):
        if table is not None:
            shape_is(instruction, table, what, sizes.heads, 2 * sizes.positions - 1, sizes.n)
    _check_scratch(instruction, scratch, sizes)
    inputs = [value for value in (q, k, v, padding, *tables) if value is not None]
    apart(instruction, out, *inputs, scratch)
    apart(instruction, scratch, *inputs)
    _check_lengths(instruction, sizes)
    names = ("score_scale", "key_table_scale", "query_table_scale", "out_scale")
    attention = Parameters(
        "McuRelativeAttention",
        (
            *(("length", sizes.positions), ("heads", sizes.heads), ("n", sizes.n)),
            *((name, _positive(instruction, 7 + i)) for i, name in enumerate(names)),
            ("out_zero_point", zero_point_of(instruction, 11)),
        ),
    )
    return call("relative_attention_s8", q, k, v, padding, *tables, out, scratch, attention)


BIAS_FORM = ("bias_tables", "bias_heads", "bias_rows", "bias_stride", "bias_table")
"""Tables, heads and rows of a bias; floats for each head, and for each table."""


class _Sizes(NamedTuple):
    """Of q[sequences, queries, heads * n], k[sequences, positions, groups * n] and v[..., groups * m]."""

    sequences: int
    queries: int
    positions: int
    heads: int
    groups: int
    n: int
    m: int


def _sizes(instruction: Instruction, q: Tensor, k: Tensor, v: Tensor, *, heads: int) -> _Sizes:
    for value, what in ((q, "the queries"), (k, "the keys"), (v, "the values")):
        if len(value.shape) != 3 or min(value.shape) < 1:
            unsupported(
                instruction, f"{what} have to be of the shape [sequences, positions, heads * channels]"
            )
    if q.shape[0] != k.shape[0] or v.shape[:2] != k.shape[:2]:
        unsupported(instruction, "its queries, keys and values are of different sequences")
    if heads < 1 or q.shape[2] % heads or k.shape[2] % (q.shape[2] // heads):
        unsupported(instruction, f"{heads} heads do not divide its queries and keys")
    n = q.shape[2] // heads
    groups = k.shape[2] // n
    if heads % groups or v.shape[2] % groups:
        unsupported(
            instruction, f"{groups} heads of keys do not divide {heads} heads of queries, or its values"
        )
    return _Sizes(q.shape[0], q.shape[1], k.shape[1], heads, groups, n, v.shape[2] // groups)


def _bias_form(instruction: Instruction, bias: Tensor | None, sizes: _Sizes) -> tuple[int, ...]:
    """What BIAS_FORM names; ones without a bias."""
    if bias is None:
        return 1, 1, 1, 0, 0
    by_distance = (1, sizes.queries + sizes.positions - 1)
    if len(bias.shape) != 4 or bias.shape[0] < 1 or bias.shape[1] not in (1, sizes.heads):
        unsupported(
            instruction, f"its bias has the shape {list(bias.shape)}, not one of a table for each head"
        )
    if bias.shape[2:] not in ((sizes.queries, sizes.positions), by_distance):
        wanted = f"[{sizes.queries}, {sizes.positions}] or {list(by_distance)}"
        unsupported(
            instruction, f"its bias has the shape {list(bias.shape)} where {wanted} for each head is wanted"
        )
    stride = bias.shape[2] * bias.shape[3]
    return *bias.shape[:3], stride, bias.shape[1] * stride


def _check_tables(
    instruction: Instruction, tables: Tensor | None, bias: Tensor | None, sequences: int
) -> None:
    """The number of a table for each sequence has to be a constant that is within the bias."""
    if tables is None:
        return
    shape_is(instruction, tables, "the tables' numbers", sequences)
    if bias is None or tables.data is None:
        unsupported(instruction, "its tables' numbers are no constant, or there are no tables")
    numbers = memoryview(tables.data).cast("B").cast("i").tolist()
    if not all(0 <= number < bias.shape[0] for number in numbers):
        unsupported(
            instruction, f"its sequences take tables that the bias, of {bias.shape[0]}, does not have"
        )


def _check_lengths(instruction: Instruction, sizes: _Sizes) -> None:
    if max(sizes.positions, sizes.n) >= LONGEST_SUM:
        unsupported(
            instruction, f"{sizes.positions} positions of {sizes.n} channels can overflow a 32-bit sum"
        )


def _check_scratch(instruction: Instruction, scratch: Tensor, sizes: _Sizes) -> None:
    rows, columns, channels = _up(sizes.positions, 8), _up(sizes.n, 16), _up(sizes.m, 8)
    needed = (
        rows * columns
        + channels * _up(sizes.positions, 16)
        + 36 * max(rows, channels)
        + _up(8 * sizes.n, 16)
        + _up(8 * sizes.positions, 16)
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


@emits("mcu::rope_rows")
def rope_rows(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, cos, sin, n, interleaved, out)."""
    return _rotate(instruction, "rope_rows", F32, 5, 1.0)


@emits("mcu::rope_rows_s8", "mcu::rope_rows_s8_")
def rope_rows_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, cos, sin, n, interleaved, ratio, out)."""
    return _rotate(
        instruction, "rope_rows_s8", S8, 0 if instruction.in_place else 6, _positive(instruction, 5)
    )


def _rotate(
    instruction: Instruction, kernel: str, kind: DType, out_index: int, ratio: float
) -> Sequence[KernelCall]:
    x, out = tensor(instruction, 0, kind), out_tensor(instruction, out_index, kind)
    cosine, sine = tensor(instruction, 1, F32), tensor(instruction, 2, F32)
    n, interleaved = integer(instruction, 3), boolean(instruction, 4)
    if len(x.shape) != 3 or x.shape[0] != 1 or min(x.shape) < 1 or n < 1 or x.shape[2] % n:
        unsupported(
            instruction, f"rows of heads of {n} channels, [1, positions, heads * channels], are wanted"
        )
    if len(cosine.shape) != 2 or cosine.shape != sine.shape or cosine.shape[0] != x.shape[1]:
        unsupported(instruction, "its tables do not have a row for each position")
    half = cosine.shape[1]
    if 2 * half > n:
        unsupported(instruction, f"its tables turn {half} pairs of {n} channels")
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, cosine, sine)
    rotation = Parameters(
        "McuRopeRows",
        (
            ("positions", x.shape[1]),
            ("heads", x.shape[2] // n),
            ("n", n),
            ("half", half),
            ("step", 2 if interleaved else 1),
            ("apart", 1 if interleaved else half),
            ("ratio", ratio),
        ),
    )
    return call(kernel, x, cosine, sine, out, rotation)


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


@emits("mcu::lookup_add_s16", "mcu::lookup_add_s16_")
def lookup_add_s16(instruction: Instruction) -> Sequence[KernelCall]:
    """(sum, x, table, out)."""
    total, x, table = tensor(instruction, 0, S16), tensor(instruction, 1, S8), tensor(instruction, 2, S16)
    out = out_tensor(instruction, 0 if instruction.in_place else 3, S16)
    if table.elements != 256:
        unsupported(instruction, f"its table has {table.elements} values where 256 are wanted")
    count = same_elements(instruction, total, out)
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, total)
    apart(instruction, out, x, table)
    return call("lookup_add_s16", total, x, table, out, count) if count else []


def _norm(instruction: Instruction, x: Tensor, kind: DType) -> tuple[Tensor, Tensor, Tensor, int, int, float]:
    """(weight float32[n], bias float32[n], out of `kind`, rows, n, eps) of a norm of x[..., n]."""
    weight, bias = tensor(instruction, 2, F32), tensor(instruction, 3, F32)
    out = out_tensor(instruction, 6, kind)
    rows, n = rows_of(instruction, x)
    shape_is(instruction, weight, "the weight", n)
    shape_is(instruction, bias, "the bias", n)
    same_elements(instruction, x, out)
    apart(instruction, out, weight, bias)
    eps = number(instruction, 5)
    return weight, bias, out, rows, n, eps


def _ratio_beside(instruction: Instruction, x: Tensor, y: Tensor | None, out: Tensor) -> float:
    """What y's integers are multiplied by before they are added to x's."""
    ratio = number(instruction, 4)
    if y is not None:
        same_elements(instruction, x, y)
        same_or_apart(instruction, out, y)
        if not math.isfinite(ratio):
            unsupported(instruction, f"the ratio of its scales is {ratio}")
    same_or_apart(instruction, out, x)
    return ratio


@emits("mcu::layer_norm_s8")
def layer_norm_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, y, weight, bias, y ratio, eps, out)."""
    x, y = tensor(instruction, 0, S8, S16, F32), optional_tensor(instruction, 1, S8)
    weight, bias, out, rows, n, eps = _norm(instruction, x, S8)
    if x.dtype is not S8:
        if y is not None:
            unsupported(instruction, f"rows of {x.dtype!r} take no second ones")
        apart(instruction, out, x)
        if x.dtype is S16:
            return call("layer_norm_s16_to_s8", x, weight, bias, out, Scratch(4 * n), rows, n, eps)
        return call("layer_norm_to_s8", x, weight, bias, out, rows, n, eps)
    ratio = _ratio_beside(instruction, x, y, out)
    return call("layer_norm_s8", x, y, weight, bias, out, Scratch(4 * n), rows, n, ratio, eps)


@emits("mcu::layer_norm_s16")
def layer_norm_s16(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, y, weight, bias, y ratio, eps, out)."""
    x, y = tensor(instruction, 0, S16, F32), optional_tensor(instruction, 1, S16)
    weight, bias, out, rows, n, eps = _norm(instruction, x, S16)
    if x.dtype is F32:
        if y is not None:
            unsupported(instruction, "rows of float32 take no second ones")
        apart(instruction, out, x)
        return call("layer_norm_to_s16", x, weight, bias, out, rows, n, eps)
    ratio = _ratio_beside(instruction, x, y, out)
    return call("layer_norm_s16", x, y, weight, bias, out, Scratch(4 * n), rows, n, ratio, eps)


@emits("mcu::add_s16", "mcu::add_s16_")
def add_s16(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, y, scale, out)."""
    x, y = tensor(instruction, 0, F32), tensor(instruction, 1, S16)
    out = out_tensor(instruction, 0 if instruction.in_place else 3, F32)
    scale = number(instruction, 2)
    count = same_elements(instruction, x, y, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, y)
    if not math.isfinite(scale):
        unsupported(instruction, f"its scale is {scale}")
    return call("add_s16", x, y, out, count, scale) if count else []


@emits("mcu::add_channels_s8", "mcu::add_channels_s8_")
def add_channels_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(sum, x, scale, offset, out)."""
    total, x = tensor(instruction, 0, F32), tensor(instruction, 1, S8)
    scale, offset = tensor(instruction, 2, F32), tensor(instruction, 3, F32)
    out = out_tensor(instruction, 0 if instruction.in_place else 4, F32)
    rows, n = rows_of(instruction, total)
    shape_is(instruction, scale, "the scale", n)
    shape_is(instruction, offset, "the offset", n)
    same_elements(instruction, total, x, out)
    same_or_apart(instruction, out, total)
    apart(instruction, out, x, scale, offset)
    return call("add_channels_s8", total, x, scale, offset, out, rows, n) if rows * n else []


@emits("mcu::softmax_gate_s8", "mcu::softmax_gate_s8_")
def softmax_gate_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, scores, score scale, ratio, zero point, output zero point, out)."""
    x, scores = tensor(instruction, 0, S8), tensor(instruction, 1, S8)
    out = out_tensor(instruction, 0 if instruction.in_place else 6, S8)
    rows, n = rows_of(instruction, x)
    shape_is(instruction, scores, "the scores", *x.shape)
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, scores)
    scales = _positive(instruction, 2), _positive(instruction, 3)
    zero_points = zero_point_of(instruction, 4), zero_point_of(instruction, 5)
    operands = x, scores, out, Scratch(4 * n)
    return call("softmax_gate_s8", *operands, rows, n, *scales, *zero_points) if rows else []


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
