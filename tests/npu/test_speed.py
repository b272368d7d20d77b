"""How long the simulator takes for a stream that it has run before, on one core."""

from __future__ import annotations

import time

import pytest

from tests.npu.comparison import count_mismatches, make_simulator, simulate
from tests.npu.decoder import DecoderStep, decoder_shapes
from tests.npu.lowering import lower, random_inputs
from tests.npu.models import Case, mobile_net

CASES = {
    # One million weights, 64 tokens in the cache.
    "decoder": (
        Case("decoder", lambda: DecoderStep(4, 128, 4, 384, 1024), decoder_shapes(4, 128, 4, 64)),
        0.050,
    ),
    # 19 million multiply-accumulates.
    "mobile_net": (Case("mobile_net_96", lambda: mobile_net(16), ((1, 3, 96, 96),)), 0.500),
}
"""Each with the most seconds it may take: what makes a firmware's run with a hundred tokens bearable."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_stream_that_was_run_before(name: str) -> None:
    case, limit = CASES[name]
    lowered, simulator = lower(case, "ethos-u55-128"), make_simulator("ethos-u55-128")
    assert count_mismatches(lowered, simulator, [0])[0] == 0
    inputs = random_inputs(lowered.tosa, 1)
    seconds = []
    for _ in range(20):  # the best of them: others may use the processor too
        begin = time.process_time()
        simulate(simulator, lowered.blob, inputs)
        seconds.append(time.process_time() - begin)
    assert min(seconds) <= limit
