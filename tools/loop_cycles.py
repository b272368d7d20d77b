"""Cycles for 16 products in the inner loops of firmware/kernels, by llvm-mca's models of the cores.

`python tools/loop_cycles.py [LLVM-MCA]`: needs llvm-mca of LLVM 19 (Debian: llvm-19), which knows the cores, and the Arm
toolchain. What is counted is the assembled loop, from its label to the branch back: what the pipeline can begin, with loads
from tightly coupled memory. Branches are left out, as a low-overhead loop's are nearly free. Of a depthwise convolution
the loop has the requantizing in it, and of 16 products of an instruction the 9 of a window count.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent / "firmware" / "kernels"
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
        sys.exit(f"error: {loop.source} has no label {loop.label}")
    label = begin[0].split("<")[1].rstrip(">:")
    found = []
    for line in text[begin.end() :].splitlines():
        place = re.match(r"\s+\w+:\s+(.*)", line)
        if place is None:
            continue
        if re.match(rf"(b\w*(\.[nw])?|le)\s.*<{re.escape(label)}>", place[1]):
            return found
        found.append(place[1].split("@")[0].split(";")[0].strip())
    sys.exit(f"error: nothing branches back to {label} in {loop.source}")


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
        sys.exit(f"error: {tool} says nothing of {loop.source} on {core}: {done.stderr[:300]}")
    return int(found[1]) / ROUNDS * 16 / (products(lines) * loop.used)


def main(tool: str = "llvm-mca-19") -> None:
    print("| loop | core | cycles for 16 products |\n|---|---|---:|")
    for loop in LOOPS:
        for core in loop.cores:
            print(f"| {loop.source} {loop.label} | {core} | {cycles(loop, core, tool):.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
