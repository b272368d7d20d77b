"""Cycles for 16 products in the inner loops of firmware/kernels, by llvm-mca's models of the cores.

`python tools/loop_cycles.py [LLVM-MCA]`: needs llvm-mca of LLVM 19 (Debian: llvm-19), which knows the cores. It counts
what the pipeline can begin, with loads from tightly coupled memory; loops' ends are left out, as a low-overhead loop's are
nearly free.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent / "firmware" / "kernels"
ROUNDS = 100


@dataclass(frozen=True)
class Loop:
    """The lines from a label to the end of its .rept, `products` in one repetition."""

    source: str
    label: str
    products: int
    cores: tuple[str, ...]


HELIUM, DSP = ("cortex-m55",), ("cortex-m4", "cortex-m7")
LOOPS = (
    Loop("linear/pairs_s8_helium.S", r".Lround_\name:", 128, HELIUM),
    Loop("linear/two_rows_s8_helium.S", ".Lround:", 128, HELIUM),
    Loop("linear/two_rows_s8.S", r".Lround_\name:", 16, DSP),
    Loop("linear/dot_s8.S", ".Lround:", 16, DSP),
)


def marked(loop: Loop, core: str) -> str:
    """The preprocessed source with llvm-mca's marks around the loop, once."""
    command = ["clang-19", "--target=arm-none-eabi", f"-mcpu={core}", "-mfloat-abi=hard", "-E", "-P"]
    text = subprocess.run(
        [*command, str(KERNELS / loop.source)], capture_output=True, text=True, check=True
    ).stdout
    begin = text.index(loop.label) + len(loop.label)
    end = text.index(".endr", begin) + len(".endr")
    body = re.sub(r"\.rept \w+", ".rept 1", text[begin:end])
    # llvm-mca 19 fails on a load that moves its pointer, and counts one load where ldm has four.
    body = re.sub(r"ldr(?:\.w)? (\w+), \[(\w+)\], #4", r"ldr \1, [\2]", body)
    body = re.sub(
        r"ldm\.w (\w+)!, \{([^}]*)\}",
        lambda found: "\n".join(f"ldr {register}, [{found[1]}]" for register in found[2].split(",")),
        body,
    )
    return f"{text[:begin]}\n@ LLVM-MCA-BEGIN\n{body}\n@ LLVM-MCA-END\n{text[end:]}"


def cycles(loop: Loop, core: str, tool: str) -> float:
    """For 16 products."""
    command = [tool, "-mtriple=thumbv8.1m.main-none-eabi", f"-mcpu={core}", f"-iterations={ROUNDS}", "-"]
    if core in DSP:
        command[1] = "-mtriple=thumbv7em-none-eabi"
    done = subprocess.run(command, input=marked(loop, core), capture_output=True, text=True, check=False)
    found = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    if found is None:
        sys.exit(f"error: {tool} says nothing of {loop.source} on {core}: {done.stderr[:300]}")
    return int(found[1]) / ROUNDS * 16 / loop.products


def main(tool: str = "llvm-mca-19") -> None:
    print("| loop | core | cycles for 16 products |\n|---|---|---:|")
    for loop in LOOPS:
        for core in loop.cores:
            print(f"| {loop.source} | {core} | {cycles(loop, core, tool):.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
