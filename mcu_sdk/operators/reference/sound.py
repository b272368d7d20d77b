"""What sound is made of before a model reads it: mcu::log_mel, a spectrogram, and mcu::normalize_wave, a waveform."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcu_sdk.operators.reference import exact_math
from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, Array
from mcu_sdk.operators.reference.fourier import powers

POWER_UNIT = F32(2.0**-32)
"""From 4 |X|^2 of int16 samples to |X|^2 of samples within [-1, 1)."""

VARIANCE_FLOOR = F32(1e-7 * 2.0**30)
"""What transformers adds to a waveform's variance, in squares of an int16 sample's unit."""


def _shapes(
    samples: torch.Tensor,
    count: torch.Tensor | None,
    window: torch.Tensor,
    roots: torch.Tensor,
    filters: torch.Tensor,
    spans: torch.Tensor,
    frames: int,
    hop: int,
    centered: bool,
    from_mean: bool,
    bins_first: bool,
    *rest: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    bins = spans.shape[0]
    shape = (1, bins, frames) if bins_first else (1, frames, bins)
    return window.new_empty(shape), window.new_empty(8 * roots.shape[0], dtype=torch.uint8)


@define("log_mel", _shapes)
def log_mel(
    samples: torch.Tensor,
    count: torch.Tensor | None,
    window: torch.Tensor,
    roots: torch.Tensor,
    filters: torch.Tensor,
    spans: torch.Tensor,
    frames: int,
    hop: int,
    centered: bool,
    from_mean: bool,
    bins_first: bool,
    preemphasis: float,
    floor: float,
    gain: float,
    offset: float,
    reach: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """ln(max(mel, floor)) * gain + offset of each frame's energies -> float32[1, frames, bins], or [1, bins, frames] where
    `bins_first`; and scratch uint8[8 L].

    samples int16[1, N]: frame f has those from f * hop on, or, where `centered`, from f * hop - W / 2 on, mirrored at both
    ends. Of each frame its mean is taken away (`from_mean`), then preemphasis times the sample before (the first: itself),
    the rest is multiplied by window float32[W] and transformed in L points, roots float32[L, 2] (`fourier`). Bin b is the
    lane sum of |X|^2 from spans int32[bins, 2][b, 0] on, spans[b, 1] of them, times its part of `filters`.
    Frames that do not lie within the first `count` int64[1] samples are `offset`, as if the logarithm were 0.
    Values more than `reach` below the greatest are raised to that (0: none).
    """
    signal, win, table = to_numpy(samples).reshape(-1), to_numpy(window), to_numpy(roots)
    width, points = len(win), len(table)
    begins = np.arange(frames) * hop - (width // 2 if centered else 0)
    framed = signal[_mirrored(begins[:, None] + np.arange(width), len(signal))].astype(np.int64)
    prepared = _prepare(framed, from_mean, F32(preemphasis)) * win
    padded = np.zeros((frames, points), F32)
    padded[:, :width] = prepared
    energies = powers(padded, table) * POWER_UNIT
    mels, at = [], 0
    for first, length in to_numpy(spans).tolist():
        mels.append(_lane_dot(energies[:, first : first + length], to_numpy(filters)[at : at + length]))
        at += length
    mel = np.stack(mels, 1)
    out = exact_math.log(np.where(mel > F32(floor), mel, F32(floor))) * F32(gain) + F32(offset)
    if count is not None:
        out[begins + width > int(count.reshape(-1)[0])] = F32(offset)
    if reach > 0:
        lowest = out.max() - F32(reach)
        out = np.where(out > lowest, out, lowest)
    shaped = to_torch(out.T if bins_first else out)
    return shaped[None], torch.zeros(8 * points, dtype=torch.uint8)


def _mirrored(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Places before the first sample and behind the last, mirrored at it."""
    places = np.abs(places)
    return np.where(places < length, places, 2 * (length - 1) - places)


def _prepare(framed: NDArray[np.int64], from_mean: bool, preemphasis: np.float32) -> Array:
    width = framed.shape[1]
    x = framed.astype(F32)
    if from_mean:
        x = x - (framed.sum(1).astype(F32) / F32(width))[:, None]
    if preemphasis:
        before = np.concatenate([x[:, :1], x[:, :-1]], 1)
        x = x - preemphasis * before
    result: Array = x
    return result


def _lane_dot(a: Array, weights: Array) -> Array:
    """The sum of products over the last axis, in four lanes as exact_math.lane_sum."""
    return exact_math.lane_sum(a * weights)


@define(
    "normalize_wave",
    lambda samples, count, normalizes: torch.empty(samples.shape, dtype=torch.float32, device=samples.device),
)
def normalize_wave(samples: torch.Tensor, count: torch.Tensor | None, normalizes: bool) -> torch.Tensor:
    """samples int16[1, N] -> float32[1, N]: (x - mean) / sqrt(variance + 1e-7) of the first `count` samples, taken as
    within [-1, 1), and 0 behind them; x alone where not `normalizes`.

    m is the mean rounded to an integer, r what the sum is more than count * m: both, and the sum of (x - m)^2, are exact.
    """
    signal = to_numpy(samples).reshape(-1).astype(np.int64)
    n = len(signal) if count is None else max(0, min(int(count.reshape(-1)[0]), len(signal)))
    out = np.zeros(len(signal), F32)
    if not normalizes:
        out[:n] = signal[:n].astype(F32) * F32(2.0**-15)
    elif n:
        total = int(signal[:n].sum())
        middle = (total + n // 2) // n
        rest = F32(total - n * middle) / F32(n)
        centred = signal[:n] - middle
        variance = F32(int((centred * centred).sum())) / F32(n) - rest * rest
        divisor = np.sqrt((variance if variance > 0 else F32(0)) + VARIANCE_FLOOR)
        out[:n] = (centred.astype(F32) - rest) / divisor
    return to_torch(out.reshape(tuple(samples.shape)))
