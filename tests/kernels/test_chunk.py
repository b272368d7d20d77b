"""The kernels for a chunk of a prompt give what those for one step give, token after token, bit for bit.

That the operators' references do is tested here, too; each kernel against its reference is tests/kernels/examples.py's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import from_numpy

from mcu_sdk.operators.reference import attention, rope
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor
from mcu_sdk.planning.registry import emit
from tests.kernels.call import Guarded, assert_same_bits, call, int8, normal

TOKENS, HEADS, GROUPS, LENGTH, N = 5, 4, 2, 11, 12
AT = np.array([3, 4, 5, 6, 7], np.int64)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("name", ["rope", "rope_pairs"])
def test_rotations(kernel_library: ctypes.CDLL, rng: np.random.Generator, name: str) -> None:
    x, (cosine, sine) = normal(rng, TOKENS, HEADS, 1, N), (normal(rng, LENGTH, 5) for _ in range(2))
    out, sizes = Guarded(x.shape, np.float32), (HEADS, N, 5, LENGTH)
    call(kernel_library, f"{name}_chunk", x, cosine, sine, AT, out, TOKENS, *sizes)
    turn: Callable[..., torch.Tensor] = getattr(rope, name)
    tables = from_numpy(cosine), from_numpy(sine)
    steps = [turn(from_numpy(x[t : t + 1]), *tables, from_numpy(AT[t : t + 1])) for t in range(TOKENS)]
    assert_same_bits(out.array, torch.cat(steps).numpy())
    assert_same_bits(turn(from_numpy(x), *tables, from_numpy(AT)).numpy(), torch.cat(steps).numpy())


@pytest.mark.parametrize(
    "name", ["cache_write", "cache_write_columns", "cache_write_dynamic", "cache_write_columns_dynamic"]
)
def test_cache_writes(kernel_library: ctypes.CDLL, rng: np.random.Generator, name: str) -> None:
    shape = (1, GROUPS, N, LENGTH) if "columns" in name else (1, GROUPS, LENGTH, N)
    cache, x = int8(rng, *shape), normal(rng, TOKENS, GROUPS, 1, N)
    scales = () if name.endswith("dynamic") else (normal(rng, GROUPS, N, spread=30),)
    written = Guarded(cache.shape, np.int8, cache)
    call(kernel_library, f"{name}_chunk", written, x, *scales, AT, TOKENS, GROUPS, LENGTH, N)
    write, given = getattr(attention, name), tuple(map(from_numpy, scales))
    after = from_numpy(cache)
    for t in range(TOKENS):
        after = write(after, from_numpy(x[t : t + 1]), *given, from_numpy(AT[t : t + 1]))
    assert_same_bits(written.array, after.numpy())
    assert_same_bits(write(from_numpy(cache), from_numpy(x), *given, from_numpy(AT)).numpy(), after.numpy())


def test_scale_writes(kernel_library: ctypes.CDLL, rng: np.random.Generator) -> None:
    scales, x = np.zeros((1, GROUPS, LENGTH), np.float16), normal(rng, TOKENS, GROUPS, 1, N)
    written = Guarded(scales.shape, np.uint16, scales.view(np.uint16))
    call(kernel_library, "cache_scale_write_chunk", written, x, AT, TOKENS, GROUPS, LENGTH, N)
    after = from_numpy(scales)
    for t in range(TOKENS):
        after = attention.cache_scale_write(after, from_numpy(x[t : t + 1]), from_numpy(AT[t : t + 1]))
    assert_same_bits(written.array, after.numpy().view(np.uint16))
    whole = attention.cache_scale_write(from_numpy(scales), from_numpy(x), from_numpy(AT))
    assert_same_bits(whole.numpy().view(np.uint16), after.numpy().view(np.uint16))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("bias_shape", [None, (HEADS, LENGTH), (TOKENS, HEADS, LENGTH)])
def test_attention(
    kernel_library: ctypes.CDLL, rng: np.random.Generator, dynamic: bool, bias_shape: tuple[int, ...] | None
) -> None:
    """Of a bias for all tokens, and of one for each."""
    shaped = bias_shape is not None
    q = normal(rng, TOKENS, HEADS, 1, N)
    k, v = int8(rng, 1, GROUPS, LENGTH, N), int8(rng, 1, GROUPS, N, LENGTH)
    if dynamic:
        scales = [rng.uniform(0.001, 1, (1, GROUPS, LENGTH)).astype(np.float16) for _ in range(2)]
    else:
        scales = [np.abs(normal(rng, GROUPS, N, spread=0.02)) for _ in range(2)]
    bias = [normal(rng, *bias_shape), normal(rng, HEADS)] if bias_shape is not None else []
    numbers = (0.3, 2.0) if shaped else (0.3,)
    name = f"attention_s8{'_dynamic' if dynamic else ''}{'_shaped' if shaped else ''}"
    raw: list[Any] = [scale.view(np.uint16) if dynamic else scale for scale in scales]
    size = attention._scratch_bytes(LENGTH) + (N + 15) // 16 * 16
    out, scratch = Guarded(q.shape, np.float32), Guarded(size, np.uint8, 0x7F, aligned=True)
    step = (HEADS * LENGTH if len(bias_shape) == 3 else 0,) if bias_shape is not None else ()
    sizes = (TOKENS, *step, HEADS, GROUPS, LENGTH, N)
    call(kernel_library, f"{name}_chunk", q, k, v, *raw, AT, *bias, out, scratch, *sizes, *numbers)
    attend, rest = getattr(attention, name), tuple(map(from_numpy, (k, v, *scales)))
    added = tuple(map(from_numpy, bias))
    steps = [
        attend(
            from_numpy(q[t : t + 1]),
            *rest,
            from_numpy(AT[t : t + 1]),
            *(each[t] if each.dim() == 3 else each for each in added),
            *numbers,
        )[0]
        for t in range(TOKENS)
    ]
    assert_same_bits(out.array, torch.cat(steps).numpy())
    whole = attend(from_numpy(q), *rest, from_numpy(AT), *added, *numbers)[0]
    assert_same_bits(whole.numpy(), torch.cat(steps).numpy())


def test_positions_that_do_not_match_are_refused() -> None:
    """Two positions for three rows, and none."""
    from mcu_sdk.errors import UnsupportedOperatorError

    def rotation(positions: int) -> Instruction:
        x = Tensor(DType.F32, (3, 4, 1, 8), Space.ARENA, 0)
        tables = [Tensor(DType.F32, (7, 4), Space.MODEL, 16 * i, data=bytes(112)) for i in range(2)]
        at = Tensor(DType.S64, (positions,), Space.ARENA, 1024)
        out = Tensor(DType.F32, (3, 4, 1, 8), Space.ARENA, 2048)
        return Instruction(0, "mcu::rope", "out", (x, *tables, at, out), "rope")

    assert [each.function for each in emit(rotation(3))] == ["mcu_rope_chunk"]
    for positions in (0, 2):
        with pytest.raises(UnsupportedOperatorError, match="one position is wanted, or one for each"):
            emit(rotation(positions))
