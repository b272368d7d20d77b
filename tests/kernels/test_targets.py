"""Every kernel compiles for the cores without a warning, and needs nothing but the compiler's own helpers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mcu_sdk.planning.kernel_files import closure, kernel, kernel_sources, kernels
from mcu_sdk.project.compile_flags import SMALL, cxx_flags
from tests.compile_objects import compile_objects
from tests.kernels.conftest import FIRMWARE, KERNELS, kernel_files
from tests.kernels.cores import BOARDS, CORES

ALLOWED = re.compile(r"memcpy|memset|memmove|__aeabi_\w+")
FLOAT = re.compile(r"sqrtf")
"""And of kernels in float, which no core without FPU gets (planning/fpu.py)."""


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_kernels_stand_alone(core: str, tmp_path: Path) -> None:
    if shutil.which("arm-none-eabi-g++") is None:
        pytest.skip("arm-none-eabi-g++ is not installed")
    sources = kernel_files("*.cpp")
    command = ["arm-none-eabi-g++", *cxx_flags(BOARDS[core], SMALL), f"-I{FIRMWARE}"]
    compile_objects(command, sources, tmp_path)
    assembled = _assembled(core, tmp_path)
    defined: set[str] = set()
    for source in sources:
        listing = subprocess.run(
            ["arm-none-eabi-nm", f"{source.name}.o"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        undefined = set(re.findall(r"^\s+U (\S+)$", listing, re.MULTILINE))
        foreign = {name for name in undefined if not ALLOWED.fullmatch(name)} - assembled - _included(source)
        if not BOARDS[core].core.fpu:
            foreign = {name for name in foreign if not FLOAT.fullmatch(name)}
        assert not foreign, f"{source.name} needs {foreign}"
        static = re.findall(r"^\S+ [bBdDC] (\S+)$", listing, re.MULTILINE)
        assert not static, f"{source.name} keeps state in {static}"
        defined |= set(re.findall(r" T mcu_(\w+)$", listing, re.MULTILINE))
    missing = {name for name in kernels() if f"mcu_{name}" not in assembled} - defined
    assert all(_is_a_variants(kernel(name).header) for name in missing), missing


def _included(source: Path) -> set[str]:
    """The kernels of the headers that a source includes: their sources come with it."""
    headers = set(closure([source.relative_to(FIRMWARE).as_posix()]))
    return {f"mcu_{name}" for name, declared in kernels().items() if declared.header in headers}


def _is_a_variants(header: str) -> bool:
    """Whether only some cores have what it declares."""
    stem = Path(header).stem
    return stem.endswith(tuple(f"_{name}" for name in VARIANTS)) or all(
        "helium" in source for source in kernel_sources(header)
    )


def _assembled(core: str, folder: Path) -> set[str]:
    """The functions that the assembly sources have for a core: none without Helium or DSP, and no other reference."""
    found: set[str] = set()
    for source in kernel_files("*.S"):
        flags = [*BOARDS[core].core.flags, f"-I{FIRMWARE}"]
        command = ["arm-none-eabi-gcc", *flags, "-c", str(source), "-o", "s.o"]
        subprocess.run(command, cwd=folder, check=True, timeout=60)
        listing = subprocess.run(
            ["arm-none-eabi-nm", "s.o"], cwd=folder, capture_output=True, text=True, check=True
        )
        assert " U " not in listing.stdout
        found |= set(re.findall(r" T (mcu_\w+)$", listing.stdout, re.MULTILINE))
    assert bool(found) == (core != "cortex-m3")
    return found


VARIANTS = {"helium": "cortex-m55", "dsp": "cortex-m4"}
"""Headers whose names end so need a core that has the instructions."""


@pytest.mark.parametrize("header", [str(path.relative_to(KERNELS)) for path in kernel_files("*.h")])
def test_headers_stand_alone(header: str, tmp_path: Path) -> None:
    """Each header compiles by itself, and included twice."""
    core = VARIANTS.get(header.removesuffix(".h").rsplit("_", 1)[-1])
    compiler = shutil.which("arm-none-eabi-g++" if core else "g++")
    if compiler is None:
        pytest.skip("the compiler is not installed")
    unit = tmp_path / "unit.cpp"
    unit.write_text(f'#include "kernels/{header}"\n' * 2)
    flags = cxx_flags(BOARDS[core] if core else None, "-O0", "-fsyntax-only", "-Wno-unused-function")
    done = subprocess.run(
        [compiler, *flags, f"-I{FIRMWARE}", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
