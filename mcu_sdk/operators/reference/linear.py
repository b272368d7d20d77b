"""int8 linears and the quantization before them: mcu::quantize_rows, quantize, linear_s8, linear_s8_static,
linear_s8_requantize, linear_s8_add_s16, embedding_s8."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, greatest_magnitude, round_clamped

EXACT_PRODUCTS = 1024
"""So many products of two int8 add up to at most 2^24: every partial sum, in any order, is a float32."""


WIDE = 16
"""From so many inputs and outputs on products are left to torch._int_mm: with one input, a transposed weight's strides
mislead it (torch 2.13), and narrow ones are cheap anyway."""


def _accumulate(x: torch.Tensor, weight: torch.Tensor) -> Any:
    """int8[..., K] times int8[N, K] -> int32[..., N], exact."""
    rows = x.reshape(-1, x.shape[-1])
    count, inputs, outputs = *rows.shape, weight.shape[0]
    if count and inputs >= WIDE and outputs >= WIDE and integer_products_are_exact():
        total = torch._int_mm(rows.contiguous(), weight.t())
    else:
        total = in_floats(rows, weight)
    return to_numpy(total).reshape(*x.shape[:-1], outputs)


def in_floats(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """int8[M, K] times int8[N, K] -> int32[M, N], exact, by float32 products of parts that cannot be rounded."""
    total = torch.zeros((rows.shape[0], weight.shape[0]), dtype=torch.int32)
    for begin in range(0, rows.shape[1], EXACT_PRODUCTS):
        left, right = (t[:, begin : begin + EXACT_PRODUCTS].float() for t in (rows, weight))
        total += (left @ right.t()).int()
    return total


@cache
def integer_products_are_exact() -> bool:
    """Whether this machine's product of int8 matrices is the sum of its products.

    It reads a weight once, as int8. oneDNN's saturates on processors that add pairs of products in 16 bits (x86-64
    before VNNI), which the greatest values show: their pairs do not fit.
    """
    for rows, inputs, outputs in ((1, WIDE, WIDE), (1, 4100, 33), (2, 63, 64), (2, 257, 17), (40, 64, 80)):
        for low, high in ((-128, -128), (-128, 127), (127, 127)):
            left = torch.full((rows, inputs), low, dtype=torch.int8)
            right = torch.full((outputs, inputs), high, dtype=torch.int8)
            if not bool((torch._int_mm(left, right.t()) == low * high * inputs).all()):
                return False
    return True


def _float_out(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]), dtype=torch.float32)


@define(
    "embedding_s8",
    lambda weight, scale, ids: weight.new_empty((*ids.shape, weight.shape[1]), dtype=torch.float32),
)
def embedding_s8(weight: torch.Tensor, scale: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Row `id` times its scale: weight int8[V, K], scale float32[V], ids int64[...] -> float32[..., K].

    An id outside the table gives a row of zeros.
    """
    rows, table = to_numpy(ids), to_numpy(weight)
    inside = (rows >= 0) & (rows < table.shape[0])
    safe = np.where(inside, rows, 0)
    values = table[safe].astype(F32) * to_numpy(scale)[safe][..., None]
    return to_torch(np.where(inside[..., None], values, F32(0)))


