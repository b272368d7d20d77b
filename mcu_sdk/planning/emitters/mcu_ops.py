"""Emitters of the `mcu::` operators but the int8 linears (mcu_linear.py). Schemas: mcu_sdk/operators/table; kernels: firmware/kernels/."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.emitters.cached_attention import cache_sizes, check_memory
from mcu_sdk.planning.emitters.checks import (
    apart,
    boolean,
    call,
    constant_integers,
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
from mcu_sdk.planning.emitters.cortex_m import requantization
from mcu_sdk.planning.emitters.quantized_decomposed import int8
from mcu_sdk.planning.instruction import Argument, DType, Instruction, KernelCall, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S8, S16, S32, S64, F16, F32, U8 = DType.S8, DType.S16, DType.S32, DType.S64, DType.F16, DType.F32, DType.U8


@emits("mcu::rms_norm")
def rms_norm(instruction: Instruction) -> Sequence[KernelCall]:
    x, weight, out = tensor(instruction, 0, F32), tensor(instruction, 1, F32), out_tensor(instruction, 3, F32)
    rows, n = rows_of(instruction, x)
    shape_is(instruction, weight, "the weight", n)
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, weight)
    return call("rms_norm", x, weight, out, rows, n, number(instruction, 2))


@emits("mcu::layer_norm")
def layer_norm(instruction: Instruction) -> Sequence[KernelCall]:
    x, weight, bias = (tensor(instruction, i, F32) for i in range(3))
    out = out_tensor(instruction, 4, F32)
    rows, n = rows_of(instruction, x)
    shape_is(instruction, weight, "the weight", n)
    shape_is(instruction, bias, "the bias", n)
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, weight, bias)
    return call("layer_norm", x, weight, bias, out, rows, n, number(instruction, 3))


def _rotation(instruction: Instruction, name: str) -> Sequence[KernelCall]:
    x, cosine, sine = (tensor(instruction, i, F32) for i in range(3))
    position, out = tensor(instruction, 3, S64), out_tensor(instruction, 4, F32)
    rows, n = rows_of(instruction, x)
    tokens = _tokens(instruction, x, position)
    if len(cosine.shape) != 2 or cosine.shape != sine.shape or cosine.shape[0] < 1 or 2 * cosine.shape[1] > n:
        unsupported(instruction, "its tables do not match")
    positions, half = cosine.shape
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, cosine, sine, position)
    return _call(name, tokens, x, cosine, sine, position, out, rows // tokens, n, half, positions)


@emits("mcu::rope")
def rope(instruction: Instruction) -> Sequence[KernelCall]:
    return _rotation(instruction, "rope")


@emits("mcu::rope_pairs")
def rope_pairs(instruction: Instruction) -> Sequence[KernelCall]:
    return _rotation(instruction, "rope_pairs")


def _tokens(instruction: Instruction, x: Tensor, position: Tensor) -> int:
    """How many tokens there are: one position of a step, or as many as x[tokens, ...] of a chunk has rows."""
    if position.elements != 1 and (position.elements < 1 or position.shape != x.shape[:1]):
        unsupported(instruction, "one position is wanted, or one for each of its rows")
    return position.elements


def _call(name: str, tokens: int, *arguments: Argument) -> list[KernelCall]:
    """`mcu_<name>` or, for the tokens of a chunk, mcu_<name>_chunk, whose number comes before the other integers."""
    if tokens == 1:
        return call(name, *arguments)
    at = next(index for index, argument in enumerate(arguments) if isinstance(argument, int))
    return call(f"{name}_chunk", *arguments[:at], tokens, *arguments[at:])


def _cache_shape(
    instruction: Instruction, cache: Tensor, x: Tensor, position: Tensor, *, columns: bool
) -> tuple[int, int, int, int]:
    """(tokens, heads, positions, n) of cache[1, heads, positions, n] (`columns`: [1, heads, n, positions]) and
    x[tokens, heads, 1, n]."""
    if len(cache.shape) != 4 or cache.shape[0] != 1 or min(cache.shape) < 1:
        wanted = "channels, positions" if columns else "positions, channels"
        unsupported(instruction, f"a cache of shape [1, heads, {wanted}] is wanted")
    _, heads, positions, n = cache.shape
    if columns:
        positions, n = n, positions
    tokens = _tokens(instruction, x, position)
    if x.elements != tokens * heads * n:
        unsupported(instruction, "its rows do not match the cache")
    return tokens, heads, positions, n


def _updated(instruction: Instruction, dtype: DType, *others: Tensor) -> tuple[Tensor, Sequence[KernelCall]]:
    """What an update writes into, and the copy that comes first unless it is in place.

    In place (`cache_write_`) that is argument 0; else the last argument, the out tensor, of the same shape.
    """
    cache = tensor(instruction, 0, dtype)
    if instruction.in_place:
        written, copies = out_tensor(instruction, 0, dtype), []
    else:
        written = out_tensor(instruction, len(instruction.arguments) - 1, dtype)
        shape_is(instruction, written, "the output", *cache.shape)
        same_or_apart(instruction, written, cache)
        copies = [] if written.same_memory(cache) else call("copy", cache, written, cache.nbytes)
    apart(instruction, written, *others)
    return written, copies


def _write_calibrated(instruction: Instruction, *, columns: bool) -> Sequence[KernelCall]:
    x, inverse, position = (
        tensor(instruction, 1, F32),
        tensor(instruction, 2, F32),
        tensor(instruction, 3, S64),
    )
    cache, copies = _updated(instruction, S8, x, inverse, position)
    tokens, *sizes = _cache_shape(instruction, cache, x, position, columns=columns)
    heads, _, n = sizes
    shape_is(instruction, inverse, "the inverse scale", heads, n)
    name = "cache_write_columns" if columns else "cache_write"
    return [*copies, *_call(name, tokens, cache, x, inverse, position, *sizes)]


@emits("mcu::cache_write", "mcu::cache_write_")
def cache_write(instruction: Instruction) -> Sequence[KernelCall]:
    return _write_calibrated(instruction, columns=False)


@emits("mcu::cache_write_columns", "mcu::cache_write_columns_")
def cache_write_columns(instruction: Instruction) -> Sequence[KernelCall]:
    return _write_calibrated(instruction, columns=True)


def _write_dynamic(instruction: Instruction, *, columns: bool) -> Sequence[KernelCall]:
    x, position = tensor(instruction, 1, F32), tensor(instruction, 2, S64)
    cache, copies = _updated(instruction, S8, x, position)
    tokens, *sizes = _cache_shape(instruction, cache, x, position, columns=columns)
    name = "cache_write_columns_dynamic" if columns else "cache_write_dynamic"
    return [*copies, *_call(name, tokens, cache, x, position, *sizes)]


@emits("mcu::cache_write_dynamic", "mcu::cache_write_dynamic_")
def cache_write_dynamic(instruction: Instruction) -> Sequence[KernelCall]:
    return _write_dynamic(instruction, columns=False)


@emits("mcu::cache_write_columns_dynamic", "mcu::cache_write_columns_dynamic_")
def cache_write_columns_dynamic(instruction: Instruction) -> Sequence[KernelCall]:
    return _write_dynamic(instruction, columns=True)


@emits("mcu::cache_scale_write", "mcu::cache_scale_write_")
def cache_scale_write(instruction: Instruction) -> Sequence[KernelCall]:
    x, position = tensor(instruction, 1, F32), tensor(instruction, 2, S64)
    scales, copies = _updated(instruction, F16, x, position)
    if len(scales.shape) != 3 or scales.shape[0] != 1 or min(scales.shape) < 1:
        unsupported(instruction, "scales of shape [1, heads, positions] are wanted")
    _, heads, positions = scales.shape
    tokens = _tokens(instruction, x, position)
    if x.elements % (tokens * heads) or x.elements == 0:
        unsupported(instruction, "its rows do not match the scales")
    sizes = (heads, positions, x.elements // (tokens * heads))
    return [*copies, *_call("cache_scale_write", tokens, scales, x, position, *sizes)]


def _attention(instruction: Instruction, dynamic: bool, shaped: bool = False) -> Sequence[KernelCall]:
    q, position = tensor(instruction, 0, F32), tensor(instruction, 5, S64)
    k_cache, v_cache = tensor(instruction, 1, S8), tensor(instruction, 2, S8)
    kind = F16 if dynamic else F32
    k_scale, v_scale = tensor(instruction, 3, kind), tensor(instruction, 4, kind)
    first_out = 10 if shaped else 7
    out, scratch = out_tensor(instruction, first_out, F32), out_tensor(instruction, first_out + 1, U8)
    if len(q.shape) != 4 or q.shape[0] != position.elements or q.shape[2] != 1 or min(q.shape) < 1:
        unsupported(instruction, "queries of shape [positions, heads, 1, channels] are wanted")
    heads, n = q.shape[1], q.shape[3]
    groups, positions = cache_sizes(instruction, q, (k_cache, v_cache), (k_scale, v_scale), dynamic)
    same_elements(instruction, q, out)
    inputs = (q, k_cache, v_cache, k_scale, v_scale, position)
    check_memory(instruction, inputs, out, scratch, positions, n)
    name = "attention_s8_dynamic" if dynamic else "attention_s8"
    tokens, sizes = position.elements, (heads, groups, positions, n)
    if not shaped:
        return _call(name, tokens, *inputs, out, scratch, *sizes, number(instruction, 6))
    bias, sinks, step = optional_tensor(instruction, 6, F32), optional_tensor(instruction, 7, F32), 0
    if bias is not None:
        of_its_own = len(bias.shape) == 3  # each token's
        step = heads * positions if of_its_own else 0
        shape_is(instruction, bias, "what is added to the scores", *[tokens] * of_its_own, heads, positions)
    if sinks is not None:
        shape_is(instruction, sinks, "the sinks", heads)
    for each in (bias, sinks):
        if each is not None:
            apart(instruction, out, each)
            apart(instruction, scratch, each)
    limits = (number(instruction, 8), number(instruction, 9))
    steps = (step,) if tokens > 1 else ()
    return _call(f"{name}_shaped", tokens, *inputs, bias, sinks, out, scratch, *steps, *sizes, *limits)


@emits("mcu::key_bias_scores")
def key_bias_scores(instruction: Instruction) -> Sequence[KernelCall]:
    q, table = tensor(instruction, 0, F32), tensor(instruction, 1, F32)
    columns, position = tensor(instruction, 2, S32), tensor(instruction, 3, S64)
    out = out_tensor(instruction, 5, F32)
    if len(q.shape) != 4 or q.shape[0] != position.elements or q.shape[2] != 1 or min(q.shape) < 1:
        unsupported(instruction, "queries of shape [positions, heads, 1, channels] are wanted")
    tokens, heads, _, n = q.shape
    if len(table.shape) != 3 or min(table.shape) < 1 or heads % table.shape[0]:
        unsupported(instruction, "a table of shape [heads of keys, channels, positions] is wanted")
    groups, channels, positions = table.shape
    shape_is(instruction, columns, "the channels", channels)
    if not all(0 <= column < n for column in constant_integers(instruction, columns, "the channels")):
        unsupported(instruction, f"channels from 0 to {n - 1} are wanted")
    shape_is(instruction, out, "the scores", tokens, heads, positions)
    apart(instruction, out, q, table, columns, position)
    sizes = (heads, groups, channels, positions, n)
    return _call("key_bias_scores", tokens, q, table, columns, position, out, *sizes, number(instruction, 4))


@emits("mcu::attention_s8")
def attention_s8(instruction: Instruction) -> Sequence[KernelCall]:
    return _attention(instruction, dynamic=False)


@emits("mcu::attention_s8_dynamic")
def attention_s8_dynamic(instruction: Instruction) -> Sequence[KernelCall]:
    return _attention(instruction, dynamic=True)


@emits("mcu::attention_s8_shaped")
def attention_s8_shaped(instruction: Instruction) -> Sequence[KernelCall]:
    return _attention(instruction, dynamic=False, shaped=True)


@emits("mcu::attention_s8_dynamic_shaped")
def attention_s8_dynamic_shaped(instruction: Instruction) -> Sequence[KernelCall]:
    return _attention(instruction, dynamic=True, shaped=True)


def _elementwise(instruction: Instruction, name: str, inputs: int, out_index: int) -> Sequence[KernelCall]:
    values = [tensor(instruction, i, F32) for i in range(inputs)]
    out = out_tensor(instruction, out_index, F32)
    count = same_elements(instruction, *values, out)
    same_or_apart(instruction, out, *values)
    return call(name, *values, out, count)


@emits("mcu::silu")
def silu(instruction: Instruction) -> Sequence[KernelCall]:
    return _elementwise(instruction, "silu", 1, 1)


@emits("mcu::gated_silu")
def gated_silu(instruction: Instruction) -> Sequence[KernelCall]:
    return _elementwise(instruction, "gated_silu", 2, 2)


@emits("mcu::gelu")
def gelu(instruction: Instruction) -> Sequence[KernelCall]:
    return _elementwise(instruction, "gelu_tanh" if boolean(instruction, 1) else "gelu_erf", 1, 2)


@emits("mcu::gated_gelu")
def gated_gelu(instruction: Instruction) -> Sequence[KernelCall]:
    name = "gated_gelu_tanh" if boolean(instruction, 2) else "gated_gelu_erf"
    return _elementwise(instruction, name, 2, 3)


@emits("mcu::requantize_s16")
def requantize_s16(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, multiplier, shift, zero point, out)."""
    x, out = tensor(instruction, 0, S16), out_tensor(instruction, 4, S8)
    factors = requantization(instruction, integer(instruction, 1), integer(instruction, 2))
    if factors[0] < 1 or factors[1] > 0:
        unsupported(instruction, f"it requantizes by {factors[0]} and a shift of {factors[1]}")
    count = same_elements(instruction, x, out)
    apart(instruction, out, x)
    return call("requantize_s16", x, out, count, *factors, int8(instruction, 3)) if count else []
