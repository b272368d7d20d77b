"""How deep the stack of a firmware can get: a bound read off its machine code.

Frames and calls come from the disassembly, so that assembly and libc count like compiled code. A function's frame is
the sum of everything in it that lowers the stack pointer (more than it ever has at one time, never less); its depth
is its frame and the deepest of those that it calls or jumps to. Faults have a stack of their own
(firmware/platform/cortex_m/startup.cpp) and interrupts are not enabled.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
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
    """`frame` in bytes; the functions that it calls by name; whether it calls through a pointer.

    While it is read: for a register what it was made of, the stack or the frame pointer, and how far below at most.
    """

    frame: int = 0
    calls: set[str] = field(default_factory=set)
    calls_pointer: bool = False
    unbounded: bool = False
    _origin: dict[str, tuple[str, int]] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class StackBound:
    """`bytes` is None when there is no bound: `reason` says why. `chain` is the deepest row of calls."""

    bytes: int | None
    chain: tuple[str, ...] = ()
    reason: str = ""


def stack_bound(elf: Path, entry: str = ENTRY) -> StackBound:
    """The bound for what `entry` does. Raises BuildError if the ELF cannot be disassembled or has no `entry`."""
    return calls_bound(elf, [entry])


def disassembly(elf: Path) -> str:
    """What objdump says of an ELF's code. Raises BuildError if it cannot be read."""
    try:
        return subprocess.run(
            [OBJDUMP, "-d", "--no-show-raw-insn", str(elf)], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(
            f"{OBJDUMP} could not read {elf}: {error}.",
            hint="It belongs to the compiler: see `mcu-sdk doctor`.",
        ) from error


def interface_bound(elf: Path, prefix: str) -> StackBound:
    """The bound for a call of any function of a library, whose names begin with `prefix` and a "_"."""
    functions = read_functions(disassembly(elf))
    return _largest(elf, functions, [name for name in functions if name.startswith(f"{prefix}_")])


def calls_bound(elf: Path, entries: Sequence[str]) -> StackBound:
    """The bound for a call of any of `entries`, as `stack_bound` has it for one."""
    return _largest(elf, read_functions(disassembly(elf)), entries)


def _largest(elf: Path, functions: Mapping[str, Function], entries: Sequence[str]) -> StackBound:
    found = [deepest(functions, entry) for entry in entries]
    missing = [entry for entry in entries if entry not in functions]
    if missing:
        raise BuildError(f"{elf} has no function {missing[0]}.", hint="Build the project again.")
    unbounded = [bound for bound in found if bound.bytes is None]
    return _demangled(unbounded[0] if unbounded else max(found, key=lambda bound: bound.bytes or 0))


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
    elif base in ("mov", "movs") and re.match(r"sp\b", operands):
        _move_stack(function, operands.partition(",")[2].strip())
    elif base in ("sub", "subw", "add", "addw") and re.match(r"sp\b", operands):
        amount = re.search(r"#(-?\d+)", operands)
        if amount is None:
            function.unbounded = True
        else:
            function.frame += max(0, int(amount[1]) if base.startswith("sub") else -int(amount[1]))
    else:
        _note_origin(function, base, operands.partition("@")[0])


_FROM = re.compile(r"^(r\d+|ip|sl|fp|lr|sb)(?:, (sp|r7|fp|r11))?(?:, #(\d+))?\s*$")
_ALIGNED = re.compile(r"^(r\d+|ip|sl|fp|lr|sb)(?:, \1)?, #(\d+)(?:, #(\d+))?\s*$")


def _note_origin(function: Function, base: str, operands: str) -> None:
    """Follow a pointer into the stack that is aligned before it becomes the stack pointer, as clang does it."""
    register = operands.partition(",")[0].strip()
    made, aligned = _FROM.match(operands), _ALIGNED.match(operands)
    if base in ("bfc", "bic") and aligned and register in function._origin:
        source, below = function._origin[register]
        lowest, width = int(aligned[2]), int(aligned[3] or 0)
        skipped = (1 << width) - 4 if base == "bfc" and lowest == 0 else lowest  # the stack lies at words
        function._origin[register] = source, below + skipped
    elif base in ("mov", "sub", "subw", "add", "addw") and made and made[2]:
        below = int(made[3] or 0) if base.startswith("sub") else 0
        function._origin[register] = made[2], below
    else:
        function._origin.pop(register, None)


def _move_stack(function: Function, register: str) -> None:
    """`mov sp, register`: down by what `register` is below the stack; or back up, from a frame pointer."""
    source, below = function._origin.get(register, ("", 0))
    if source == "sp":
        function.frame += below
    elif not source and register not in ("r7", "fp", "r11"):
        function.unbounded = True


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
