"""How much work lies between reset and the first kernel: every instruction that QEMU executes is traced."""

from __future__ import annotations

import bisect
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from mcu_sdk.board.board import load_board
from mcu_sdk.project.build import build
from mcu_sdk.project.elf import ElfSizes
from mcu_sdk.project.render import render_project
from mcu_sdk.targets.qemu import command_line
from tests.project.conftest import make_inputs

BAR = 2000
"""Instructions between reset and the first kernel beside filling, zeroing and copying sections."""

FILLING = ("memset", "memcpy", "paint_stack")
"""Zeroing .bss, the arena and the KV cache; copying .data; filling .stack with its pattern."""

WAITING = "uart_read"
"""Polls until the simulator has delivered the request: not the firmware's time."""


class Functions:
    """Which function an address belongs to: the linker's names, but those of FILLING and WAITING in short."""

    def __init__(self, elf: Path) -> None:
        with elf.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            found = [
                (symbol["st_value"] & ~1, symbol["st_size"], symbol.name)
                for symbol in table.iter_symbols()
                if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"]
            ]
        self._ranges = sorted(found)
        self._starts = [start for start, _, _ in self._ranges]

    def at(self, address: int) -> str:
        place = bisect.bisect(self._starts, address) - 1
        start, size, name = self._ranges[place]
        assert start <= address < start + size, hex(address)
        return next((short for short in (*FILLING, WAITING) if short in name), name)

    def range_of(self, part: str) -> tuple[int, int]:
        (found,) = [(start, size) for start, size, name in self._ranges if part in name]
        return found[0], found[0] + found[1]


def instructions_before(elf: Path, kernel: str, line: bytes, log: Path) -> Counter[str]:
    """Instructions of each function from reset to the first one of `kernel`, waiting for input left out."""
    functions = Functions(elf)
    begin, end = functions.range_of(WAITING)
    trace = [
        "-singlestep",
        "-d",
        "exec,nochain",
        "-D",
        str(log),
        "-dfilter",
        f"0x0..{begin - 1:#x},{end:#x}..0xffffff",
    ]
    command = [*command_line(load_board("corstone-300"), elf), *trace]
    subprocess.run(command, input=line + b"\n\x04", capture_output=True, timeout=120, check=True)
    counts: Counter[str] = Counter()
    for entry in log.read_text().splitlines():
        found = re.match(r"Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/", entry)
        if found is None:
            continue
        name = functions.at(int(found[1], 16))
        if kernel in name:
            return counts
        counts[name] += 1
    raise AssertionError(f"{kernel} was never reached")


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Counter[str], ElfSizes]:
    """The instructions of each function before the first step of the tiny plan, and the firmware's sizes."""
    folder = tmp_path_factory.mktemp("boot")
    built = build(render_project(make_inputs(), folder / "project"))
    assert built.sizes is not None
    line = b"@run tokens=1 ids=1"
    return instructions_before(built.program, "N5model4step", line, folder / "trace"), built.sizes


def test_the_first_kernel_is_near_reset(boot: tuple[Counter[str], ElfSizes]) -> None:
    counts, _ = boot
    assert counts["Reset_Handler"] and counts["main"] and counts["paint_stack"] and counts["memset"]
    assert sum(count for name, count in counts.items() if name not in FILLING) <= BAR, counts


def test_sections_are_filled_in_words_at_least(boot: tuple[Counter[str], ElfSizes]) -> None:
    """A plain loop takes three instructions for a word; vector stores take a fraction of that."""
    counts, sizes = boot
    assert counts["paint_stack"] <= 3 * sizes.stack / 4
    assert counts["memset"] <= 3 * (sizes.bss + sizes.arena + sizes.kv_cache) / 4
