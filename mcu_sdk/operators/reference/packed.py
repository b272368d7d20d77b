"""int8 linears and embeddings with packed weights: the overloads `packed` of mcu::linear_s8, linear_s8_static,
linear_s8_requantize, linear_s8_add_s16 and embedding_s8.

Rows in groups of 8, columns in blocks of 16, and the 16-byte blocks of a group's rows next to each other, so that one
pointer streams all that a vector unit multiplies: int8[ceil(N / 8), ceil(K / 16), 8, 16], zeros beyond N and K. What
belongs to a channel is padded with zeros to 8 * ceil(N / 8). The results are those of the unpacked operators.
"""

from __future__ import annotations

import torch

from mcu_sdk.operators.layouts import COLUMNS, ROWS
from mcu_sdk.operators.reference.define import define
from mcu_sdk.operators.reference.linear import (
    embedding_s8,
    linear_s8,
    linear_s8_add_s16,
    linear_s8_requantize,
    linear_s8_static,
)


def pack(weight: torch.Tensor) -> torch.Tensor:
    """int8[..., N, K] -> int8[..., ceil(N / 8), ceil(K / 16), 8, 16]."""
    *outer, n, k = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -k % COLUMNS, 0, -n % ROWS))
    groups, blocks = padded.shape[-2] // ROWS, padded.shape[-1] // COLUMNS
    return padded.view(*outer, groups, ROWS, blocks, COLUMNS).transpose(-3, -2).contiguous()


def unpack(weight: torch.Tensor, n: int, k: int) -> torch.Tensor:
    """int8[ceil(n / 8), ceil(k / 16), 8, 16] -> int8[n, k]."""
    groups, blocks, rows, columns = weight.shape
    return weight.permute(0, 2, 1, 3).reshape(groups * rows, blocks * columns)[:n, :k].contiguous()


def pad_channels(values: torch.Tensor) -> torch.Tensor:
    """[..., N] -> [..., 8 * ceil(N / 8)], zeros at the end."""
    return torch.nn.functional.pad(values, (0, -values.shape[-1] % ROWS))


def interleave(bias: torch.Tensor, multiplier: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """int32[N] each -> int32[ceil(N / 8), 3, 8]: what the channels of a group are requantized with, side by side."""
    return torch.stack([pad_channels(values).view(-1, ROWS) for values in (bias, multiplier, shift)], 1)


def _out(x: torch.Tensor, n: int, dtype: torch.dtype) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], n), dtype=dtype)


@define(
    "embedding_s8.packed",
    lambda weight, scale, ids, n: weight.new_empty((*ids.shape, n), dtype=torch.float32),
)
def embedding_s8_packed(weight: torch.Tensor, scale: torch.Tensor, ids: torch.Tensor, n: int) -> torch.Tensor:
    """Row `id` times its scale: weight int8[V / 8, ceil(n / 16), 8, 16], scale float32[V], ids int64[...] ->
    float32[..., n].

    An id outside the table gives a row of zeros; so do the rows that fill up the last group.
    """
    inside = (ids >= 0) & (ids < weight.shape[0] * ROWS)
    known = torch.where(inside, ids, 0).reshape(-1)
    rows = weight[known // ROWS, :, known % ROWS].flatten(1)[:, :n]  # only those that are asked for
    places = torch.where(inside, torch.arange(len(known)).view(ids.shape), -1)
    result: torch.Tensor = embedding_s8(rows, scale[known], places)
    return result


@define("linear_s8.packed", lambda x, x_scale, weight, weight_scale, bias, n: _out(x, n, torch.float32))
def linear_s8_packed(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    weight: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
    n: int,
) -> torch.Tensor:
    """As linear_s8, n channels: x int8[..., K], x_scale float32[...], weight int8[ceil(n / 8), ceil(K / 16), 8, 16],
    weight_scale float32[8 * ceil(n / 8)], bias the same or None -> float32[..., n]."""
    rows = unpack(weight, n, x.shape[-1])
    result: torch.Tensor = linear_s8(x, x_scale, rows, weight_scale[:n], None if bias is None else bias[:n])
    return result


@define("linear_s8_static.packed", lambda x, weight, offset, scale, bias, n: _out(x, n, torch.float32))
def linear_s8_static_packed(
    x: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None,
    n: int,
) -> torch.Tensor:
    """As linear_s8_static, n channels: x int8[..., K], weight int8[ceil(n / 8), ceil(K / 16), 8, 16], offset
    int32[8 * ceil(n / 8)], scale and bias (or None) float32 of that length -> float32[..., n]."""
    rows = unpack(weight, n, x.shape[-1])
    result: torch.Tensor = linear_s8_static(
        x, rows, offset[:n], scale[:n], None if bias is None else bias[:n]
    )
    return result


@define(
    "linear_s8_requantize.packed",
    lambda x, weight, constants, zero_point, low, high, n: _out(x, n, torch.int8),
)
def linear_s8_requantize_packed(
    x: torch.Tensor,
    weight: torch.Tensor,
    constants: torch.Tensor,
    out_zero_point: int,
    out_min: int,
    out_max: int,
    n: int,
) -> torch.Tensor:
    """As linear_s8_requantize, n channels and no shift to the left: x int8[..., K], weight
    int8[ceil(n / 8), ceil(K / 16), 8, 16], constants int32[ceil(n / 8), 3, 8] (biases, multipliers, shifts within
    -31 .. 0) -> int8[..., n]."""
    rows = unpack(weight, n, x.shape[-1])
    channels = separate(constants, n)
    result: torch.Tensor = linear_s8_requantize(x, rows, *channels, out_zero_point, out_min, out_max)
    return result


def separate(constants: torch.Tensor, n: int) -> torch.Tensor:
    """int32[ceil(n / 8), 3, 8] -> int32[3, n]: the inverse of interleave."""
    return constants.permute(1, 0, 2).reshape(3, -1)[:, :n].contiguous()


@define("linear_s8_add_s16.packed", lambda self, *rest: torch.empty_like(self))
def linear_s8_add_s16_packed(
    self: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, constants: torch.Tensor, n: int
) -> torch.Tensor:
    """As linear_s8_add_s16, n channels and no shift to the left: self int16[..., n], x int8[..., K], weight and constants
    as in linear_s8_requantize.packed -> int16 like self."""
    rows = unpack(weight, n, x.shape[-1])
    result: torch.Tensor = linear_s8_add_s16(self, x, rows, *separate(constants, n))
    return result
