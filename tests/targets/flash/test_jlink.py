"""J-Link Commander, which nobody may hand on: a program of the same name that says what the manual shows (UM08001)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.errors import BoardError, DeviceMissingError, RunError
from mcu_sdk.targets.flash.runner import FlashJob, flash_runner
from tests.targets.flash.images import make_job

JLINK = flash_runner("jlink")
READ = "E000ED00 = 410FC241 "
WRITTEN = "J-Link: Flash download: Total: 0.5s\nO.K.\n"


def job(folder: Path, monkeypatch: pytest.MonkeyPatch, reads: str, writes: str, code: int = 0) -> FlashJob:
    tool = folder / "JLinkExe"
    (folder / "reads").write_text(reads)
    (folder / "writes").write_text(writes)
    tool.write_text(
        f"""#!/bin/sh
cd {folder}
echo "$@" >> arguments
for script; do :; done
if grep -q mem32 "$script"; then cat reads; else cat writes; exit {code}; fi
"""
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return make_job(folder, {"jlink": {"device": "nRF52840_xxAA"}}, probe="683")


def test_scripts_say_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job(tmp_path, monkeypatch, READ, WRITTEN)
    JLINK.flash(made)
    start = (
        "-Device nRF52840_xxAA -If SWD -Speed 4000 -SelectEmuBySN 683 -AutoConnect 1 -ExitOnError 1 -NoGui 1"
    )
    assert (tmp_path / "arguments").read_text().splitlines() == [
        f"{start} -CommandFile {tmp_path}/flash-{name}.jlink" for name in ("read", "write")
    ]
    assert (tmp_path / "flash-read.jlink").read_text() == "mem32 E000ED00 1\nexit\n"
    assert (
        tmp_path / "flash-write.jlink"
    ).read_text() == f'r\nh\nloadfile "{tmp_path}/firmware.hex"\nr\ng\nexit\n'
    assert f'loadfile "{tmp_path}/firmware.hex"' in JLINK.lines(made)[1]


def test_what_goes_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for reads, writes, code, error, complaint in (
        ("Connecting to J-Link via USB...FAILED: Cannot connect to J-Link.\n", "", 0, DeviceMissingError, "finds no probe"),
        ("Cannot connect to target.\n", "", 0, RunError, "Cannot connect to target"),
        (READ.replace("FC24", "FD21"), WRITTEN, 0, BoardError, "is a cortex-m33"),
        (READ, "Unspecified error -1\n", 1, RunError, "Unspecified error.*half an image"),
        (READ, "", 0, RunError, "failed"),
    ):  # fmt: skip
        with pytest.raises(error, match=complaint):
            JLINK.flash(job(tmp_path, monkeypatch, reads, writes, code))
