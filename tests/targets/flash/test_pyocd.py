"""pyOCD itself, with a probe that is played (fake_probe/): the command lines, what becomes of the image, and of errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.errors import BoardError, DeviceMissingError, RunError, ToolMissingError, UsageError
from mcu_sdk.targets.flash.runner import FlashJob, flash_runner
from mcu_sdk.targets.tool import run_tool
from tests.targets.flash.images import FLASH, IMAGE, RAM, make_job

PYOCD = flash_runner("pyocd")
M4, M33 = 0x410FC241, 0x410FD214
PART = 0x1000_0100
TABLE = {
    "pyocd": {"target": "cortex_m", "frequency_hz": 1_000_000},
    "chip": {"address": PART, "value": 0x52840},
}


LIST, READ, WRITE, COMPARE = range(4)


def go(job: FlashJob, number: int) -> None:
    """One of the steps alone."""
    step = PYOCD.steps(job)[number]
    step.judge(run_tool(step.command, name="pyOCD", timeout=60))


class Bench:
    """Probes by their ids, and the chip that is behind each of them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._set = folder, monkeypatch.setenv
        self.chip = folder / "chip.json"
        self._set("PYTHONPATH", str(Path(__file__).parent / "fake_probe"))
        self._set("FAKE_CHIP", str(self.chip))
        self.plug("F1")
        self.put()

    def plug(self, *probes: str) -> None:
        self._set("FAKE_PROBES", ",".join(probes))

    def put(self, cpuid: int = M4, part: int = 0x52840, **more: Any) -> None:
        self.chip.write_text(json.dumps({"cpuid": cpuid, "words": {PART: part}, **more}))

    @property
    def written(self) -> dict[int, int]:
        return {int(at): byte for at, byte in json.loads(self.chip.read_text()).get("written", {}).items()}

    def job(self, probe: str | None = None, segments: dict[int, bytes] | None = None) -> FlashJob:
        return make_job(self.folder, TABLE, segments, probe)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_an_image_is_written_whole_and_nothing_else(bench: Bench) -> None:
    bench.plug("F1", "F2")
    PYOCD.flash(bench.job("f2", {FLASH: IMAGE, RAM: b"some"}))
    expected = {FLASH + at: byte for at, byte in enumerate(IMAGE)}
    assert bench.written == expected | {RAM + at: byte for at, byte in enumerate(b"some")}


def test_another_chip_is_named_and_not_written(bench: Bench) -> None:
    bench.put(cpuid=M33)
    with pytest.raises(BoardError, match="the processor behind the probe is a cortex-m33"):
        PYOCD.flash(bench.job())
    assert not bench.written
    bench.put(part=0x52832)
    with pytest.raises(BoardError, match="the one behind the probe has 0x00052832"):
        go(bench.job(), READ)


def test_a_probe_that_is_not_there_is_named(bench: Bench) -> None:
    bench.plug()
    with pytest.raises(DeviceMissingError, match="No debug probe is connected"):
        go(bench.job(), LIST)
    bench.plug("F1", "F2")
    with pytest.raises(DeviceMissingError, match=r"no probe 'G'; connected are: F1 \(Fake Probe\), F2"):
        go(bench.job("G"), LIST)
    with pytest.raises(UsageError, match=r"Several probes could be meant: F1 .*--probe"):
        go(bench.job("F"), LIST)


def test_a_board_that_is_unplugged_is_named(bench: Bench) -> None:
    bench.put(dies_after=100)
    with pytest.raises(RunError, match=r"did not write the whole image.*unplugged.* half an image"):
        go(bench.job(), WRITE)


def test_what_pyocd_leaves_out_is_an_error(bench: Bench) -> None:
    """It only warns of data outside of the memories that it knows."""
    table = {"pyocd": {"target": "mps3_an540"}}
    with pytest.raises(RunError, match="did not write the whole image"):
        go(make_job(bench.folder, table, {RAM: IMAGE, 0xA000_0000: b"lost"}), WRITE)


def test_what_differs_afterwards_is_an_error(bench: Bench) -> None:
    job = bench.job()
    PYOCD.write_files(job)
    with pytest.raises(RunError, match="does not hold what was written"):
        go(job, COMPARE)


def test_pyocd_s_own_parser_takes_every_command(bench: Bench) -> None:
    from pyocd.__main__ import PyOCDTool

    parser = PyOCDTool().build_parser()
    options = [parser.parse_args(list(step.command[1:])) for step in PYOCD.steps(bench.job("F1"))]
    assert [each.cmd for each in options] == ["json", "commander", "flash", "commander"]
    write = options[2]
    assert write.unique_id == "F1" and write.target_override == "cortex_m" and write.frequency == 1_000_000
    assert write.erase == "sector" and write.no_reset and write.no_wait and write.format == "elf"
    assert write.options == ["auto_unlock=false"]  # a locked chip stays as it is
    assert write.file == [str(bench.folder / "firmware.elf")]


def test_what_is_not_installed_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcu_sdk.targets.tool.shutil.which", lambda *_, **__: None)
    with pytest.raises(ToolMissingError, match=r"pyocd was not found.*pip install 'mcu-sdk\[flash\]'"):
        PYOCD.flash(bench.job())


def test_a_board_without_parameters_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \[flash.pyocd\] in its board.toml; what it has: gdb"):
        PYOCD.check(make_job(tmp_path, {"gdb": {}}))
