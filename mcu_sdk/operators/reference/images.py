"""Images with channels last in int8: mcu::conv2d_s8, depthwise_conv2d_s8, max_pool2d_s8, avg_pool2d_s8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32
from mcu_sdk.operators.reference.linear import requantize


def _convolved(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    input_offset: int,
    out_zero_point: int,
    multiplier: torch.Tensor,
    shift: torch.Tensor,
    out_min: int,
    out_max: int,
) -> torch.Tensor:
    """The convolution of x int8[1, H, W, C] by filters int8[O, C / groups, h, w]; sums are exact in float64."""
    top, left, bottom, right = padding
    image = (x.double() + input_offset).permute(0, 3, 1, 2)
    image = torch.nn.functional.pad(image, (left, right, top, bottom))
    groups = image.shape[1] // weight.shape[1]
    sums = torch.nn.functional.conv2d(image, weight.double(), None, stride, 0, dilation, groups)
    accumulated = to_numpy(sums.permute(0, 2, 3, 1)).astype(np.int64) + to_numpy(bias)
    scaled = requantize(accumulated.astype(np.int32), to_numpy(multiplier), to_numpy(shift))
    values = np.clip(scaled.astype(np.int64) + out_zero_point, out_min, out_max)
    return to_torch(values.astype(np.int8))


def _sides(x: torch.Tensor, size: Sequence[int], stride: Any, padding: Any, dilation: Any) -> list[int]:
    """Rows and columns of what windows of `size` make of x[1, H, W, C]."""
    return [
        (x.shape[1 + axis] + padding[axis] + padding[2 + axis] - dilation[axis] * (size[axis] - 1) - 1)
        // stride[axis]
        + 1
        for axis in (0, 1)
    ]


@define(
    "conv2d_s8",
    lambda x, weight, bias, stride, padding, dilation, *rest: x.new_empty(
        (x.shape[0], *_sides(x, weight.shape[1:3], stride, padding, dilation), weight.shape[0])
    ),
)
def conv2d_s8(x: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
    """clamp(requantize(bias[o] + sum (x + input_offset) * weight[o]) + out_zero_point, out_min, out_max).

    x int8[1, H, W, C], weight int8[O, h, w, C / groups], bias, multiplier, shift int32[O] -> int8[1, H', W', O];
    stride and dilation are (y, x), padding (top, left, bottom, right), of what is 0 among the real numbers.
    """
    return _convolved(x, weight.permute(0, 3, 1, 2), *rest)


@define(
    "depthwise_conv2d_s8",
    lambda x, weight, bias, stride, padding, dilation, *rest: x.new_empty(
        (x.shape[0], *_sides(x, weight.shape[1:3], stride, padding, dilation), weight.shape[3])
    ),
)
def depthwise_conv2d_s8(x: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
    """As conv2d_s8 where each channel has filters of its own: weight int8[1, h, w, O]."""
    return _convolved(x, weight.permute(3, 0, 1, 2), *rest)


def _pooled_like(
    x: torch.Tensor, size: Sequence[int], stride: Any, padding: Sequence[int], dilation: Any = (1, 1)
) -> torch.Tensor:
    sides = _sides(x, size, stride, [*padding, *padding], dilation)
    return x.new_empty((x.shape[0], *sides, x.shape[3]))


@define(
    "max_pool2d_s8",
    _pooled_like,
)
def max_pool2d_s8(
    x: torch.Tensor, size: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> torch.Tensor:
    """The greatest of each window of x int8[1, H, W, C] -> int8[1, H', W', C]."""
    image = x.float().permute(0, 3, 1, 2)
    pooled: torch.Tensor = torch.max_pool2d(image, list(size), stride, padding, dilation)
    return pooled.permute(0, 2, 3, 1).to(torch.int8).contiguous()


@define("avg_pool2d_s8", lambda x, size, stride, padding, *rest: _pooled_like(x, size, stride, padding))
def avg_pool2d_s8(
    x: torch.Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    zero_point: int,
    scale: float,
) -> torch.Tensor:
    """clamp(rint(sum ((x - zero_point) * scale) / count / scale) + zero_point) over the pixels of each window that are on
    the image, one after the other in float32: x int8[1, H, W, C] -> int8[1, H', W', C]."""
    values = (to_numpy(x).astype(F32) - F32(zero_point)) * F32(scale)
    out = np.zeros(tuple(_pooled_like(x, size, stride, padding).shape), np.int8)
    for row, column in np.ndindex(out.shape[1], out.shape[2]):
        total, count = np.zeros((out.shape[0], out.shape[3]), F32), 0
        for dy, dx in np.ndindex(*size):
            y, at = row * stride[0] - padding[0] + dy, column * stride[1] - padding[1] + dx
            if 0 <= y < x.shape[1] and 0 <= at < x.shape[2]:
                total, count = total + values[:, y, at], count + 1
        mean = np.rint(total / F32(count) / F32(scale)).astype(np.int64) + zero_point
        out[:, row, column] = np.clip(mean, -128, 127)
    return to_torch(out)
