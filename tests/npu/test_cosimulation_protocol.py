"""Programs that do not keep to the protocol, in the place of a firmware."""

from __future__ import annotations

import sys

import pytest

from mcu_sdk.errors import RunError
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.cosimulation import ProcessCoSimulation
from mcu_sdk.targets.process import run_process
from mcu_sdk.targets.protocol import Request, Transcript

SECONDS = 60

PARTNER = """
import os, struct, sys
request, response = map(int, os.environ["MCU_SDK_NPU"].split(","))
{body}
sys.stdin.read()
"""


def partner(body: str, *, timeout: float = SECONDS) -> Transcript:
    """Run a Python program in the place of a firmware."""
    command = [sys.executable, "-c", PARTNER.format(body=body)]
    with ProcessCoSimulation(accelerator("ethos-u55-128")) as npu:
        return run_process(command, Request(steps=1), name="partner", install="-", timeout=timeout, npu=npu)


def test_a_message_that_is_none() -> None:
    with pytest.raises(RunError, match="sent 0x00000007, which is no access"):
        partner("os.write(request, struct.pack('<3I', 7, 0, 0)); sys.stdin.read(); os.read(response, 4)")


def test_answers_that_nobody_reads() -> None:
    """More than the pipe holds: neither the run nor its end may wait for ever."""
    with pytest.raises(RunError, match="asked for more than it has read"):
        partner(
            "for _ in range(40000): os.write(request, struct.pack('<3I', 0x44524D31, 4, 0))\nos.read(0, 1)"
        )


def test_half_a_message() -> None:
    """It is waited for; the program's end is the run's."""
    with pytest.raises(RunError, match="partner ended with code 3"):
        partner("os.write(request, b'1MRD'); os._exit(3)")


def test_messages_in_pieces() -> None:
    """ID is read although its request comes byte by byte; the exit code is its low byte."""
    body = (
        "for byte in struct.pack('<3I', 0x44524D31, 0, 0): os.write(request, bytes((byte,)))\n"
        "os._exit(struct.unpack('<I', os.read(response, 4))[0] & 255)"
    )
    with pytest.raises(RunError, match="partner ended with code 1 "):
        partner(body)


def test_a_program_that_ends_at_once() -> None:
    with pytest.raises(RunError, match="partner ended with code 0"):
        partner("os._exit(0)")
