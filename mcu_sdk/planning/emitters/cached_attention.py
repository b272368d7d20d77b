"""What all attention over an int8 KV cache has in common: the sizes of its caches, and its scratch."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.operators.limits import LONGEST_SUM
from mcu_sdk.planning.emitters.checks import apart, shape_is
from mcu_sdk.planning.instruction import Instruction, Tensor
from mcu_sdk.planning.registry import unsupported


def cache_sizes(
    instruction: Instruction,
    query: Tensor,
    caches: tuple[Tensor, Tensor],
    scales: tuple[Tensor, Tensor],
    dynamic: bool,
) -> tuple[int, int]:
    """(heads, positions) of the caches of keys, int8[1, heads, positions, channels], and values, int8[1, heads, channels,
    positions], for queries of shape [positions, heads, 1, channels]. Their scales are each position's (`dynamic`) or each
    channel's. Raises ModelError for other shapes."""
    (k_cache, v_cache), (k_scale, v_scale) = caches, scales
    heads, n = query.shape[1], query.shape[3]
    if len(k_cache.shape) != 4 or min(k_cache.shape) < 1:
        unsupported(instruction, "a cache of keys of shape [1, heads, positions, channels] is wanted")
    batch, groups, positions, channels = k_cache.shape
    shape_is(instruction, v_cache, "the cache of values", batch, groups, channels, positions)
    if batch != 1 or channels != n or heads % groups:
        unsupported(instruction, "the query does not match the caches")
    scale_shape = (1, groups, positions) if dynamic else (groups, n)
    shape_is(instruction, k_scale, "the keys' scale", *scale_shape)
    shape_is(instruction, v_scale, "the values' scale", *scale_shape)
    return groups, positions


def check_memory(
    instruction: Instruction, inputs: Sequence[Tensor], out: Tensor, scratch: Tensor, positions: int, n: int
) -> None:
    """Raises ModelError for a scratch that is too small, memory that is shared, and sums that could overflow."""
    needed = sum((size + 15) // 16 * 16 for size in (4 * positions, positions, n))
    if scratch.elements < needed or scratch.offset % 16:
        unsupported(
            instruction, f"its scratch has {scratch.elements} bytes where {needed}, 16-aligned, are wanted"
        )
    apart(instruction, out, *inputs, scratch)
    apart(instruction, scratch, *inputs)
    if max(positions, n) >= LONGEST_SUM:
        unsupported(instruction, f"{positions} positions of {n} channels can overflow a 32-bit sum")
