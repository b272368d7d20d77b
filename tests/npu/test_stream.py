"""The command block's reader: what Vela writes is taken apart, and what it cannot have written is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.errors import PteError, UsageError
from mcu_sdk.npu.accelerator import accelerator, accelerators
from mcu_sdk.npu.stream import Command, check_accelerator, read_config, read_stream
from tests.npu.blobs import U55_128, command_block

WORDS = [0x0001_010F, 0x0000_4005, 1234, 0xFFFF_0000]


def test_commands_with_and_without_payload() -> None:
    stream = read_stream(command_block(WORDS))
    assert stream.commands == (Command(0, 0x10F, 1), Command(1, 5, 0, 1234), Command(3, 0, 0xFFFF))
    assert stream.offset == 32 and stream.size == 16


def test_the_configuration() -> None:
    config = read_config(command_block(WORDS))
    assert config.accelerator is not None and config.accelerator.name == "ethos-u55-128"
    assert config.architecture == (1, 0, 6)


@pytest.mark.parametrize("name", sorted(accelerators()))
def test_vela_agrees_on_the_configuration(name: str) -> None:
    """CONFIG as Vela's own code builds it names the accelerator it was built for (U85: another encoder)."""
    from ethosu.vela.architecture_features import Accelerator, create_default_arch
    from ethosu.vela.driver_actions import create_driver_payload

    if "u85" in name:
        assert accelerator(name).family == "u85"
        return
    payload = create_driver_payload([0xFFFF0000], create_default_arch(Accelerator(name)))
    assert read_config(payload).accelerator == accelerator(name)


def test_another_accelerator_is_refused_with_both_names() -> None:
    with pytest.raises(PteError, match="ethos-u55-128; the NPU is ethos-u55-256"):
        check_accelerator(read_config(command_block(WORDS)), accelerator("ethos-u55-256"))
    check_accelerator(read_config(command_block(WORDS)), accelerator("ethos-u55-128"))


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UsageError, match="ethos-u55-32"):
        accelerator("ethos-u55-48")


def test_every_truncation_is_refused() -> None:
    data = command_block(WORDS)
    for length in range(len(data)):
        with pytest.raises(PteError):
            read_stream(data[:length])


@pytest.mark.parametrize(
    "data, message",
    [
        (b"COP2" + bytes(12), "COP2"),
        (command_block([0x0000_8000]), "no command"),
        (command_block([0x0000_0400]), "no command"),
        (command_block([0x0000_4005]), "payload of word 0"),
        (command_block(WORDS) + bytes(4), "should have 4 words"),
        (b"COP1" + struct.pack("<I", 9), "not known"),
        (b"COP1" + struct.pack("<II", 2 | 1 << 16, 0), "before its configuration"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, message: str) -> None:
    with pytest.raises(PteError, match=message):
        read_stream(data)


def test_an_unknown_product_is_refused() -> None:
    with pytest.raises(PteError, match="product 7"):
        _ = read_config(command_block(WORDS, (U55_128[0] | 7 << 28, U55_128[1]))).accelerator


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    for candidate in (data, b"COP1" + data, command_block([]) + data):
        try:
            read_stream(candidate)
        except PteError:
            continue
