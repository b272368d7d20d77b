"""Weights through Vela's encoder and back."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from ethosu import mlw_codec
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.opcodes import Accumulator, Rounding, Upscale
from mcu_sdk.npu.operations import Convolution, ElementType, FeatureMap, Kernel, Output, Stretch, Window
from mcu_sdk.npu.weight_decoder import WeightDecoder
from mcu_sdk.npu.weights import decode_scales, decode_weights


def _convolution(
    shape: tuple[int, int, int, int],
    *,
    depthwise: bool,
    part_kernel: bool,
    bits: int,
    block: int,
    dilation: tuple[int, int],
) -> Convolution:
    """A convolution of which only what decides the weights' order matters. `shape`: out, rows, columns, in."""
    out, rows, columns, inputs = shape
    zeros = (0, 0, 0, 0)
    kind = ElementType(bits, signed=True)
    depth = out if depthwise else inputs
    ifm = FeatureMap((1, 1, depth), kind, 1, zeros, 1, 1, 1, 1, 1, 1, False, 0)
    ofm = FeatureMap((1, 1, out), kind, 1, zeros, 1, 1, 1, 1, 1, 1, False, 0)
    height, width = (rows - 1) * dilation[0] + 1, (columns - 1) * dilation[1] + 1
    kernel = Kernel(height, width, 1, 1, *dilation, part_kernel)
    window = Window(ifm, kernel, Upscale.NONE, 0, 0, 0, 0)
    output = Output(ofm, None, Rounding.NATURAL, -128, 127, None)
    places = (Stretch(0, 0, 0),)
    return Convolution(0, depthwise, window, places, places, block, Accumulator.I32, output)


@settings(deadline=None, max_examples=40)
@given(
    out=st.integers(1, 40),
    kernel=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    inputs=st.integers(1, 40),
    order=st.sampled_from(["depthwise", "part_kernel", "depth_first"]),
    bits=st.sampled_from([8, 16]),
    block=st.sampled_from([8, 16, 24, 40]),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    macs=st.sampled_from([32, 64, 128, 256]),
    seed=st.integers(0, 99),
)
def test_encoded_weights_come_back(
    out: int,
    kernel: tuple[int, int],
    inputs: int,
    order: str,
    bits: int,
    block: int,
    dilation: tuple[int, int],
    macs: int,
    seed: int,
) -> None:
    npu = accelerator(f"ethos-u55-{macs}")
    depthwise = order == "depthwise"
    shape = (out, *kernel, 1 if depthwise else inputs)
    weights = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int16)
    encoded, _ = mlw_codec.reorder_encode(
        npu.ifm_ublock_depth,
        npu.ofm_ublock_depth,
        weights,
        block,
        depthwise,
        order == "part_kernel",
        bits,
        8 // dilation[0],
        8 // dilation[1],
    )
    operation = _convolution(
        shape,
        depthwise=depthwise,
        part_kernel=order == "part_kernel",
        bits=bits,
        block=block,
        dilation=dilation,
    )
    np.testing.assert_array_equal(decode_weights(bytes(encoded), operation, npu, 0, out), weights)


@given(
    rows=st.lists(
        st.tuples(st.integers(-(1 << 39), (1 << 39) - 1), st.integers(0, (1 << 32) - 1), st.integers(0, 63)),
        min_size=1,
        max_size=6,
    )
)
def test_scales(rows: list[tuple[int, int, int]]) -> None:
    packed = b"".join(
        (bias & ((1 << 40) - 1)).to_bytes(5, "little") + struct.pack("<IB", scale, shift)
        for bias, scale, shift in rows
    )
    bias, scale, shift = decode_scales(packed, len(rows))
    assert list(zip(bias.tolist(), scale.tolist(), shift.tolist(), strict=True)) == rows


def test_a_corrupt_stream_ends_only_the_decoder() -> None:
    decoder = WeightDecoder()
    try:
        with pytest.raises(ValueError, match="the weight stream of 100 bytes is corrupt"):
            decoder.decode(np.random.default_rng(3).integers(0, 256, 100, np.uint8).tobytes())
        encoded = bytes(mlw_codec.encode([1, -2, 3] * 10))
        assert decoder.decode(encoded)[:6].tolist() == [1, -2, 3, 1, -2, 3]  # the next one gets a new process
    finally:
        decoder.close()


def test_the_decoder_leaves_no_process() -> None:
    decoder = WeightDecoder()
    decoder.decode(bytes(mlw_codec.encode([5] * 8)))
    process = decoder._process
    assert process is not None
    decoder.close()
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_another_number_of_weights_is_refused() -> None:
    operation = _convolution(
        (8, 1, 1, 8), depthwise=False, part_kernel=False, bits=8, block=8, dilation=(1, 1)
    )
    encoded = bytes(mlw_codec.encode([1] * 64))
    with pytest.raises(ValueError, match=r"holds \d+ weights; 256 are needed"):
        decode_weights(encoded, operation, accelerator("ethos-u55-128"), 0, 8)
