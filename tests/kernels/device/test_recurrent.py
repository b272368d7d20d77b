"""LSTM and GRU on Helium are their references, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.call import Guarded, assert_same_bits
from tests.kernels.conftest import sources_of
from tests.kernels.device.simulated import Simulated, build
from tests.kernels.test_recurrent import SCRATCH, expected_of, operands, packed_of, parameters_of

SIZES = [(1, 1, 1, 1), (2, 3, 5, 4), (1, 2, 17, 7), (1, 4, 40, 18), (3, 1, 16, 16)]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return build(
        sources_of(*(f"{kind}_s8{how}" for kind in ("lstm", "gru") for how in ("", "_packed"))),
        tmp_path_factory.mktemp("device"),
    )


def test_recurrent(simulated: Simulated) -> None:
    rng, results = np.random.default_rng(12), []
    for number, sizes in enumerate(SIZES * 2):
        for kind in ("lstm", "gru"):
            reach = (0.2, 3.0, 200.0)[number % 3]
            given, bits, backwards = (
                operands(rng, kind, sizes, number % 2 == 0, reach),
                (9, 12, 15)[number % 3],
                number > 4,
            )
            for how, arrays in (("", given), ("_packed", packed_of(given))):
                out = Guarded((*sizes[:2], sizes[3]), np.int8)
                state = Guarded((sizes[0], sizes[3]), np.int16)
                scratch = Guarded(SCRATCH[kind] * sizes[3], np.uint8, 0x7F, aligned=True)
                inputs = [None if x is None else Guarded(x.shape, x.dtype, x) for x in arrays]
                parameters = parameters_of(given, bits, backwards)
                simulated.call(f"{kind}_s8{how}", *inputs, out, state, scratch, parameters)
                results.append((out, state, expected_of(kind, given, bits, backwards)))
    simulated.run()
    for out, state, expected in results:
        assert_same_bits(out.array, expected[0])
        assert_same_bits(state.array, expected[1])


@pytest.mark.parametrize(("kind", "most"), [("lstm", 10_500), ("gru", 8_700)])
def test_a_step_costs(simulated: Simulated, kind: str, most: int) -> None:
    """64 cells with 40 inputs: a bar slightly above what was measured."""
    given = operands(np.random.default_rng(13), kind, (1, 4, 40, 64), False)
    out, state = Guarded((1, 4, 64), np.int8), Guarded((1, 64), np.int16)
    scratch = Guarded(SCRATCH[kind] * 64, np.uint8, 0x7F, aligned=True)
    call = simulated.call(
        f"{kind}_s8_packed", *packed_of(given), out, state, scratch, parameters_of(given, 13, False)
    )
    simulated.run()
    assert call.instructions / 4 <= most, call.instructions / 4
