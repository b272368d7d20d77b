"""Spectrograms and waveforms of sound: the kernels are their references, bit for bit."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.operators.reference.fourier import roots_of
from mcu_sdk.operators.reference.sound import log_mel, normalize_wave
from tests.kernels.call import Guarded, assert_same_bits, call

SEEDS = st.integers(0, 2**32 - 1)


class LogMel(ctypes.Structure):
    """McuLogMel."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("length", "width", "points", "bins", "frames", "hop")),
        *((name, ctypes.c_int32) for name in ("centered", "from_mean", "bins_first")),
        *((name, ctypes.c_float) for name in ("preemphasis", "floor", "gain", "offset", "reach")),
    ]


def signal_of(rng: np.random.Generator, length: int) -> np.ndarray[Any, Any]:
    """Silence, a constant, the loudest there is, or noise of any level."""
    kind = int(rng.integers(0, 4))
    if kind == 0:
        return np.zeros(length, np.int16)
    if kind == 1:
        return np.full(length, rng.integers(-32768, 32768), np.int16)
    if kind == 2:
        return np.where(rng.random(length) < 0.5, -32768, 32767).astype(np.int16)
    return np.rint(rng.normal(0, 10 ** rng.uniform(0, 3.5), length)).clip(-32768, 32767).astype(np.int16)


def spectrogram(library: ctypes.CDLL, rng: np.random.Generator, points: int, width: int) -> None:
    """The kernel and its reference on a signal, a bank of filters and frames of any kind."""
    bins, hop, frames = int(rng.integers(1, 6)), int(rng.integers(1, 90)), int(rng.integers(1, 6))
    centered, from_mean, bins_first = (bool(rng.integers(2)) for _ in range(3))
    length = (frames - 1) * hop + width
    first = rng.integers(0, points // 2 + 1, bins)
    counts = rng.integers(0, points // 2 + 2 - first)
    spans = np.stack([first, counts], 1).astype(np.int32)
    filters = rng.random(int(counts.sum())).astype(np.float32)
    window = rng.random(width).astype(np.float32)
    samples = signal_of(rng, length)
    count = np.array([rng.integers(-3, length + 3)]) if rng.integers(2) else None
    emphasis, reach = (float(rng.choice([0, value])) for value in (0.97, 2.0))
    numbers = (emphasis, 1e-7, float(rng.uniform(0.05, 1)), float(rng.normal()), reach)
    flags = (centered, from_mean, bins_first)
    out = Guarded((1, bins, frames) if bins_first else (1, frames, bins), np.float32)
    scratch = Guarded(8 * points, np.uint8, 0x7F, aligned=True)
    sizes = (length, width, points, bins, frames, hop)
    parameters = np.frombuffer(bytearray(LogMel(*sizes, *map(int, flags), *numbers)), np.int32).copy()
    tables = (window, roots_of(points), filters, spans)
    call(library, "log_mel", samples, count, *tables, out, scratch, parameters)
    tensors = [None if x is None else torch.from_numpy(x) for x in (samples[None], count, *tables)]
    expected = log_mel(*tensors, frames, hop, *flags, *numbers)[0].numpy()
    assert np.isfinite(expected).all()
    assert_same_bits(out.array, expected)


@pytest.mark.parametrize("points", [2, 4, 10, 16, 20, 50, 64, 100, 400, 512])
def test_spectrograms(kernel_library: ctypes.CDLL, points: int) -> None:
    rng = np.random.default_rng(points)
    for width in (points, max(1, points // 2 + 1), max(2, points - 3)):
        for _ in range(4):
            spectrogram(kernel_library, rng, points, min(width, points))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, length=st.integers(1, 300), counted=st.booleans(), normalizes=st.booleans())
def test_waveforms(
    kernel_library: ctypes.CDLL, seed: int, length: int, counted: bool, normalizes: bool
) -> None:
    rng = np.random.default_rng(seed)
    samples = signal_of(rng, length)
    count = np.array([rng.integers(-3, length + 3)]) if counted else None
    out = Guarded((1, length), np.float32)
    call(kernel_library, "normalize_wave", samples, count, out, length, normalizes)
    expected = normalize_wave(
        torch.from_numpy(samples[None]), None if count is None else torch.from_numpy(count), normalizes
    )
    assert_same_bits(out.array, expected.numpy())


def test_a_long_loud_waveform(kernel_library: ctypes.CDLL) -> None:
    """Whose sums need 64 bits."""
    samples = np.full(70_000, -32768, np.int16)
    samples[::3] = 32767
    out = Guarded((1, len(samples)), np.float32)
    call(kernel_library, "normalize_wave", samples, None, out, len(samples), True)
    assert_same_bits(out.array, normalize_wave(torch.from_numpy(samples[None]), None, True).numpy())
    exact = samples / 32768
    exact = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-7)
    np.testing.assert_allclose(out.array[0], exact, atol=1e-6)
