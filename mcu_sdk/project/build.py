"""Building a generated project with its own CMake presets."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from mcu_sdk.board.toolchain import GCC_PACKAGES, LINKER, TOOLCHAINS
from mcu_sdk.console import log, step
from mcu_sdk.errors import BuildError, DoesNotFitError, McuSdkError, ToolMissingError, UsageError
from mcu_sdk.project.destination import check_path
from mcu_sdk.project.edited import edited_sources, said
from mcu_sdk.project.elf import ElfSizes, forbidden_symbols, read_sizes, uses_helium
from mcu_sdk.project.installed import executorch_settings, explain_executorch, is_official
from mcu_sdk.project.library import archive_sizes, library_prefix, stated_stack
from mcu_sdk.project.map import LibraryPart, library_parts
from mcu_sdk.project.objects import ObjectSizes, object_sizes
from mcu_sdk.project.stack import StackBound, interface_bound, stack_bound
from mcu_sdk.targets.tool import run_group

HOST_PRESETS = ("host", "host-debug")
_CROSS = Path("cmake") / "arm-none-eabi.cmake"
"""What CMake is told of the board's compiler; a project for this computer alone has no such file."""

_INSTALL = {
    "cmake": "apt-get install cmake, or pip install cmake",
    "ninja": "apt-get install ninja-build, or pip install ninja",
    LINKER: GCC_PACKAGES,
    "c++": "apt-get install g++",
}

_FLAG_VARIABLES = ("CFLAGS", "CXXFLAGS", "ASMFLAGS", "CPPFLAGS", "LDFLAGS", "CXX", "CC", "ASM")
"""CMake would take flags from these, and the project would no longer be the same everywhere."""


_OF_AN_OPERATING_SYSTEM = frozenset(
    ("_sbrk", "_write", "_read", "_close", "_lseek", "_fstat", "_isatty", "_exit", "_kill", "_getpid")
)
"""What newlib's heap and streams are built on; nothing of it is in the firmware."""


@dataclass(frozen=True)
class BuildResult:
    """What a build made. `library` (libmodel.so) is there for host builds, `map` and `sizes` for boards.

    `program` is firmware.elf for a board, an executable for a host. `stack` is how deep a board's stack can get,
    `libraries` what of libc and libgcc is in it. `edited`: generated files that were changed and went into it.
    `archive`: what a library was made for, and `archive_parts` its bytes in an image that uses all of its interface.
    `objects`: where nothing was linked, the bytes of what was compiled, by part of the project.
    """

    preset: str
    program: Path
    log: Path
    library: Path | None = None
    map: Path | None = None
    sizes: ElfSizes | None = None
    stack: StackBound | None = None
    libraries: tuple[LibraryPart, ...] = ()
    edited: tuple[str, ...] = ()
    archive: Path | None = None
    archive_parts: Mapping[str, int] = field(default_factory=dict)
    objects: Mapping[str, ObjectSizes] = field(default_factory=dict)


