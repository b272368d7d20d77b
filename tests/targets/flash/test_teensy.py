"""teensy_loader_cli itself, without a Teensy."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from intelhex import IntelHex

from mcu_sdk.errors import DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.flash.runner import flash_runner
from tests.targets.flash.images import IMAGE, make_job

TEENSY = flash_runner("teensy")
QSPI = 0x6000_0000


def test_a_teensy_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The tool has read the image before it looks for one."""
    job = make_job(tmp_path, {"teensy": {"mcu": "TEENSY41"}}, {QSPI: IMAGE})
    with pytest.raises(DeviceMissingError, match=r"No Teensy's boot loader answers.*button"):
        TEENSY.flash(job)
    found = IntelHex(io.StringIO((tmp_path / "firmware.hex").read_text()))
    assert bytes(found.tobinarray(start=QSPI, size=len(IMAGE))) == IMAGE


def test_a_board_that_the_tool_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="teensy_loader_cli failed"):
        TEENSY.flash(make_job(tmp_path, {"teensy": {"mcu": "TEENSY99"}}))


def test_which_one_cannot_be_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be told which"):
        TEENSY.check(make_job(tmp_path, {"teensy": {"mcu": "TEENSY41"}}, probe="1"))
