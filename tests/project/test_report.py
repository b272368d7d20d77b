"""The report, from made-up sizes and transcripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.project.build import BuildResult
from mcu_sdk.project.elf import ElfSizes, Section
from mcu_sdk.project.report import RegionUse, make_report, print_report
from mcu_sdk.targets.protocol import Transcript

SIZES = ElfSizes(
    (
        Section(".vectors", 0x0, 256, True),
        Section(".text", 0x100, 40_000, True),
        Section(".weights", 0x0100_0000, 1_000_000, True),
        Section(".arena", 0x2000_0000, 50_000, False),
        Section(".kv_cache", 0x2001_0000, 60_000, False),
        Section(".bss", 0x2002_0000, 700, False),
        Section(".data", 0x2002_0800, 120, True),
        Section(".stack", 0x2002_1000, 16_384, False),
    )
)
BUILT = BuildResult("release", Path("firmware.elf"), Path("build.log"), sizes=SIZES)
RUN = Transcript(
    "Once",
    {
        "model": "ab" * 32,
        "digest": "0123456789abcdef",
        "ids": "4,5",
        "prompt_ids": "1",
        "tokens": "2",
        "prompt_tokens": "1",
        "instructions_first": "1000000",
        "instructions_last": "1100000",
        "stack_used": "900",
        "verdict": "ok",
    },
)


def test_sizes_and_regions_add_up() -> None:
    report = make_report("tiny", load_board("corstone-300"), BUILT, RUN)
    assert report.flash == 1_040_376 == (report.weights or 0) + (report.code or 0)
    assert report.ram == 50_000 + 60_000 + 16_384 + 700 + 120
    assert report.other == 820 and report.ram == sum(
        part or 0 for part in (report.arena, report.kv_cache, report.stack, report.other)
    )
    used = {use.name: use.used for use in report.regions}
    assert (
        used["itcm"] == 40_256 and used["sram"] == 1_000_000 and used["dtcm"] == 127_204 and used["ddr"] == 0
    )


def test_what_stands_for_the_npu_is_said() -> None:
    report = make_report("tiny", load_board("corstone-300"), BUILT, RUN, npu="ethos-u55-128, simulated")
    assert ("NPU", "ethos-u55-128, simulated") in report.rows()
    assert report.to_json()["npu"] == "ethos-u55-128, simulated"
    assert "NPU" not in dict(make_report("tiny", load_board("corstone-300"), BUILT, RUN).rows())


def test_bars_show_every_use_and_never_overflow() -> None:
    assert RegionUse("a", 0, 100).bar == "░" * 24
    assert RegionUse("a", 1, 10**9).bar == "█" + "░" * 23
    assert RegionUse("a", 200, 100).bar == "█" * 24
    assert RegionUse("a", 50, 100).bar == "█" * 12 + "░" * 12


def test_the_terminal_report_loses_nothing_when_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    print_report(make_report("tiny", load_board("corstone-300"), BUILT, RUN, agreement="ok"))
    shown = capsys.readouterr().out
    assert "1,040,376 bytes" in shown and "1,000,000 (first) to 1,100,000 (last)" in shown
    assert "ab" * 32 in "".join(word for word in shown.split() if set(word) <= set("ab"))
    assert "0123456789abcdef" in shown


def test_json_holds_numbers_and_the_run() -> None:
    data = json.loads(
        json.dumps(make_report("tiny", load_board("corstone-300"), BUILT, RUN, target="qemu").to_json())
    )
    assert data["ram_bytes"] == 127_204 and data["run"]["ids"] == [4, 5] and data["run"]["tokens"] == 2
    assert data["regions"][0] == {"name": "itcm", "used_bytes": 40_256, "size_bytes": 524_288}
    assert data["verdict"] is None and data["target"] == "qemu"


def test_markdown_is_two_tables() -> None:
    text = make_report("tiny", load_board("corstone-300"), BUILT, RUN).to_markdown()
    assert "| weights (.pte) | 1,000,000 bytes |" in text
    assert "| dtcm | 127,204 | 524,288 |" in text
    assert all(line.startswith("|") for line in text.splitlines()[2:] if line)


def test_a_host_has_no_sizes_and_no_instruction_counts() -> None:
    run = Transcript("", {"digest": "01", "verdict": "ok", "steps": "3"})
    report = make_report("tiny", load_board("host"), BuildResult("release", Path("f"), Path("l")), run)
    labels = [label for label, _ in report.rows()]
    assert labels == ["steps", "digest of all outputs", "verdict"] and report.to_json()["flash_bytes"] is None
