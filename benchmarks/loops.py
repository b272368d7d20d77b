"""Cycles for 16 products in the inner loops of firmware/kernels, by llvm-mca's models of the cores.

`python -m benchmarks.loops [LLVM-MCA]`, and a part of `make bench`: needs llvm-mca of LLVM 19 (Debian 12 and 13: llvm-19),
which knows the cores, and the Arm toolchain. What is counted is the assembled loop, from its label to the branch back: what the pipeline can begin, with loads
from tightly coupled memory. Branches are left out, as a low-overhead loop's are nearly free. Of a depthwise convolution
the loop has the requantizing in it, and of 16 products of an instruction the 9 of a window count.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcu_sdk import resources
from mcu_sdk.errors import BuildError, ToolMissingError

TOOL = "llvm-mca-19"
FIGURES = Path(__file__).with_name("loops.json")
"""The baseline: cycles by the loop's name and the core."""
TOLERANCE = 0.005
KERNELS = resources.firmware() / "kernels"
ROUNDS = 100
PRODUCTS = {"vmlav": 16, "vmladav": 16, "smlad": 2, "smuad": 2}
"""Of an instruction, by how its name begins."""
CONTROL = re.compile(r"(subs|cmp|cbn?z|b(eq|ne|mi)?(\.[nw])?)\s")
"""What counts rounds, and leaves the loop in its midst."""


@dataclass(frozen=True)
class Loop:
    """The instructions behind a label, up to the branch back to it. `used`: the share of the products that count."""

    source: str
    label: str
    cores: tuple[str, ...]
    used: float = 1

    @property
    def name(self) -> str:
        return f"{self.source} {self.label}"


@dataclass(frozen=True)
class Row:
    """A loop on a core: cycles for 16 products that count, now and in the baseline (0: unknown)."""

    loop: str
    core: str
    cycles: float
    baseline: float = 0

    @property
    def complaint(self) -> str:
        """What is wrong with it; "" if nothing is."""
        if self.baseline and self.cycles > self.baseline * (1 + TOLERANCE):
            return f"{self.cycles:.2f} cycles for 16 products where the baseline has {self.baseline:.2f}"
        return ""


HELIUM, DSP = ("cortex-m55",), ("cortex-m4", "cortex-m7")
WINDOW = 9 / 16
LOOPS = (
    Loop("linear/pairs_s8_helium.S", ".Lround_", HELIUM),
    Loop("linear/two_rows_s8_helium.S", ".Lround", HELIUM),
    Loop("linear/gemv_s8_helium.S", ".Lround_", HELIUM),
    Loop("linear/gemv_s4_helium.S", ".Lblock", HELIUM),
    Loop("attention/dots_s8_helium.S", ".Lblock", HELIUM),
    Loop("conv/depthwise_pairs_s8_helium.S", ".Leight_1", HELIUM, WINDOW),
    Loop("conv/depthwise_pairs_s8_helium.S", ".Leight_2", HELIUM, WINDOW),
    Loop("linear/two_rows_s8.S", ".Lround_", DSP),
    Loop("linear/dot_s8.S", ".Lround", DSP),
)


def objdump(tool: str) -> str:
    """The disassembler that comes with llvm-mca: that of binutils 2.40 takes Helium for a coprocessor here."""
    return tool.replace("llvm-mca", "llvm-objdump")


