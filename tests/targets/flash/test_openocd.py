"""OpenOCD itself: its own scripts take our options, its Tcl our lines; a chip is played by procedures of the same names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.errors import BoardError, DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.flash.runner import FlashJob, flash_runner
from tests.targets.flash.images import FLASH, IMAGE, RAM, VECTORS, make_job

OPENOCD = flash_runner("openocd")
CHIP = """
proc init {} {}
proc read_memory {address width count} { return [dict get {0xe000ed00 %s 0x10000100 0x52840 %s} $address] }
proc adapter {args} { said adapter $args }
proc reset {how} { said reset $how }
proc flash {args} { %s; said flash $args }
proc load_image {file} { said load_image $file }
proc verify_image {file} { said verify_image $file }
proc mww {args} { said mww $args }
proc reg {args} { said reg $args }
proc resume {args} { said resume $args }
proc said {args} { set file [open {%s} a]; puts $file [join $args]; close $file }
"""


def played(folder: Path, *, cpuid: str = "0x410fc241", flash: str = "", **more: Any) -> FlashJob:
    vectors = f"{RAM:#x} {RAM + 0x1000:#x} {RAM + 4:#x} {RAM + 0x101:#x}"
    (folder / "played.cfg").write_text(CHIP % (cpuid, vectors, flash, folder / "said"))
    table = {
        "openocd": {"config": ["played.cfg"], "before": ["adapter speed 1000"]},
        "chip": {"address": 0x1000_0100, "value": 0x52840},
    }
    return make_job(folder, table, folder=folder, **more)


def said(folder: Path) -> list[str]:
    return (folder / "said").read_text().splitlines()


def test_an_image_is_written_compared_and_started(tmp_path: Path) -> None:
    """Also where the path has a space and a sign of Tcl's."""
    folder = tmp_path / "my [project] $x"
    folder.mkdir()
    OPENOCD.flash(played(folder, probe="E6614"))
    image = folder / "firmware.elf"
    assert said(folder)[2:] == [
        "adapter serial E6614",
        "adapter speed 1000",
        "reset halt",
        f"flash write_image erase {{{image}}}",  # in Tcl's words: one
        f"verify_image {image}",
        "reset run",
    ]


def test_an_image_in_ram_begins_at_its_vectors(tmp_path: Path) -> None:
    where = dict.fromkeys(("vectors", "code", "weights", "data", "arena", "kv_cache", "stack"), "ram")
    OPENOCD.flash(played(tmp_path, segments={RAM: VECTORS + IMAGE}, placement=where))
    assert said(tmp_path)[-5:] == [
        f"load_image {tmp_path / 'firmware.elf'}",
        f"verify_image {tmp_path / 'firmware.elf'}",
        f"mww 0xe000ed08 {RAM:#x}",
        f"reg sp {RAM + 0x1000:#x}",
        f"resume {RAM + 0x100}",
    ]


def test_another_chip_is_named_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="the processor behind the probe is a cortex-m33"):
        OPENOCD.flash(played(tmp_path, cpuid="0x410fd214"))
    assert not any("flash" in line for line in said(tmp_path))


def test_a_failure_while_writing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"OpenOCD failed: .*gone.* half an image"):
        OPENOCD.flash(played(tmp_path, flash="error {the target is gone}"))


@pytest.mark.parametrize(
    "config", [["interface/cmsis-dap.cfg", "target/nrf52.cfg"], ["interface/stlink.cfg", "target/stm32f4x.cfg"]]
)  # fmt: skip
def test_a_probe_that_is_not_there_is_named(tmp_path: Path, config: list[str]) -> None:
    """OpenOCD's own scripts and adapters."""
    table = {"openocd": {"config": config, "before": ["adapter speed 1000"]}}
    with pytest.raises(DeviceMissingError, match="OpenOCD finds no probe"):
        OPENOCD.flash(make_job(tmp_path, table, probe="E6614"))


def test_scripts_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"OpenOCD failed: .*nothing.cfg"):
        OPENOCD.flash(make_job(tmp_path, {"openocd": {"config": ["target/nothing.cfg"]}}))


def test_braces_in_a_path_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a}b"
    folder.mkdir()
    with pytest.raises(UsageError, match="path with braces"):
        OPENOCD.check(make_job(folder, {"openocd": {"config": ["target/nrf52.cfg"]}}, {FLASH: IMAGE}))