def build(
    project: Path, preset: str = "release", *, self_test: bool = False, objects: bool = False
) -> BuildResult:
    """Configure and build `preset` of a generated project; the steps show on stderr. With `self_test` a firmware that
    tests its kernels at boot, in a folder of its own. With `objects` a project for ExecuTorch's runtime is compiled
    against the installed package's headers, and not linked.

    Raises UsageError for a folder without presets, ToolMissingError (with the line that installs it), BuildError
    with the first errors of the compiler or where the firmware has instructions that the core lacks, or a heap, printf
    or exceptions; DoesNotFitError if the linker runs out of a region or the stack can get deeper than what is reserved.
    """
    if not (project / "CMakePresets.json").is_file():
        raise UsageError(
            f"{str(project)!r} is not a generated project: there is no CMakePresets.json.",
            hint="Name the folder that `mcu-sdk generate` wrote.",
        )
    check_path(str(project.resolve()), "Move the project to another folder.")
    is_boards = (project / _CROSS).is_file()
    native = preset in HOST_PRESETS or not is_boards
    cmake, ninja = _find_tools(project, native)
    official = executorch_settings(project, native=native, objects=objects, beside_board=native and is_boards)
    if self_test and official:
        raise UsageError(
            "--self-test is for compiled plans, and ExecuTorch's runtime runs this project's model.",
            hint="Generate the project with --runtime plan: its kernels are the same.",
        )
    if self_test:
        _prepare_self_test(project)
    changed = tuple(edited_sources(project))
    if changed:
        log(f"changed since they were generated, and built as they are: {said(changed)}")
    folder = build_folder(project, preset, self_test=self_test, objects=objects)
    _forget_if_moved(folder, project)
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / "build.log"
    jobs = str(os.cpu_count() or 1)
    with log_file.open("w", encoding="utf-8") as output, step(f"Building {project.name} ({folder.name})"):
        # A relative path in the log and in messages, so that neither depends on where the project lies.
        place = folder.relative_to(project).as_posix()
        defined = [f"-DCMAKE_MAKE_PROGRAM={ninja}", *(["-DMCU_SELF_TEST=ON"] if self_test else []), *official]
        _run([cmake, "--preset", preset, "-B", place, *defined], project, output, log_file)
        _run([cmake, "--build", place, "--parallel", jobs], project, output, log_file)
        if objects:
            return BuildResult(preset, folder, log_file, edited=changed, objects=object_sizes(folder))
        prefix = library_prefix(project)
        archive = folder / f"lib{prefix}.a" if prefix is not None else None
        result = BuildResult(preset, folder / "firmware", log_file, edited=changed, archive=archive)
        if native:
            return replace(result, library=None if self_test else folder / "libmodel.so")
        return _examined(result, project, prefix)


def _find_tools(project: Path, native: bool) -> tuple[str, str]:
    """CMake and Ninja, where there is a compiler, too. Raises ToolMissingError."""
    cmake, ninja = find_tool("cmake"), find_tool("ninja")
    if native:
        find_tool("c++")
    else:
        find_compilers(project)
    return cmake, ninja


def _prepare_self_test(project: Path) -> None:
    """Write the sources of the self-test, if they are not there. Raises UsageError for a library."""
    from mcu_sdk.project.self_test import check_firmware, ensure

    check_firmware(project)
    with step("Computing what the kernels have to answer"):
        ensure(project)


def _examined(result: BuildResult, project: Path, prefix: str | None) -> BuildResult:
    """A board's firmware, checked, with sizes, stack and libraries.

    `prefix`: of a library's names. Raises BuildError and DoesNotFitError as `build` says.
    """
    folder = result.program.parent
    program, map_file = folder / "firmware.elf", folder / "firmware.map"
    _check_instructions(program, project)
    if not is_official(project):  # ExecuTorch's libraries may have what they like
        _check_symbols(program)
    sizes, stack = read_sizes(program), stack_bound(program)
    _check_stack(stack, sizes.stack)
    parts: dict[str, int] = {}
    if prefix is not None:
        parts = archive_sizes(map_file.read_text(encoding="utf-8", errors="replace"), prefix)
        stack = interface_bound(program, prefix)
        _compare_stack(stack, stated_stack(project, prefix))
    return replace(
        result,
        program=program,
        map=map_file,
        sizes=sizes,
        stack=stack,
        libraries=library_parts(map_file),
        archive_parts=parts,
    )


def build_folder(project: Path, preset: str, *, self_test: bool = False, objects: bool = False) -> Path:
    """Where `build` builds."""
    return project / "build" / (preset + ("-self-test" if self_test else "-objects" if objects else ""))


def find_compilers(project: Path) -> None:
    """Raise ToolMissingError, with the line that installs it, if what a project is compiled or linked with is missing."""
    text = (project / _CROSS).read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^set\(TOOLCHAIN (\w+)\)$", text, re.MULTILINE)
    tools = next((tools for name, tools in TOOLCHAINS.items() if found and name == found[1]), None)
    if tools is not None and tools.is_clang and tools.compiler is None:
        raise ToolMissingError(
            f"The board says toolchain = {tools.name!r}; {' or '.join(tools.compilers)} is not installed.",
            hint=f"Install it: {tools.install}.",
        )
    find_tool(LINKER)


def _compare_stack(found: StackBound, stated: int | None) -> None:
    """Say it where this compiler's code needs more stack than a library's header states."""
    if stated is not None and (found.bytes is None or found.bytes > stated):
        need = f"{found.bytes:,} bytes" if found.bytes is not None else f"an unknown depth ({found.reason})"
        log(
            f"a call takes {need} of stack as it was compiled here; the header, from another compiler, says {stated:,}"
        )


