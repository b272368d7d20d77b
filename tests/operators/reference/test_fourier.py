"""The Fourier transform that the kernels are held to, against numpy's in float64."""

from __future__ import annotations

import numpy as np
import pytest

from mcu_sdk.operators.reference.fourier import powers, radices, roots_of


@pytest.mark.parametrize("points", [2, 4, 8, 10, 16, 32, 40, 50, 128, 200, 256, 400, 512])
def test_powers(points: int) -> None:
    frames = np.random.default_rng(points).standard_normal((5, points)).astype(np.float32)
    exact = 4 * np.abs(np.fft.rfft(frames.astype(np.float64))) ** 2
    np.testing.assert_allclose(powers(frames, roots_of(points)), exact, atol=1e-6 * exact.max(), rtol=0)


def test_roots_are_exact_where_they_can_be() -> None:
    table = roots_of(512)
    assert table[[0, 128, 256, 384]].tolist() == [[1, 0], [0, -1], [-1, 0], [0, 1]]


def test_other_factors_are_refused() -> None:
    assert radices(200) == [4, 2, 5, 5]
    with pytest.raises(ValueError, match="factor 3"):
        radices(48)
