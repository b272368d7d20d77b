"""`mcu-sdk doctor`: each tool with its version, or the line that installs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from mcu_sdk.board.toolchain import GCC_PACKAGES, TOOLCHAINS
from mcu_sdk.errors import ToolMissingError
from mcu_sdk.requirements import is_pinned_version, pinned_version, requirement
from mcu_sdk.text import hanging

_SECONDS = 10.0
"""A tool that does not tell its version in this time counts as broken."""


@dataclass(frozen=True)
class Tool:
    """A program, how it tells its version, and how it is installed. `distribution`: its package on PyPI."""

    name: str
    purpose: str
    install: str
    programs: tuple[str, ...]
    arguments: tuple[str, ...] = ("--version",)
    minimum: tuple[int, ...] = ()
    required: bool = True
    distribution: str | None = None


@dataclass(frozen=True)
class Package:
    """A Python package."""

    name: str
    purpose: str
    required: bool = True


@dataclass(frozen=True)
class Finding:
    """What was found of a tool. `problem` is empty when it can be used."""

    name: str
    purpose: str
    required: bool
    version: str | None
    path: str | None
    problem: str
    install: str

    @property
    def ok(self) -> bool:
        return not self.problem


PACKAGES = (
    Package("torch", "reading and exporting models"),
    Package("executorch", "lowering to .pte"),
    Package("transformers", "model definitions"),
    Package("ethos-u-vela", "compiling for Ethos-U NPUs", required=False),
)

TOOLS = (
    Tool(
        "cmake", "building", "apt-get install cmake, or pip install cmake", ("cmake",), minimum=(3, 21),
        distribution="cmake",
    ),
    Tool("ninja", "building", "apt-get install ninja-build, or pip install ninja", ("ninja",), distribution="ninja"),
    Tool("arm-none-eabi-g++", "compiling firmware", GCC_PACKAGES, ("arm-none-eabi-g++",), minimum=(12,)),
    Tool(
        "clang", 'compiling for boards with toolchain = "clang"', "apt-get install clang-19",
        TOOLCHAINS["clang"].compilers, minimum=(19,), required=False,
    ),
    Tool("newlib", "compiling firmware", GCC_PACKAGES, ("arm-none-eabi-gcc",), ("-print-file-name=nano.specs",)),
    Tool("g++", "host builds, for verify", "apt-get install g++", ("c++", "g++"), minimum=(9,)),
    Tool("qemu-system-arm", "running firmware", "apt-get install qemu-system-arm", ("qemu-system-arm",), minimum=(7,)),
    Tool(
        "Corstone FVP", "running firmware on Arm's model", "developer.arm.com: Corstone-300 Ecosystem FVP",
        ("FVP_Corstone_SSE-300_Ethos-U55",), required=False,
    ),
    Tool(
        "pyocd", "flashing boards", "pip install 'mcu-sdk[flash]'", ("pyocd",), required=False, distribution="pyocd",
    ),
    Tool("openocd", "flashing boards", "apt-get install openocd", ("openocd",), required=False),
    Tool(
        "gdb", "flashing boards, debugging", "apt-get install gdb-multiarch",
        ("arm-none-eabi-gdb", "gdb-multiarch"), required=False,
    ),
)  # fmt: skip


def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Look for every tool; exit 4 if a required one is missing."""
    findings = examine()
    if as_json:
        print(json.dumps([{**asdict(finding), "ok": finding.ok} for finding in findings], indent=2))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(_line(finding, width))
    missing = [finding for finding in findings if finding.required and not finding.ok]
    if missing:
        lines = list(dict.fromkeys(finding.install for finding in missing))
        raise ToolMissingError(
            f"Needed, and not there: {', '.join(finding.name for finding in missing)}.",
            hint=f"Install: {'; '.join(lines)}.",
        )