def instructions(loop: Loop, core: str, tool: str) -> list[str]:
    """Of one round, as the disassembler writes them; those of the first label that begins as the loop's."""
    machine = [f"-mcpu={core}", "-mthumb", "-mfloat-abi=hard"]
    machine += ["-mfpu=fpv5-d16" if core == "cortex-m7" else "-mfpu=auto"]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "kernel.o"
        command = ["arm-none-eabi-gcc", *machine, "-Wa,-L", "-c", f"-I{KERNELS.parent}", "-o", str(made)]
        subprocess.run([*command, str(KERNELS / loop.source)], check=True)
        text = subprocess.run(
            [objdump(tool), "-d", "--no-show-raw-insn", f"--mcpu={core}", str(made)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    begin = re.search(rf"^\w+ <{re.escape(loop.label)}[^>]*>:$", text, re.MULTILINE)
    if begin is None:
        raise BuildError(f"A label {loop.label} was expected in {loop.source}; there is none.")
    label = begin[0].split("<")[1].rstrip(">:")
    found = []
    for line in text[begin.end() :].splitlines():
        place = re.match(r"\s+\w+:\s+(.*)", line)
        if place is None:
            continue
        if re.match(rf"(b\w*(\.[nw])?|le)\s.*<{re.escape(label)}>", place[1]):
            return found
        found.append(place[1].split("@")[0].split(";")[0].strip())
    raise BuildError(f"A branch back to {label} was expected in {loop.source}; there is none.")


def products(lines: list[str]) -> int:
    return sum(count for line in lines for name, count in PRODUCTS.items() if line.startswith(name))


def plain(line: str) -> str:
    """llvm-mca 19 fails on a load that moves its pointer, and counts one load where ldm has four."""
    line = re.sub(r"^ldr(?:\.w)?\s+(\w+), \[(\w+)\], #4", r"ldr \1, [\2]", line)
    many = re.match(r"ldm\w*(?:\.w)?\s+(\w+)!?, \{([^}]*)\}", line)
    if many is None:
        return line
    return "\n".join(f"ldr {register.strip()}, [{many[1]}]" for register in many[2].split(","))


def cycles(loop: Loop, core: str, tool: str) -> float:
    """For 16 products that count."""
    lines = [line for line in instructions(loop, core, tool) if not CONTROL.match(line)]
    command = [tool, "-mtriple=thumbv8.1m.main-none-eabi", f"-mcpu={core}", f"-iterations={ROUNDS}", "-"]
    if core in DSP:
        command[1] = "-mtriple=thumbv7em-none-eabi"
    source = "\n".join(["    .syntax unified", "    .thumb", *map(plain, lines), ""])
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    found = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    if found is None or done.returncode != 0:
        raise BuildError(f"{tool} says nothing of {loop.source} on {core}: {done.stderr[:300]}")
    return int(found[1]) / ROUNDS * 16 / (products(lines) * loop.used)


def measure(tool: str = TOOL, path: Path = FIGURES) -> list[Row]:
    """Each loop on each of its cores. Raises ToolMissingError without the tools, BuildError where one refuses."""
    for needed, package in (
        (tool, "llvm-19"),
        (objdump(tool), "llvm-19"),
        ("arm-none-eabi-gcc", "gcc-arm-none-eabi"),
    ):
        if shutil.which(needed) is None:
            raise ToolMissingError(
                f"{needed} was expected, for the cycles of inner loops; it is not installed.",
                hint=f"Debian has it in {package}; or leave these rows out with --no-loops.",
            )
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return [
        Row(loop.name, core, cycles(loop, core, tool), known.get(loop.name, {}).get(core, 0))
        for loop in LOOPS
        for core in loop.cores
    ]


def write_baseline(rows: Sequence[Row], path: Path = FIGURES) -> None:
    """Make the figures the new baseline."""
    figures: dict[str, dict[str, float]] = {}
    for row in rows:
        figures.setdefault(row.loop, {})[row.core] = round(row.cycles, 2)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def markdown(rows: Sequence[Row]) -> str:
    """A row for each loop on each core."""
    lines = ["| loop | core | cycles for 16 products |", "|---|---|---:|"]
    return "\n".join([*lines, *(f"| {row.loop} | {row.core} | {row.cycles:.2f} |" for row in rows)])


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 if a loop is slower than its baseline."""
    rows = measure(*arguments[:1])
    print(markdown(rows))
    complaints = [f"{row.loop} on {row.core}: {row.complaint}" for row in rows if row.complaint]
    print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
