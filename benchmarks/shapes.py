"""Kernels at single shapes on simulated cores: instructions, beside CMSIS-NN's.

`python -m benchmarks.shapes [BOARD...]` builds benchmarks/shapes.cpp with the kernels it calls, runs it in QEMU and
prints a table.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import TOLERANCES
from mcu_sdk import resources
from mcu_sdk.board.board import Board, load_board
from mcu_sdk.planning.kernel_files import closure
from mcu_sdk.project.compile_flags import cxx_flags, define_flags

FIGURES = Path(__file__).with_name("shapes.json")
"""CMSIS-NN's figures, how much of them ours may be, and the baseline."""
SOURCE = Path(__file__).with_name("shapes.cpp")
BOARDS = ("corstone-300", "mps2-an386", "mps2-an500")
"""A Cortex-M55, an M4 and an M7."""
LINK_SCRIPT = """\
ENTRY(Reset_Handler)
SECTIONS
{{
    . = {code:#x};
    .text : {{ __vectors = .; KEEP(*(.vectors)) *(.text .text.* .rodata .rodata.*) . = ALIGN(8); }}
    .ARM.exidx : {{ *(.ARM.exidx*) }}
    __data_load = ALIGN(8);
    . = {data:#x};
    .data : AT(__data_load) {{ __data_start = .; *(.data .data.*) . = ALIGN(8); __data_end = .; }}
    .bss (NOLOAD) : ALIGN(8) {{ __bss_start = .; *(.bss .bss.* COMMON) . = ALIGN(8); __bss_end = .; }}
    .stack (NOLOAD) : ALIGN(8) {{ __stack_limit = .; . += 8K; __stack_top = .; }}
    . = {large:#x};
    .large (NOLOAD) : {{ *(.large) }}
}}
"""
RUNTIME = (
    "platform/cortex_m/startup.cpp",
    "platform/cortex_m/platform.cpp",
    "runtime/answer.cpp",
    "runtime/crc.cpp",
    "runtime/print.cpp",
)


@dataclass(frozen=True)
class Built:
    """A program for a board."""

    board: Board
    program: Path


def build(board: Board, folder: Path) -> Built:
    """Compile and link shapes.cpp with what it needs. Raises CalledProcessError where a tool refuses."""
    included = re.findall(r'#include "(kernels/[^"]+)"', SOURCE.read_text(encoding="utf-8"))
    kernels = [name for name in closure(included) if name.endswith((".cpp", ".S"))]
    return link(board, folder, [SOURCE, *(resources.firmware() / name for name in kernels)])


def link(board: Board, folder: Path, sources: Sequence[Path]) -> Built:
    """Compile sources with a main() and link them with the platform. Raises CalledProcessError where a tool refuses."""
    assert board.uart is not None and board.counter is not None and board.placement is not None
    firmware = resources.firmware()
    counter = [f"counter_{board.counter.driver}", *(["counter_ticks"] if board.counter.is_clock else [])]
    drivers = [f"platform/cortex_m/{name}.cpp" for name in (f"uart_{board.uart.driver}", *counter)]
    origin = {region.name: region.origin for region in board.region}
    regions = {
        "code": origin[board.placement.code[0]],
        "data": origin[board.placement.data[0]],
        "large": origin[board.placement.weights[-1]],
    }
    script = folder / "image.ld"
    script.write_text(LINK_SCRIPT.format(**regions), encoding="utf-8")
    program = folder / "program.elf"
    flags = [*cxx_flags(board), *define_flags(board), f"-I{firmware}"]
    platform = [firmware / name for name in (*RUNTIME, *drivers)]
    libraries = ["-nostartfiles", "-nodefaultlibs", f"-T{script}", "-Wl,--gc-sections", "-lc", "-lgcc"]
    command = ["arm-none-eabi-g++", *flags, *map(str, (*sources, *platform)), *libraries, "-o", str(program)]
    subprocess.run(command, check=True, timeout=300)
    return Built(board, program)


def count(built: Built) -> dict[str, int]:
    """What the program says, by name."""
    command = [
        part.replace("{elf}", str(built.program)) for part in built.board.simulator_command("qemu", None)
    ]
    done = subprocess.run(
        command,
        cwd=built.program.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.stdout.endswith("done\n"), done.stdout[-500:] + done.stderr[-500:]
    return {name: int(number) for name, number in re.findall(r"^([\w-]+) (\d+)$", done.stdout, re.MULTILINE)}


@dataclass(frozen=True)
class Row:
    """A shape on a board: instructions now and in the baseline, CMSIS-NN's and what may be of them; 0 where unknown."""

    board: str
    shape: str
    now: int
    baseline: int = 0
    cmsis_nn: int = 0
    bar: float = 0.0

    @property
    def complaint(self) -> str:
        """What is wrong with it; "" if nothing is."""
        if self.cmsis_nn and self.now > self.bar * self.cmsis_nn:
            return f"{self.now:,} instructions, more than {self.bar:g} of CMSIS-NN's {self.cmsis_nn:,}"
        if self.baseline and self.now - self.baseline > self.baseline * TOLERANCES["instructions_first"]:
            return f"{self.now:,} instructions where the baseline has {self.baseline:,}"
        return ""


def read_rows(found: Mapping[str, Mapping[str, int]], path: Path = FIGURES) -> list[Row]:
    """What was found, by board and shape, beside what the file knows of it."""
    known = json.loads(path.read_text(encoding="utf-8"))["boards"]
    return [
        Row(board, shape, now, facts.get("baseline", 0), facts.get("cmsis_nn", 0), facts.get("bar", 0.0))
        for board, shapes in found.items()
        for shape, now in shapes.items()
        for facts in [known.get(board, {}).get(shape, {})]
    ]


def write_baseline(rows: Sequence[Row], path: Path = FIGURES) -> None:
    """Make the figures the file's new baseline; the rest of it stays."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for row in rows:
        content["boards"].setdefault(row.board, {}).setdefault(row.shape, {})["baseline"] = row.now
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def source_of_reference(path: Path = FIGURES) -> str:
    """Where CMSIS-NN's figures come from."""
    return str(json.loads(path.read_text(encoding="utf-8"))["source"])


def measure(names: Sequence[str] = BOARDS) -> dict[str, dict[str, int]]:
    """Build and run on each board."""
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = count(build(load_board(name), Path(folder)))
    return found


def markdown(rows: Sequence[Row]) -> str:
    """A row for each shape on each board."""
    lines = ["| core | shape | instructions | CMSIS-NN | ours / CMSIS-NN |", "|---|---|---:|---:|---:|"]
    for row in rows:
        core = load_board(row.board).core.cpu
        ratio = f"{row.now / row.cmsis_nn:.2f}" if row.cmsis_nn else ""
        theirs = f"{row.cmsis_nn:,}" if row.cmsis_nn else ""
        lines.append(f"| {core} | {row.shape} | {row.now:,} | {theirs} | {ratio} |")
    return "\n".join(lines)


def main(names: Sequence[str]) -> int:
    """Print the table; 1 if a figure is worse than it may be."""
    rows = read_rows(measure(names or BOARDS))
    print(markdown(rows))
    complaints = [f"{row.board}, {row.shape}: {row.complaint}" for row in rows if row.complaint]
    print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
