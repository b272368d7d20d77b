"""The blob's reader takes what is whole and says what is wrong with the rest."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.errors import PteError
from mcu_sdk.npu.blob import VelaTensor, read_blob
from tests.npu.blobs import block, command_block, tensors, vela_blob

COMMANDS = command_block([0x0000FFFF << 16])


def test_parts_and_places() -> None:
    data = vela_blob(COMMANDS, weights=bytes(range(40)), scratch_size=96)
    blob = read_blob(data)
    assert blob.commands == COMMANDS and data[blob.commands_offset :].startswith(COMMANDS)
    assert blob.weights == bytes(range(40)) and data[blob.weights_offset :].startswith(blob.weights)
    assert blob.commands_offset % 16 == 0 and blob.weights_offset % 16 == 0
    assert blob.scratch_size == 96
    assert blob.inputs == (VelaTensor((1, 1, 1, 1, 1, 16), 1, 0, 1),)
    assert blob.outputs[0].offset == 16 and blob.outputs[0].size_bytes == 16


def test_every_truncation_is_refused() -> None:
    data = vela_blob(COMMANDS, weights=bytes(40))
    for length in range(len(data)):
        with pytest.raises(PteError):
            read_blob(data[:length])


@pytest.mark.parametrize(
    "data, message",
    [
        (vela_blob(b""), "no commands"),
        (vela_blob(COMMANDS, inputs=b"\1\0\0\0"), "for 1 tensors"),
        (vela_blob(COMMANDS, inputs=b""), "no count"),
        (vela_blob(COMMANDS, inputs=tensors(((16,), 3, 0, 1))), "3-byte"),
        (vela_blob(COMMANDS, inputs=tensors(((-1, -16), 1, 0, 1))), "shape"),
        (vela_blob(COMMANDS, outputs=tensors(((16,), 1, 49, 1))), "49 to 65 of 64"),
        (vela_blob(COMMANDS, outputs=tensors(((16,), 1, -1, 1))), "-1 to 15"),
        (vela_blob(COMMANDS, outputs=tensors(((16,), 1, 0, 0))), "region 0"),
        (vela_blob(COMMANDS, scratch_size=2**31), "2147483648 bytes of scratch"),
        (block("vela_bin_stream", b"") + block("commands", COMMANDS), "cmd_data was expected"),
        (block("vela_bin_stream", b"") + block("cmd_data", b"0" * 64, external=1), "cmd_data lies elsewhere"),
        (block("vela_bin_stream", b"") + block("cmd_data", COMMANDS, external=2), "corrupt"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, message: str) -> None:
    with pytest.raises(PteError, match=message):
        read_blob(data)


@given(st.data())
def test_a_changed_byte_is_refused_or_leaves_a_consistent_blob(data: st.DataObject) -> None:
    whole = bytearray(vela_blob(COMMANDS, weights=bytes(40)))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] = data.draw(st.integers(0, 255))
    try:
        blob = read_blob(bytes(whole))
    except PteError:
        return
    for tensor in (*blob.inputs, *blob.outputs):
        assert 0 <= tensor.offset <= tensor.offset + tensor.size_bytes <= blob.scratch_size
    assert blob.weights_offset + len(blob.weights) <= len(whole)


def test_lengths_are_little_endian() -> None:
    assert struct.unpack_from("<I", block("cmd_data", COMMANDS), 16) == (len(COMMANDS),)
