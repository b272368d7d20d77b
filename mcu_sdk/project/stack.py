"""How deep the stack of a firmware can get: a bound read off its machine code.

Frames and calls come from the disassembly, so that assembly and libc count like compiled code. A function's frame is
the sum of everything in it that lowers the stack pointer (more than it ever has at one time, never less); its depth
is its frame and the deepest of those that it calls or jumps to. Faults have a stack of their own
(firmware/platform/cortex_m/startup.cpp) and interrupts are not enabled.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mcu_sdk.errors import BuildError

ENTRY = "start_after_reset"
"""What Reset_Handler jumps to once there is a stack."""

OBJDUMP = "arm-none-eabi-objdump"
FILTER = "arm-none-eabi-c++filt"

_LABEL = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_LINE = re.compile(r"^\s*[0-9a-f]+:\t(\S+)\t?(.*)$")
_TARGET = re.compile(r"\b[0-9a-f]+ <([^>+]+)>")
_BRANCH = re.compile(r"^(bl|b|cbn?z)(eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(\.[nw])?$")
_REGISTER_BYTES = {"r": 4, "s": 4, "d": 8, "q": 16}
_UNNAMED = {"ip", "lr", "pc", "fp", "sl", "sb"}


@dataclass
class Function:
    """`frame` in bytes; the functions that it calls by name; whether it calls through a pointer."""

    frame: int = 0
    calls: set[str] = field(default_factory=set)
    calls_pointer: bool = False
    unbounded: bool = False


@dataclass(frozen=True)
class StackBound:
    """`bytes` is None when there is no bound: `reason` says why. `chain` is the deepest row of calls."""

    bytes: int | None
    chain: tuple[str, ...] = ()
    reason: str = ""


def stack_bound(elf: Path, entry: str = ENTRY) -> StackBound:
    """The bound for what `entry` does. Raises BuildError if the ELF cannot be disassembled or has no `entry`."""
    try:
        listing = subprocess.run(
            [OBJDUMP, "-d", "--no-show-raw-insn", str(elf)], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(
            f"{OBJDUMP} could not read {elf}: {error}.",
            hint="It belongs to the compiler: see `mcu-sdk doctor`.",
        ) from error
    functions = read_functions(listing)
    if entry not in functions:
        raise BuildError(f"{elf} has no function {entry}.", hint="Build the project again.")
    return _demangled(deepest(functions, entry))


def _demangled(bound: StackBound) -> StackBound:
    """The names as the sources have them, without their parameters; as they are where binutils has no filter."""
    text = "\n".join((bound.reason, *bound.chain))
    try:
        command = [FILTER, "--no-params"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return bound
    reason, *chain = text.split("\n")
    return replace(bound, reason=reason, chain=tuple(chain))


def read_functions(listing: str) -> dict[str, Function]:
    """The functions of a disassembly (objdump -d --no-show-raw-insn), by name."""
    functions: dict[str, Function] = {}
    name = ""
    for line in listing.splitlines():
        label = _LABEL.match(line)
        if label:
            name = label[1]
            functions.setdefault(name, Function())
            continue
        match = _LINE.match(line)
        if match and name:
            _count(functions[name], name, match[1], match[2])
    return functions


def _count(function: Function, name: str, mnemonic: str, operands: str) -> None:
    """What one instruction adds to its function."""
    base = mnemonic.split(".")[0]
    branch = _BRANCH.match(mnemonic)
    if branch:
        target = _TARGET.search(operands)
        if target and (target[1] != name or branch[1] == "bl"):  # a jump to the own beginning is a loop
            function.calls.add(target[1])
    elif base.startswith("blx") or (base.startswith("bx") and operands.strip() != "lr"):
        function.calls_pointer = True
    elif base in ("push", "vpush"):
        function.frame += registers_bytes(operands)
    elif base in ("stmdb", "vstmdb") and operands.startswith("sp!"):
        function.frame += registers_bytes(operands.partition(",")[2])
    elif re.search(r"\[sp, #-(\d+)\]!", operands):
        function.frame += int(re.findall(r"\[sp, #-(\d+)\]!", operands)[0])
    elif base in ("sub", "subw", "add", "addw") and re.match(r"sp\b", operands):
        amount = re.search(r"#(-?\d+)", operands)
        if amount is None:
            function.unbounded = True
        else:
            function.frame += max(0, int(amount[1]) if base.startswith("sub") else -int(amount[1]))


def registers_bytes(text: str) -> int:
    """The bytes of a register list: "{r4, r5, lr}" is 12, "{d8-d15}" 64."""
    total = 0
    for item in text.strip().strip("{}").split(","):
        first, _, last = item.strip().partition("-")
        size = 4 if first in _UNNAMED else _REGISTER_BYTES[first[0]]
        total += size * (int(last[1:]) - int(first[1:]) + 1 if last else 1)
    return total


def deepest(functions: Mapping[str, Function], entry: str) -> StackBound:
    """The deepest chain of calls from `entry`.

    A call through a pointer counts as the deepest kernel (mcu_...) below which no such call is: what the firmware
    points at are kernels that do their work themselves. Recursion and frames of variable size have no bound.
    """
    pointed_at = {n for n in functions if n.startswith("mcu_")} - _above_pointers(functions)
    done: dict[str, StackBound] = {}

    def visit(name: str, above: tuple[str, ...]) -> StackBound:
        if name in above:
            return StackBound(None, reason=f"{name} calls itself")
        if name not in done:
            done[name] = below(name, above)
        return done[name]

    def below(name: str, above: tuple[str, ...]) -> StackBound:
        function = functions.get(name, Function())
        if function.unbounded:
            return StackBound(None, reason=f"{name} has a frame of variable size")
        callees = set(function.calls)
        if function.calls_pointer:
            callees |= pointed_at
        best = StackBound(0)
        for callee in sorted(callees):
            found = visit(callee, (*above, name))
            if found.bytes is None:
                return found
            if found.bytes > (best.bytes or 0):
                best = found
        return StackBound(function.frame + (best.bytes or 0), (name, *best.chain))

    return visit(entry, ())


def _above_pointers(functions: Mapping[str, Function]) -> set[str]:
    """The functions that call through a pointer, or call one that does, however indirectly."""
    found = {name for name, function in functions.items() if function.calls_pointer}
    while True:
        more = {name for name, function in functions.items() if function.calls & found} - found
        if not more:
            return found
        found |= more
