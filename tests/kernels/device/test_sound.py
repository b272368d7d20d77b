"""On Helium a spectrogram is what this computer's plain kernel gives, bit for bit, and costs what it is to cost."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from mcu_sdk.operators.reference.fourier import roots_of
from tests.kernels.call import Guarded, assert_same_bits, call
from tests.kernels.conftest import sources_of
from tests.kernels.device.simulated import Simulated, build
from tests.kernels.test_sound import LogMel, signal_of


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return build(sources_of("log_mel"), tmp_path_factory.mktemp("device"))


def _arguments(
    rng: np.random.Generator, points: int, width: int, *, bins: int, frames: int, hop: int, kind: int
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What comes before the output and what comes behind it; `kind`: bits of the flags, of a count and of a reach."""
    length = (frames - 1) * hop + width
    edges = np.linspace(0, points // 2 + 1, bins + 2).astype(np.int32)  # triangles, as wide as two bins
    counts = edges[2:] - edges[:-2]
    spans = np.stack([edges[:-2], counts], 1).astype(np.int32)
    filters, window = (rng.random(n).astype(np.float32) for n in (int(counts.sum()), width))
    count = np.array([length - 1]) if kind & 8 else None
    numbers = (0.97 if kind & 16 else 0.0, 1e-7, 0.3, -0.5, 2.0 if kind & 32 else 0.0)
    flags = (kind & 1, kind >> 1 & 1, kind >> 2 & 1)
    front = LogMel(length, width, points, bins, frames, hop, *flags, *numbers)
    before = [Guarded(v.shape, v.dtype, v) for v in (signal_of(rng, length),)]
    tables = [Guarded(v.shape, v.dtype, v) for v in (window, roots_of(points), filters, spans)]
    parameters = np.frombuffer(bytearray(front), np.int32).copy()
    return (*before, count, *tables), (Guarded(8 * points, np.uint8, 0x7F, aligned=True), parameters)


@pytest.mark.parametrize("points", [2, 4, 8, 10, 16, 20, 50, 64, 250, 400, 512])
def test_is_the_plain_kernel(sounds: Simulated, kernel_library: ctypes.CDLL, points: int) -> None:
    rng = np.random.default_rng(points)
    results = []
    for kind, width in zip((0, 31, 45, 50), [points, max(2, points - 3)] * 2, strict=True):
        bins = int(rng.integers(1, 7))
        before, behind = _arguments(rng, points, width, bins=bins, frames=2, hop=width // 2 + 1, kind=kind)
        out, expected = (Guarded((2, bins), np.float32) for _ in range(2))
        call(kernel_library, "log_mel", *before, expected, *behind)
        sounds.call("log_mel", *before, out, *behind)
        results.append((out, expected))
    sounds.run()
    for out, expected in results:
        assert_same_bits(out.array, expected.array)


def test_instructions(sounds: Simulated) -> None:
    """Of a frame of the keyword example: 400 samples, 512 points, 40 bins, mean and preemphasis."""
    before, behind = _arguments(np.random.default_rng(0), 512, 400, bins=40, frames=4, hop=160, kind=2 | 16)
    done = sounds.call("log_mel", *before, Guarded((4, 40), np.float32), *behind)
    sounds.run()
    assert done.instructions / 4 <= 16_000
