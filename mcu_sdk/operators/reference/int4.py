"""Linears with int4 weights in groups of 32 columns: mcu::linear_s4.

Rows in groups of 8, columns in groups of 32. A block, 8 rows by 32 columns, is 144 bytes: 16 for each row, whose byte i
has column i in its low half and column 16 + i in its high half, both two's complement; then what the sum of each row's
group is multiplied with, 8 bfloat16: the upper halves of float32, of their range, so that widening one is a shift on
every core. Blocks lie in int8[ceil(N / 8), ceil(K / 32), 144], so that one pointer streams a group of rows. What is beyond
the last row and column is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mcu_sdk.operators.layouts import BLOCK_BYTES, GROUP, NIBBLE_BYTES, ROWS
from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32

LOWEST, HIGHEST = -8, 7
UNIT = 16
"""What 1 is in a sum: vector units read a nibble as the upper half of its byte."""


def pack_groups(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """int8[N, K] within -8 .. 7 and bfloat16[N, ceil(K / 32)], a weight being value * scale -> int8[ceil(N / 8),
    ceil(K / 32), 144].

    What is stored of a scale is its sixteenth (UNIT), exact for scales of at least 2^-122.
    """
    n, groups = scales.shape
    rows = np.pad(to_numpy(values), ((0, -n % ROWS), (0, -values.shape[1] % GROUP)))
    factors = np.pad(to_numpy(scales.float() / UNIT), ((0, -n % ROWS), (0, 0)))
    halves = rows.reshape(-1, ROWS, groups, 2, GROUP // 2).astype(np.uint8)
    nibbles = (halves[..., 0, :] & 15) | (halves[..., 1, :] << 4)  # [N / 8, 8, groups, 16]
    upper = (factors.view(np.uint32) >> 16).astype("<u2").reshape(-1, ROWS, groups)
    blocks = np.empty((rows.shape[0] // ROWS, groups, BLOCK_BYTES), np.uint8)
    blocks[..., :NIBBLE_BYTES] = nibbles.transpose(0, 2, 1, 3).reshape(*blocks.shape[:2], -1)
    blocks[..., NIBBLE_BYTES:] = np.ascontiguousarray(upper.transpose(0, 2, 1)).view(np.uint8)
    return to_torch(blocks.view(np.int8))


def unpack_groups(weight: torch.Tensor, n: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """int8[ceil(n / 8), groups, 144] -> (int8[n, k], float32[n, groups]: the factors as they are stored)."""
    blocks = to_numpy(weight)
    count, groups, _ = blocks.shape
    nibbles = blocks[..., :NIBBLE_BYTES].reshape(count, groups, ROWS, GROUP // 2)
    halves = np.stack([np.left_shift(nibbles, 4) >> 4, nibbles >> 4], -2)  # [N / 8, groups, 8, 2, 16]
    values = halves.transpose(0, 2, 1, 3, 4).reshape(count * ROWS, groups * GROUP)
    upper = np.ascontiguousarray(blocks[..., NIBBLE_BYTES:]).view("<u2").astype(np.uint32)
    factors = (upper << 16).view(F32).transpose(0, 2, 1).reshape(count * ROWS, groups)
    return to_torch(values[:n, :k]), to_torch(factors[:n])


@define("linear_s4", lambda x, x_scale, weight, bias, n: x.new_empty((*x.shape[:-1], n), dtype=torch.float32))
def linear_s4(
    x: torch.Tensor, x_scale: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, n: int
) -> torch.Tensor:
    """total * x_scale[row] (+ bias[n]).

    total is float32, begins at 0, and adds float(16 * acc) * factor group by group, in the order of the columns: acc
    is the group's int32 sum of products, factor its float32 in the block. Every product and sum is rounded to float32.

    x int8[..., K], x_scale float32[...], weight int8[ceil(n / 8), ceil(K / 32), 144] (see above), bias float32[n] or
    None -> float32[..., n].
    """
    groups = weight.shape[1]
    values, factors = (to_numpy(part) for part in unpack_groups(weight, n, groups * GROUP))
    padded = torch.nn.functional.pad(x, (0, -x.shape[-1] % GROUP))
    columns = to_numpy(padded).reshape(*x.shape[:-1], groups, GROUP).astype(F32)
    rows = values.reshape(n, groups, GROUP).astype(F32)
    total = np.zeros((*x.shape[:-1], n), F32)
    for group in range(groups):  # 32 * 128 * 8 * 16 = 2^19: float32 holds every sum
        sums: Any = (columns[..., group, :] @ rows[:, group].T) * F32(UNIT)
        total = total + sums * factors[:, group]
    out = total * to_numpy(x_scale)[..., None]
    return to_torch(out if bias is None else out + to_numpy(bias))