def _line(finding: Finding, width: int) -> str:
    mark = "ok     " if finding.ok else "MISSING" if finding.required else "absent "
    detail = finding.version or "" if finding.ok else f"{finding.problem}; to install: {finding.install}"
    return hanging(f"{mark}  {finding.name:{width}}  ", f"{detail}  ({finding.purpose})")


def examine() -> list[Finding]:
    """Look at Python, the packages and the tools; no package is imported, the tools are asked side by side."""
    running = [(tool, *_start(tool)) for tool in TOOLS]
    return [
        _python(),
        *(_package(package) for package in PACKAGES),
        *(_tool(tool, path, process) for tool, path, process in running),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    problem = "" if sys.version_info >= (3, 11) else f"found {version}, expected 3.11 or later"
    return Finding(
        "python", "mcu-sdk itself", True, version, sys.executable, problem, "apt-get install python3"
    )


def _package(package: Package) -> Finding:
    pinned = pinned_version(package.name)
    try:
        version, problem = metadata.version(package.name), ""
        if pinned is not None and not is_pinned_version(package.name):
            problem = f"found {version}, expected {pinned}"
    except metadata.PackageNotFoundError:
        version, problem = None, "not installed"
    wanted = requirement(package.name)
    install = f"pip install '{wanted}'" if "[" in wanted else f"pip install {wanted}"
    return Finding(package.name, package.purpose, package.required, version, None, problem, install)


def _find(tool: Tool) -> Path | None:
    """On the PATH, in $MCU_SDK_FVP for the FVP, or beside Python, where pip puts programs."""
    for program in tool.programs:
        named = os.environ.get("MCU_SDK_FVP") if program.startswith("FVP") else None
        beside = str(Path(sys.executable).parent)
        found = shutil.which(named or program) or shutil.which(program, path=beside)
        if found:
            return Path(found)
    return None


def _start(tool: Tool) -> tuple[Path | None, subprocess.Popen[str] | None]:
    """The tool's path, and the process that is telling its version (if it has to be asked)."""
    path = _find(tool)
    if path is None or (tool.distribution and path.parent == Path(sys.executable).parent):
        return path, None
    try:
        process = subprocess.Popen(
            [str(path), *tool.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError:
        return path, None
    return path, process


def _tool(tool: Tool, path: Path | None, process: subprocess.Popen[str] | None) -> Finding:
    version, problem = _examine_tool(tool, path, process)
    return Finding(
        tool.name, tool.purpose, tool.required, version, str(path) if path else None, problem, tool.install
    )  # fmt: skip


def _examine_tool(
    tool: Tool, path: Path | None, process: subprocess.Popen[str] | None
) -> tuple[str | None, str]:
    """The version, and what is wrong with the tool ("" for nothing)."""
    if path is None:
        return None, "not found"
    if process is None:
        if tool.distribution is None:
            return None, f"{path} does not start"
        try:
            return metadata.version(tool.distribution), ""
        except metadata.PackageNotFoundError:
            return None, f"{path} does not start"
    try:
        output = process.communicate(timeout=_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, f"{path} does not answer"
    if process.returncode != 0:
        return None, f"{path} fails with code {process.returncode}"
    if tool.name == "newlib":  # the compiler prints a path if it has the file, the bare name if not
        return ("found", "") if "/" in output else (None, "not found by arm-none-eabi-gcc")
    return _check_version(output, tool.minimum)


def _check_version(output: str, minimum: Sequence[int]) -> tuple[str | None, str]:
    """The version number in what a tool printed, and what is wrong with it."""
    plain = re.sub(r"\([^)]*\)", "", output)  # the package's own version stands in parentheses
    match = re.search(r"(?<![\w.])(\d+(?:\.\d+)+)", plain)
    if match is None:
        return None, "its version cannot be read" if minimum else ""
    found = tuple(int(part) for part in match[1].split("."))
    if found < tuple(minimum):
        return match[1], f"found {match[1]}, expected {'.'.join(map(str, minimum))} or later"
    return match[1], ""