@define("quantize_rows", lambda x: (torch.empty_like(x, dtype=torch.int8), x.new_empty(x.shape[:-1])))
def quantize_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric int8 with a scale for each row, found at run time.

    m = max |row|; q = clamp(rint(x * (127 / m)), -127, 127), scale = m / 127. x float32[..., K] -> (int8[..., K],
    float32[...]).
    """
    values = to_numpy(x)
    m = greatest_magnitude(values)
    inverse = F32(127) / m
    q = round_clamped(values * inverse[..., None], -127, 127)
    return to_torch(q.astype(np.int8)), to_torch(m / F32(127))


@define("quantize", lambda x, scale, zero_point: torch.empty_like(x, dtype=torch.int8))
def quantize(x: torch.Tensor, scale: float, zero_point: int) -> torch.Tensor:
    """clamp(rint(x * (1 / scale)) + zero_point, -128, 127); float32 -> int8, one scale for all.

    1 / scale is one float32 division, as in quantized_decomposed.quantize_per_tensor.
    """
    inverse = F32(1) / F32(scale)
    rounded = round_clamped(to_numpy(x) * inverse, -(1 << 20), 1 << 20)
    return to_torch(np.clip(rounded + zero_point, -128, 127).astype(np.int8))


@define("linear_s8", lambda x, x_scale, weight, weight_scale, bias: _float_out(x, weight))
def linear_s8(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    weight: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """(float(acc) * weight_scale[n]) * x_scale[row] (+ bias[n]), acc the int32 sum of products.

    x int8[..., K], x_scale float32[...], weight int8[N, K], weight_scale float32[N], bias float32[N] or None ->
    float32[..., N].
    """
    accumulated = _accumulate(x, weight).astype(F32)
    out = (accumulated * to_numpy(weight_scale)) * to_numpy(x_scale)[..., None]
    return to_torch(out if bias is None else out + to_numpy(bias))


@define("linear_s8_static", lambda x, weight, offset, scale, bias: _float_out(x, weight))
def linear_s8_static(
    x: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """float(acc + offset[n]) * scale[n] (+ bias[n]): a linear whose input's scale is known beforehand.

    x int8[..., K], weight int8[N, K], offset int32[N] (-zero_point * sum of the row), scale float32[N] (the row's
    times the input's), bias float32[N] or None -> float32[..., N].
    """
    accumulated = (_accumulate(x, weight) + to_numpy(offset)).astype(F32)
    out = accumulated * to_numpy(scale)
    return to_torch(out if bias is None else out + to_numpy(bias))


def requantize(accumulated: Any, multiplier: Any, shift: Any) -> Any:
    """CMSIS-NN's arm_nn_requantize: a doubling high multiplication with rounding, then a rounding right shift.

    (acc << max(shift, 0)) * multiplier + 2^30 >> 31, then >> max(-shift, 0) to nearest, ties away from zero.
    int32 -> int32.
    """
    left, right = np.maximum(shift, 0).astype(np.int64), np.maximum(-shift, 0).astype(np.int64)
    shifted = (accumulated.astype(np.int64) << left).astype(np.int32).astype(np.int64)
    high = (shifted * multiplier.astype(np.int64) + (1 << 30)) >> 31
    mask = (np.int64(1) << right) - 1
    remainder = high & mask
    threshold = (mask >> 1) + (high < 0)
    return ((high >> right) + (remainder > threshold)).astype(np.int32)


@define(
    "linear_s8_requantize",
    lambda x, weight, *rest: x.new_empty((*x.shape[:-1], weight.shape[0]), dtype=torch.int8),
)
def linear_s8_requantize(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    multiplier: torch.Tensor,
    shift: torch.Tensor,
    out_zero_point: int,
    out_min: int,
    out_max: int,
) -> torch.Tensor:
    """int8 all through, a multiplier and shift for each channel.

    x int8[..., K], weight int8[N, K], bias int32[N] (the input's zero point folded in), multiplier and shift
    int32[N] -> int8[..., N].
    """
    accumulated = _accumulate(x, weight) + to_numpy(bias)
    scaled = requantize(accumulated, to_numpy(multiplier), to_numpy(shift)).astype(np.int64) + out_zero_point
    return to_torch(np.clip(scaled, out_min, out_max).astype(np.int8))


S16 = -(1 << 15), (1 << 15) - 1


@define("linear_s8_add_s16", lambda self, *rest: torch.empty_like(self))
def linear_s8_add_s16(
    self: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    multiplier: torch.Tensor,
    shift: torch.Tensor,
) -> torch.Tensor:
    """What a linear adds to a residual stream: self + requantize(acc + bias), both sum and addend saturated to int16.

    self int16[..., N], at the result's scale, of as many rows as x; x int8[..., K], weight int8[N, K], bias, multiplier
    and shift int32[N] as in linear_s8_requantize -> int16 like self.
    """
    accumulated = _accumulate(x, weight) + to_numpy(bias)
    scaled = np.clip(requantize(accumulated, to_numpy(multiplier), to_numpy(shift)), *S16)
    total = to_numpy(self).astype(np.int32) + scaled.reshape(self.shape)
    return to_torch(np.clip(total, *S16).astype(np.int16))
