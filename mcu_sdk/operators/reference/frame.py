"""mcu::resize_frame: a camera's frame as a model's image, resized as Pillow does it, each pixel then by a table."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.resampling import WEIGHT_BITS


def _shapes(
    frame: torch.Tensor,
    column_spans: torch.Tensor,
    column_weights: torch.Tensor,
    row_spans: torch.Tensor,
    row_weights: torch.Tensor,
    table: torch.Tensor,
    ring: int,
    rows_first: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    columns, rows, channels = column_spans.shape[0], row_spans.shape[0], frame.shape[3]
    held = frame.shape[2] if rows_first else ring * columns
    scratch = table.new_empty((held + columns) * channels, dtype=torch.uint8)
    return table.new_empty((1, rows, columns, channels)), scratch


@define("resize_frame", _shapes)
def resize_frame(
    frame: torch.Tensor,
    column_spans: torch.Tensor,
    column_weights: torch.Tensor,
    row_spans: torch.Tensor,
    row_weights: torch.Tensor,
    table: torch.Tensor,
    ring: int,
    rows_first: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8[1, H, W, C] -> [1, h, w, C] of table's type, float32 or int8; and scratch uint8[(ring * w + w) * C], or [(W + w) * C] with
    rows_first.

    Column x is the weighted sum of the columns column_spans int32[w, 2][x, 0] on, column_spans[x, 1] of them, by the next of
    column_weights int32; the sum is rounded at WEIGHT_BITS and cut to 0 ... 255. Rows of what comes out likewise, ring of them
    at most at a time; with rows_first, before the columns. Then v of channel c is table[C, 256][c, v].
    """
    pixels = to_numpy(frame)[0].astype(np.int64)
    passes = [(0, row_spans, row_weights), (1, column_spans, column_weights)]
    small = pixels
    for axis, spans, weights in passes if rows_first else passes[::-1]:
        small = resampled(small, axis, to_numpy(spans), to_numpy(weights))
    _, columns, channels = small.shape
    values = to_numpy(table)[np.arange(channels), small]
    scratch = torch.zeros(
        ((pixels.shape[1] if rows_first else ring * columns) + columns) * channels, dtype=torch.uint8
    )
    return to_torch(np.ascontiguousarray(values))[None], scratch


def resampled(
    pixels: NDArray[np.int64], axis: int, spans: NDArray[np.int32], weights: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Sums over an axis of [rows, columns, C]."""
    lines = np.moveaxis(pixels, axis, 0)
    out = np.empty((len(spans), *lines.shape[1:]), np.int64)
    at = 0
    for number, (begin, count) in enumerate(spans.tolist()):
        parts = weights[at : at + count].astype(np.int64)[:, None, None]
        total = (lines[begin : begin + count] * parts).sum(0) + (1 << (WEIGHT_BITS - 1))
        out[number] = np.clip(total >> WEIGHT_BITS, 0, 255)
        at += count
    return np.moveaxis(out, 0, axis)
