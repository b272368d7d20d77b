"""Emitters of the `mcu::` operators of a KV cache that slides when it is full."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.emitters.cached_attention import cache_sizes, check_memory
from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    integer,
    number,
    out_tensor,
    same_elements,
    shape_is,
    tensor,
)
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall
from mcu_sdk.planning.registry import emits, unsupported

S8, S64, F16, F32, U8 = DType.S8, DType.S64, DType.F16, DType.F32, DType.U8

LONGEST_CACHE = 1 << 30
"""Slots that are counted in int32_t."""


@emits("mcu::ring_slot")
def ring_slot(instruction: Instruction) -> Sequence[KernelCall]:
    position, out = tensor(instruction, 0, S64), out_tensor(instruction, 3, S64)
    sinks, length = integer(instruction, 1), integer(instruction, 2)
    count = same_elements(instruction, position, out)
    apart(instruction, out, position)
    if not 0 <= sinks < length <= LONGEST_CACHE:
        unsupported(instruction, f"{sinks} sinks in a cache of {length} slots leave no ring")
    return call("ring_slot", position, out, count, sinks, length)


def _attention(instruction: Instruction, dynamic: bool) -> Sequence[KernelCall]:
    queries = [tensor(instruction, i, F32) for i in range(3)]
    k_cache, v_cache = tensor(instruction, 3, S8), tensor(instruction, 4, S8)
    kind = F16 if dynamic else F32
    k_scale, v_scale = tensor(instruction, 5, kind), tensor(instruction, 6, kind)
    position, slot = tensor(instruction, 7, S64), tensor(instruction, 8, S64)
    out, scratch = out_tensor(instruction, 12, F32), out_tensor(instruction, 13, U8)
    shape = queries[0].shape
    if len(shape) != 4 or shape[0] != 1 or shape[2] != 1 or min(shape) < 1:
        unsupported(instruction, "queries of shape [1, heads, 1, channels] are wanted")
    for each in queries[1:]:
        shape_is(instruction, each, "the query of another part", *shape)
    heads, n = shape[1], shape[3]
    groups, positions = cache_sizes(instruction, queries[0], (k_cache, v_cache), (k_scale, v_scale), dynamic)
    shape_is(instruction, position, "the position", 1)
    shape_is(instruction, slot, "the slot", 1)
    sinks = integer(instruction, 9)
    if not 0 <= sinks < positions:
        unsupported(instruction, f"{sinks} sinks in a cache of {positions} slots leave no ring")
    same_elements(instruction, queries[0], out)
    inputs = (*queries, k_cache, v_cache, k_scale, v_scale, position, slot)
    check_memory(instruction, inputs, out, scratch, positions, n)
    name = "attention_s8_dynamic_sliding" if dynamic else "attention_s8_sliding"
    limits = (number(instruction, 10), number(instruction, 11))
    return call(name, *inputs, out, scratch, heads, groups, positions, n, sinks, *limits)


@emits("mcu::attention_s8_sliding")
def attention_s8_sliding(instruction: Instruction) -> Sequence[KernelCall]:
    return _attention(instruction, dynamic=False)


@emits("mcu::attention_s8_dynamic_sliding")
def attention_s8_dynamic_sliding(instruction: Instruction) -> Sequence[KernelCall]:
    return _attention(instruction, dynamic=True)
