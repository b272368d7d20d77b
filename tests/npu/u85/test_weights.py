"""A U85's weights through Vela's encoder, which only a whole compilation reaches, and back; its scales."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.stream import read_stream
from mcu_sdk.npu.u85.convolution import weight_layout
from mcu_sdk.npu.u85.decode import decode
from mcu_sdk.npu.u85.operations import Convolution, Packed
from mcu_sdk.npu.u85.weights import WeightLayout, decode_scales, decode_weights
from tests.npu.lowering import Array, compile_tosa
from tests.npu.u85.graphs import Conv

SWD_ONLY = ("--disable-fwd",)
QUICK = {
    "swd": Conv(70, (3, 3), 20, stride=(1, 2)),
    "swd depthwise": Conv(39, (5, 3), 39, stride=(2, 1), depthwise=True),
    "fwd plain": Conv(33, (1, 1), 150, spread=0),
    "fwd small palette": Conv(72, (2, 3), 39, spread=0.3),
}


def _decoded(
    conv: Conv, name: str, flags: tuple[str, ...] = ()
) -> tuple[Array, list[tuple[WeightLayout, bool]]]:
    """The weights that the blob's convolutions hold, and how they are packed."""
    blob = read_blob(compile_tosa(conv.graph(), name, flags))
    found, packed = [], []
    for operation in decode(read_stream(blob.commands)):
        if isinstance(operation, Convolution):
            assert isinstance(operation.weights, Packed)
            streams = [blob.weights[s.begin : s.begin + s.length] for s in operation.weights.streams]
            layout = weight_layout(operation, accelerator(name))
            found.append(decode_weights(streams, layout, operation.weights.fast))
            packed.append((layout, operation.weights.fast))
    return np.concatenate(found), packed


@pytest.mark.parametrize("case", QUICK)
@pytest.mark.parametrize("name", ["ethos-u85-256", "ethos-u85-512"])
def test_encoded_weights_come_back(case: str, name: str) -> None:
    conv = QUICK[case]
    found, packed = _decoded(conv, name, SWD_ONLY if "swd" in case else ())
    np.testing.assert_array_equal(found, conv.weights())
    assert {fast for _, fast in packed} == {"fwd" in case}


@pytest.mark.slow
@pytest.mark.parametrize("macs", [128, 256, 512, 1024, 2048])
def test_weights_of_many_shapes_come_back(macs: int) -> None:
    rng = np.random.default_rng(macs)
    seen = set()
    for seed in range(60):
        depthwise = bool(rng.random() < 0.3)
        dilated = bool(rng.random() < 0.3)
        out = int(rng.integers(1, 100))
        greatest = (1, 3, 5, 11)[rng.integers(4)]
        rows, columns = (int(n) for n in rng.integers(1, greatest + 1, 2))
        stride = (1, 1) if dilated else tuple(int(n) for n in rng.integers(1, 4, 2))
        conv = Conv(
            out,
            (rows, columns),
            out if depthwise else int(rng.integers(3, 150)),
            stride=(stride[0], stride[1]),
            dilation=(2, 2) if dilated else (1, 1),
            depthwise=depthwise,
            bits=8 if rng.random() < 0.7 else 16,
            spread=(0, 20, 8, 3)[rng.integers(4)],
            seed=seed,
        )
        found, packed = _decoded(conv, f"ethos-u85-{macs}", SWD_ONLY if seed % 2 else ())
        np.testing.assert_array_equal(found, conv.weights(), str(conv))
        seen |= {(layout.part_kernel, layout.depthwise, fast) for layout, fast in packed}
    orders = {(True, False), (False, True), (False, False)}
    assert {order[:2] for order in seen} == orders
    # For the largest Vela chose FWD for none of these.
    assert {order[2] for order in seen} == ({False} if macs == 2048 else {True, False})


LAYOUT = WeightLayout((8, 1, 1, 64), False, False, 8, 16, 8, (1, 1), (1, 1), 256, 1)
"""A linear from 64 to 8 channels: 512 weights."""


def _fast(count: int, raw: int = 1, small: int = 0) -> bytes:
    return bytes([raw | small << 1]) + bytes(31) + bytes(range(256)) * (count // 256)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "of 0 bytes is corrupt"),
        (_fast(512)[:-32], "has 512 bytes; 512 weights of 8 bits need 544"),
        (_fast(512, small=1), "header of the weight stream is corrupt"),
        (bytes([5]) + _fast(512)[1:], "header of the weight stream is corrupt"),
    ],
)
def test_a_corrupt_fast_stream_is_refused(stream: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_weights([stream], LAYOUT, fast=True)


def test_weights_where_padding_belongs_are_refused() -> None:
    layout = WeightLayout((8, 1, 1, 60), False, False, 8, 16, 8, (1, 1), (1, 1), 256, 1)
    with pytest.raises(ValueError, match="weights where padding belongs"):
        decode_weights([_fast(512)], layout, fast=True)


@pytest.mark.parametrize("wide", [False, True])
@settings(max_examples=20)
@given(data=st.data())
def test_scales(wide: bool, data: st.DataObject) -> None:
    bias_bits, scale_bits = (48, 15) if wide else (32, 31)
    row = st.tuples(
        st.integers(-(1 << (bias_bits - 1)), (1 << (bias_bits - 1)) - 1),
        st.integers(0, (1 << scale_bits) - 1),
        st.integers(0, 63),
    )
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    packed = b"".join(
        (bias & ((1 << bias_bits) - 1)).to_bytes(bias_bits // 8, "little")
        + scale.to_bytes((scale_bits + 1) // 8, "little")
        + struct.pack("<BB", shift, 0)
        for bias, scale, shift in rows
    )
    assert list(zip(*(part.tolist() for part in decode_scales(packed, len(rows), wide)), strict=True)) == rows


def test_scales_with_undefined_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="bits where none are defined"):
        decode_scales(bytes(9) + b"\1", 1, wide=False)
