"""The simulator on streams written by hand: what it does, and what it stops at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.errors import McuSdkError, PteError
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.errors import MiscompiledError, SimulationError
from mcu_sdk.npu.simulator import Simulator
from tests.npu.assembly import INT8, INT16, INT32, STOP, command, feature_map, plain_operation
from tests.npu.blobs import command_block

U55 = accelerator("ethos-u55-128")


def run(words: list[int], scratch: np.ndarray) -> None:
    Simulator(U55).run(command_block([*words, STOP]), [None, scratch])


def noise(size: int = 8192) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size, np.uint8)


def _sum(target: int) -> list[int]:
    return [*plain_operation((1, 1, 8), (1, 1, 1), INT32, target), *command("OP_POOL", 2)]


def test_dma_copies_a_stretch() -> None:
    words = command("SET_DMA0_SRC_REGION", region=1) + command("SET_DMA0_DST_REGION", region=1)
    words += command("SET_DMA0_SRC", 100) + command("SET_DMA0_DST", 4000) + command("SET_DMA0_LEN", 50)
    scratch = noise()
    before = scratch.copy()
    run([*words, *command("OP_DMA_START"), *command("OP_DMA_WAIT", 0)], scratch)
    before[4000:4050] = before[100:150]
    np.testing.assert_array_equal(scratch, before)


def test_sum_over_channels() -> None:
    scratch = noise()
    scratch[:32].view("<i4")[:] = [1, -2, 30, 4, 5, 6, -7, 8]
    run(_sum(INT8), scratch)
    assert scratch[4096] == 45


def test_limits_that_are_forced_hold_for_32_bits() -> None:
    """Vela 5.2.0 does so before it narrows."""
    scratch = noise()
    scratch[:32].view("<i4")[:] = [1, -2, 300, 4, 5, 6, -7, 8]
    limits = command("SET_ACTIVATION_MIN", -128 & 0xFFFF) + command("SET_ACTIVATION_MAX", 127)
    forced = command("SET_ACTIVATION", activation_clip_range=5)
    run([*_sum(INT32)[:-1], *limits, *forced, *command("OP_POOL", 2)], scratch)
    assert scratch[4096:4100].view("<i4")[0] == 127
    with pytest.raises(SimulationError, match="limits of -128 to 127 for 32 bits are not simulated"):
        run([*_sum(INT32)[:-1], *limits, *command("OP_POOL", 2)], scratch)
    with pytest.raises(SimulationError, match="ACTIVATION is 0x5000"):
        run([*_sum(INT8)[:-1], *forced, *command("OP_POOL", 2)], scratch)


def test_an_accumulator_that_overflows_is_an_error() -> None:
    scratch = noise()
    scratch[:32].view("<i4")[:] = 1 << 29
    with pytest.raises(
        SimulationError, match=r"OP_POOL REDUCE_SUM: an accumulator of 32 bits would hold 4294967296"
    ):
        run(_sum(INT8), scratch)


def test_a_result_that_overflows_is_an_error() -> None:
    scratch = noise()
    scratch[:32].view("<i4")[:] = 1 << 30
    words = feature_map("IFM", (1, 1, 8), 0, {"activation_type": 1, "activation_precision": INT32})
    words = plain_operation((1, 1, 8), (1, 1, 8), INT32, INT32) + words
    words += feature_map("IFM2", (1, 1, 8), 0, {"activation_type": 1, "activation_precision": INT32})
    words += command("SET_IFM2_BROADCAST") + command("SET_OPA_SCALE", scale=1, shift=0)
    words += command("SET_OPB_SCALE", 1) + command("OP_ELEMENTWISE", 1)
    with pytest.raises(SimulationError, match="ELEMENTWISE ADD: a result of 32 bits would hold 2147483648"):
        run(words, scratch)


@pytest.mark.parametrize(
    ("mode", "scaled", "other", "wrong"),
    [
        (1, (222, 0), 2048, True),
        (2, (1935, 0), 2048, True),
        (1, (8192, 0), 1 << 14, False),
        (0, (222, 0), 2048, False),
    ],
)
def test_a_sum_of_which_one_factor_would_be_another_is_refused(
    mode: int, scaled: tuple[int, int], other: int, wrong: bool
) -> None:
    """Mode 0: both operands have their factors."""
    operand = {"activation_type": 1, "activation_precision": INT16}
    words = plain_operation((1, 1, 8), (1, 1, 8), INT16, INT16)
    words += feature_map("IFM", (1, 1, 8), 0, {**operand, "scale_mode": mode, "round_mode": 2})
    words += feature_map("IFM2", (1, 1, 8), 64, operand) + command("SET_IFM2_BROADCAST")
    words += command("SET_OPA_SCALE", scale=scaled[0], shift=scaled[1]) + command("SET_OPB_SCALE", other)
    words += command("OP_ELEMENTWISE", 1)
    if wrong:
        with pytest.raises(
            MiscompiledError, match=rf"the factors {scaled[0]} and {other}.*compiler's mistake"
        ):
            run(words, noise())
    else:
        run(words, noise())


def test_an_access_outside_its_region_is_an_error() -> None:
    with pytest.raises(SimulationError, match="bytes 4096 to 4097 of region 1, which has 4096"):
        run(_sum(INT8), np.zeros(4096, np.uint8))
    with pytest.raises(SimulationError, match="region 1, which has no memory"):
        Simulator(U55).run(command_block([*_sum(INT8), STOP]), [noise()])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([0x3F0], "word 0 of the command stream, 0x3f0: it is not known"),
        ([0x43F0, 1], "0x3f0: it is not known"),
        ([0x0008_010F], "SET_IFM_REGION: its reserved bits hold 0x8"),
        (command("OP_POOL", 2), "it needs the register OFM_PRECISION, which nothing has set"),
        ([*_sum(INT8)[:-1], *command("OP_POOL", 5)], "0x5 is no Pooling"),
        ([*_sum(INT8)[:-1], *command("OP_ELEMENTWISE", 40)], "0x28 is no Elementwise"),
        ([*command("SET_ACC_FORMAT", 3), *command("OP_POOL", 2)], "OP_POOL"),
    ],
)
def test_what_is_not_known_is_refused(words: list[int], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        run(words, noise())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (command("SET_ACTIVATION", activation_function=3), "ACTIVATION is 0x3"),
        (command("SET_ACTIVATION", activation_clip_range=3), "ACTIVATION is 0x3000"),
        (command("SET_ACC_FORMAT", 2), "16-bit floats"),
        (command("SET_ACC_FORMAT", 3), "0x3 is no Accumulator"),
        (command("SET_IFM_UPSCALE", 3), "0x3 is no Upscale"),
        (command("SET_KERNEL_STRIDE", decomposition=1), "KERNEL_STRIDE is 0x20"),
        (command("SET_IFM_PAD_BOTTOM", 1), "it pads by 0, 0, 1, 0"),
        (
            command("SET_IFM_PRECISION", activation_type=1, activation_precision=2, scale_mode=1),
            "only elementwise inputs are scaled",
        ),
        (
            command("SET_IFM_PRECISION", activation_type=1, activation_precision=3),
            "elements of the size 3 are not defined",
        ),
        (
            command("SET_OFM_PRECISION", activation_type=1, scale_mode=1, round_mode=1)
            + command("SET_OFM_SCALE", scale=3, shift=4),
            "TRUNCATE",
        ),
        (
            command("SET_OFM_PRECISION", activation_type=1, scale_mode=1, round_mode=3),
            "0x3 is no Rounding",
        ),
    ],
)
def test_encodings_that_are_not_simulated_are_refused(change: list[int], message: str) -> None:
    words = _sum(INT8)
    with pytest.raises(SimulationError, match=message):
        run([*words[:-1], *change, words[-1]], noise())


def test_a_table_that_was_not_loaded_is_an_error() -> None:
    words = plain_operation((1, 1, 8), (1, 1, 8), INT8, INT8)
    words += command("SET_ACTIVATION", activation_function=17)
    with pytest.raises(
        SimulationError, match="a table at bytes 22784 to 23040 inside the NPU is used, and was not"
    ):
        run([*words, *command("OP_POOL", 1)], noise())


def test_an_elementwise_mode_that_vela_does_not_use_is_refused() -> None:
    words = [*plain_operation((1, 1, 8), (1, 1, 8), INT8, INT8), *command("OP_ELEMENTWISE", 5)]
    with pytest.raises(SimulationError, match="LRELU is not simulated"):
        run(words, noise())


def test_a_stream_without_stop_is_refused() -> None:
    with pytest.raises(SimulationError, match="ends without STOP"):
        Simulator(U55).run(command_block(_sum(INT8)), [None, noise()])


def test_a_stream_for_another_accelerator_is_refused() -> None:
    with pytest.raises(PteError, match="ethos-u55-128; the NPU is ethos-u55-32"):
        Simulator(accelerator("ethos-u55-32")).run(command_block([STOP]), [None, noise()])


def test_many_streams_do_not_pile_up() -> None:
    simulator = Simulator(U55)
    for base in range(20):
        simulator.run(command_block([*command("SET_IFM_BASE0", base), STOP]), [None, noise(64)])
    assert len(simulator._kept) <= 8


def _conv() -> list[int]:
    words = plain_operation((2, 2, 8), (2, 2, 8), INT8, INT8)
    words += command("SET_WEIGHT_REGION", 1) + command("SET_WEIGHT_BASE", 5000)
    words += command("SET_WEIGHT_LENGTH", 64) + command("SET_SCALE_REGION", 1)
    words += command("SET_SCALE_BASE", 6000) + command("SET_SCALE_LENGTH", 80)
    return [*words, *command("SET_OFM_BLK_DEPTH_M1", 7), *command("OP_CONV")]


def _elementwise() -> list[int]:
    words = plain_operation((2, 2, 8), (2, 2, 8), INT8, INT8)
    words += feature_map("IFM2", (2, 2, 8), 64, {"activation_type": 1, "activation_precision": INT8})
    words += command("SET_IFM2_BROADCAST") + command("SET_OPA_SCALE", scale=1, shift=0)
    return [*words, *command("SET_OPB_SCALE", 1), *command("OP_ELEMENTWISE", 1)]


STREAMS = {"sum": _sum(INT8), "elementwise": _elementwise(), "convolution": _conv()}


@settings(deadline=None, max_examples=150)
@given(
    name=st.sampled_from(sorted(STREAMS)),
    changes=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(["parameter", "word"]), st.integers(0, 2**32 - 1)),
        min_size=1,
        max_size=3,
    ),
)
def test_a_damaged_stream_ends_in_an_error_or_in_bytes(
    name: str, changes: list[tuple[int, str, int]]
) -> None:
    words = list(STREAMS[name])
    for place, part, value in changes:
        place %= len(words)
        words[place] = value if part == "word" else words[place] & 0xFFFF | value & 0xFFFF0000
    try:
        run(words, noise())
    except McuSdkError as error:
        assert len(str(error)) > 20