def _check_stack(stack: StackBound, reserved: int) -> None:
    """Raise DoesNotFitError if the stack can get deeper than what is reserved for it."""
    if stack.bytes is not None and stack.bytes > reserved:
        chain = " > ".join(stack.chain[-4:])
        raise DoesNotFitError(
            f"The stack can get {stack.bytes:,} bytes deep (in ... {chain}), and {reserved:,} are reserved.",
            hint=f"Give stack_bytes in the board.toml at least {-(-stack.bytes // 8) * 8}, or use less in app/.",
        )


def _check_instructions(program: Path, project: Path) -> None:
    """Raise BuildError if Helium code is in the firmware of a core that the board file gives none."""
    toolchain = (project / _CROSS).read_text(encoding="utf-8")
    if "set(CORE_HAS_HELIUM OFF)" in toolchain and uses_helium(program):
        raise BuildError(
            f"The board's core has no Helium (core.helium = false), and {program.name} has code for it.",
            hint="Check core.flags in the board.toml: -mcpu decides which instructions the compiler uses.",
        )


def _check_symbols(program: Path) -> None:
    """Raise BuildError if there is a heap, printf or exceptions in the firmware."""
    found = forbidden_symbols(program)
    if found:
        raise BuildError(
            f"Firmware has no heap, no printf and no exceptions; {program.name} has {', '.join(sorted(found, key=lambda name: name.startswith('_'))[:8])}.",
            hint=f"What app/ calls draws it in; {program.with_suffix('.map')} says which file asks for it.",
        )


def find_tool(name: str) -> str:
    """The path of a build tool, also beside the running Python (pip puts cmake and ninja there).

    Raises ToolMissingError with the line that installs it.
    """
    beside_python = str(Path(sys.executable).parent)
    path = shutil.which(name) or shutil.which(name, path=beside_python)
    if path is None:
        raise ToolMissingError(
            f"The build needs {name}, which is not installed.", hint=f"Install it: {_INSTALL[name]}."
        )
    return path


def _forget_if_moved(folder: Path, project: Path) -> None:
    """CMake refuses a build folder that was made for another place: begin again then."""
    cache = folder / "CMakeCache.txt"
    if not cache.is_file():
        return
    found = re.search(
        r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", cache.read_text(errors="replace"), re.MULTILINE
    )
    if found is None or Path(found[1]) != project.resolve():
        shutil.rmtree(folder)


def _run(command: Sequence[str], project: Path, log: TextIO, log_file: Path) -> None:
    """Run one command, copying what it says to the log; a failure becomes one of our errors."""
    environment = {key: value for key, value in os.environ.items() if key not in _FLAG_VARIABLES}
    environment |= {"LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"}
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    finished = run_group(command, cwd=project.resolve(), env=environment)
    output = finished.stdout.decode("utf-8", "replace")
    log.write(output)
    log.flush()
    if finished.returncode != 0:
        raise _explain(output, log_file)


def _explain(output: str, log_file: Path) -> McuSdkError:
    """The exception for a build that failed."""
    official = explain_executorch(output, log_file)
    if official is not None:
        return official
    over = re.findall(r"region [`'](\w+)' overflowed by (\d+) bytes", output)
    if over:
        told = " and ".join(f"region '{name}' is over by {int(count):,} bytes" for name, count in over)
        return DoesNotFitError(
            f"The firmware does not fit: {told} (found when linking; see {log_file}).",
            hint="Take a smaller model or a shorter --max-cache-len, or place sections elsewhere in the board.toml.",
        )
    lines = [line.strip() for line in output.splitlines()]
    errors = [line for line in lines if re.search(r"\berror: |undefined reference|CMake Error|/ld: ", line)]
    missing = re.search(r"undefined reference to [`'](_\w+)'", output)
    if missing and missing[1] in _OF_AN_OPERATING_SYSTEM:
        hint = (
            "It is called by malloc, printf and their like, which firmware does without; see what app/ calls."
        )
        return BuildError(f"The build failed: nothing defines {missing[1]}.", hint=f"{hint} Log: {log_file}.")
    shown = errors[:3] or [line for line in lines if line][-3:]
    return BuildError(f"The build failed: {' | '.join(shown)}.", hint=f"Everything it said is in {log_file}.")
