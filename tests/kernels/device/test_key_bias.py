"""What known biases of keys give to scores, on Helium: the reference's bits, and a vector's cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import from_numpy

from mcu_sdk.operators.reference.key_bias import key_bias_scores
from tests.kernels.call import Guarded, assert_same_bits, normal
from tests.kernels.conftest import kernel_files
from tests.kernels.device.simulated import Call, Simulated, build


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return build(kernel_files("key_bias_scores*.cpp"), tmp_path_factory.mktemp("device"))


def _score(
    simulated: Simulated, shape: tuple[int, int, int, int], position: int
) -> tuple[Call, Guarded, Any]:
    """A call for (heads, groups, channels, positions), its result, and the reference's."""
    heads, groups, channels, positions = shape
    rng = np.random.default_rng(sum(shape) + position)
    q, table = normal(rng, 1, heads, 1, 9), normal(rng, groups, channels, positions, spread=600)
    columns, at = rng.integers(0, 9, channels).astype(np.int32), np.array([position], np.int64)
    out = Guarded((1, heads, positions), np.float32)
    given = [Guarded(each.shape, each.dtype, each) for each in (q, table, columns)]
    sizes = (heads, groups, channels, positions, 9, 0.3)
    call = simulated.call("key_bias_scores", *given, at, out, *sizes)
    return call, out, key_bias_scores(*map(from_numpy, (q, table, columns, at)), 0.3).numpy()


def test_scores(simulated: Simulated) -> None:
    shapes = [
        (heads, groups, c, s) for heads, groups in ((1, 1), (4, 2)) for c in (1, 2, 5) for s in (1, 6, 19)
    ]
    results = [
        _score(simulated, shape, position) for shape in shapes for position in (0, shape[3] // 2, shape[3])
    ]
    simulated.run()
    for _, out, expected in results:
        assert_same_bits(out.array, expected)


def test_costs(simulated: Simulated) -> None:
    """One head with a pair of channels over 128 positions: a bar slightly above what was measured."""
    call, _, _ = _score(simulated, (8, 8, 2, 128), 127)
    simulated.run()
    assert call.instructions / 8 <= 375
