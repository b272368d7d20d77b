"""Whether firmware can be compiled for a board's core, before anything slow is begun: by a table, and by the compiler."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcu_sdk.board.board import Board
from mcu_sdk.errors import BoardError


@dataclass(frozen=True)
class Features:
    """What cores of a kind can have; a chip's maker may leave each of them out.

    `issue`: the most instructions that it begins in a cycle (Arm's technical reference manuals; where only some pairs
    of instructions go together, two all the same). An IT that is folded into its neighbour is not in it. `small`:
    Armv6-M or Armv8-M Baseline.
    """

    fpu: bool = False
    dsp: bool = False
    helium: bool = False
    small: bool = False
    issue: int = 1


CORES = {
    "cortex-m0": Features(small=True),
    "cortex-m0plus": Features(small=True),
    "cortex-m1": Features(small=True),
    "cortex-m23": Features(small=True),
    "cortex-m3": Features(),
    "cortex-m4": Features(fpu=True, dsp=True),
    "cortex-m7": Features(fpu=True, dsp=True, issue=2),
    "cortex-m33": Features(fpu=True, dsp=True, issue=2),
    "cortex-m35p": Features(fpu=True, dsp=True, issue=2),
    "cortex-m52": Features(fpu=True, dsp=True, helium=True, issue=2),
    "cortex-m55": Features(fpu=True, dsp=True, helium=True, issue=2),
    "cortex-m85": Features(fpu=True, dsp=True, helium=True, issue=3),
}
"""Arm's processors for microcontrollers, by the compilers' names (Arm, "Cortex-M Comparison Table")."""

_MAINLINE = ", ".join(name for name, features in CORES.items() if not features.small)
MOST_ISSUE = max(features.issue for features in CORES.values())
"""Of a core that the table does not have."""

_NAMES = {"fpu": "an FPU", "dsp": "DSP instructions", "helium": "Helium"}


def lacks_fpu(board: Board) -> bool:
    """Whether only models of integers can be compiled for the board (planning/fpu.py)."""
    return not board.is_host and not board.core.fpu


def check_core(board: Board) -> None:
    """Raise BoardError for a core that no firmware is for, and for flags that do not use what the board says it has,
    use more, or that the compiler does not know.

    Without the compiler only the table decides. A native board passes.
    """
    if board.is_host:
        return
    core = board.core
    _check_claims(board)
    macros = _macros(board)
    if macros is not None:
        _check_macros(board, macros)
        return
    name, *extensions = (_value(core.flags, "-mcpu=") or core.cpu).split("+")
    if name not in CORES:
        raise BoardError(
            f"core.flags of the board {board.name!r} name -mcpu={name}, which is no core that is known here: "
            f"{', '.join(CORES)}.",
            hint=f"Correct the name; or install {board.tools.compilers[0]}, which then says whether it knows it.",
        )
    hard = _value(core.flags, "-mfloat-abi=") in ("hard", "softfp")
    used = hard and CORES[name].fpu and "nofp" not in extensions
    if core.fpu and not used:
        raise _soft_float(board)
    if hard and not core.fpu:
        raise _not_claimed(board, "fpu")


def _check_claims(board: Board) -> None:
    """What the board file says the core has must be what such a core can have, and the firmware be for such a core."""
    core = board.core
    possible = CORES.get(core.cpu)
    if possible is not None:
        wrong = [_NAMES[name] for name in _NAMES if getattr(core, name) and not getattr(possible, name)]
        if wrong:
            raise BoardError(
                f"The board {board.name!r} gives its core {' and '.join(wrong)}, which no {core.cpu} has.",
                hint="Correct core.cpu, or what [core] says of it.",
            )
    if possible is not None and possible.small:
        raise BoardError(
            f"The firmware is for Armv7-M, Armv8-M Mainline and later; the core of the board {board.name!r}, {core.cpu}, "
            "is a smaller one.",
            hint=f"Cores that it is for: {_MAINLINE}.",
        )


def _macros(board: Board) -> dict[str, str] | None:
    """The macros that the compiler predefines with the board's flags; None where there is no such compiler, or where it
    ends without a word about the flags: killed, or too slow on a machine that has too much to do.

    Raises BoardError if it does not take the flags.
    """
    tools = board.tools
    compiler = tools.compiler
    if compiler is None:
        return None
    command = [*tools.target, *board.core.flags, "-x", "c++", "-E", "-dM", "-"]
    code, output, errors = _run(compiler, command)
    if code == 0:
        return dict(re.findall(r"^#define (\w+) (.*)$", output, re.MULTILINE)) or None
    ask = "-dumpversion" if tools.is_clang else "-dumpfullversion"
    version = re.search(r"\d+\.\d+\.\d+", _run(compiler, [ask])[1])
    if version is None:
        return None  # not installed, or something else of that name
    said = re.findall(r"error: (.*)", errors)
    if not said:
        return None
    if "lacks an FPU" in said[0]:
        raise _soft_float(board) if board.core.fpu else _not_claimed(board, "fpu")
    advice = re.search(r"did you mean '([^']+)'", errors)
    hint = f"Did you mean {advice[1]}? " if advice else ""
    raise BoardError(
        f"{Path(compiler).name} {version[0]} does not take core.flags of the board {board.name!r}: {said[0]}.",
        hint=f"{hint}Code for an older core of the same architecture runs on a newer one; corstone-320 does so."
        + ("" if tools.is_clang else ' Or take toolchain = "clang", which knows newer cores.'),
    )


def _run(compiler: str, arguments: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, output and errors of the compiler; -1 where it cannot be run."""
    try:
        command = [compiler, *arguments]
        finished = subprocess.run(
            command,
            input="",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return -1, "", ""
    return finished.returncode, finished.stdout, finished.stderr


def _check_macros(board: Board, macros: dict[str, str]) -> None:
    """The instructions that the compiler will use are those that the board file says the core has."""
    if macros.get("__ARM_ARCH_PROFILE") not in ("77", "'M'"):  # as GCC and as clang write it
        raise BoardError(
            f"core.flags of the board {board.name!r} are for no Cortex-M.", hint="Name one with -mcpu=."
        )
    if board.core.fpu and "__ARM_FP" not in macros:
        raise _soft_float(board)
    found = {
        "fpu": "__ARM_FP" in macros,
        "dsp": "__ARM_FEATURE_DSP" in macros,
        "helium": "__ARM_FEATURE_MVE" in macros,
    }
    for name, used in found.items():
        claimed = getattr(board.core, name)
        if used and not claimed:
            raise _not_claimed(board, name)
        if claimed and not used:
            raise BoardError(
                f"The board {board.name!r} says core.{name} = true, and with core.flags the compiler does without "
                f"{_NAMES[name]}.",
                hint=f"Say core.{name} = false, or correct -mcpu in core.flags.",
            )


_WITHOUT = {
    "fpu": 'give core.flags "-mfloat-abi=soft"',
    "dsp": "add +nodsp to -mcpu",
    "helium": "add +nomve to -mcpu",
}


def _not_claimed(board: Board, name: str) -> BoardError:
    return BoardError(
        f"The board {board.name!r} says core.{name} = false, and with core.flags the compiler uses {_NAMES[name]}.",
        hint=f"Say core.{name} = true if the chip has it, or {_WITHOUT[name]}.",
    )


def _soft_float(board: Board) -> BoardError:
    return BoardError(
        f"The board {board.name!r} says core.fpu = true, and with core.flags ({' '.join(board.core.flags)}) the compiler "
        "would not use an FPU.",
        hint='Add "-mfloat-abi=hard" to core.flags, and name with -mcpu a core that has an FPU; or say core.fpu = false: '
        "models of integers only then.",
    )


def _value(flags: Sequence[str], prefix: str) -> str | None:
    """What follows `prefix` in the last flag that has it."""
    return next((flag.removeprefix(prefix) for flag in reversed(flags) if flag.startswith(prefix)), None)
