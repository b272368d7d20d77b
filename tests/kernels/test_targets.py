"""Every kernel compiles for the cores without a warning, and needs nothing but the compiler's own helpers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mcu_sdk.planning.kernel_files import kernel, kernel_sources, kernels
from tests.kernels.conftest import FIRMWARE, KERNELS, kernel_files

CORES = {
    "cortex-m55": ["-mcpu=cortex-m55"],
    "cortex-m4": ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"],
    "cortex-m7": ["-mcpu=cortex-m7", "-mfpu=fpv5-d16"],
}
FLAGS = [
    "-mthumb",
    "-mfloat-abi=hard",
    "-Os",
    "-std=c++17",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-exceptions",
    "-fno-rtti",
    "-ffunction-sections",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
]
ALLOWED = re.compile(r"memcpy|memset|memmove|__aeabi_\w+")


@pytest.mark.parametrize("core", CORES)
def test_kernels_stand_alone(core: str, tmp_path: Path) -> None:
    if shutil.which("arm-none-eabi-g++") is None:
        pytest.skip("arm-none-eabi-g++ is not installed")
    sources = kernel_files("*.cpp")
    command = ["arm-none-eabi-g++", *CORES[core], *FLAGS, f"-I{FIRMWARE}", "-c", *map(str, sources)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assembled = _assembled(core, tmp_path)
    defined: set[str] = set()
    for source in sources:
        listing = subprocess.run(
            ["arm-none-eabi-nm", f"{source.stem}.o"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        undefined = set(re.findall(r"^\s+U (\S+)$", listing, re.MULTILINE))
        foreign = {name for name in undefined if not ALLOWED.fullmatch(name)} - assembled
        assert not foreign, f"{source.name} needs {foreign}"
        static = re.findall(r"^\S+ [bBdDC] (\S+)$", listing, re.MULTILINE)
        assert not static, f"{source.name} keeps state in {static}"
        defined |= set(re.findall(r" T mcu_(\w+)$", listing, re.MULTILINE))
    missing = {name for name in kernels() if f"mcu_{name}" not in assembled} - defined
    assert all("helium" in source for name in missing for source in kernel_sources(kernel(name).header)), (
        missing
    )


def _assembled(core: str, folder: Path) -> set[str]:
    """The functions that the assembly sources have for a core: none without Helium, and no other reference."""
    found: set[str] = set()
    for source in kernel_files("*.S"):
        command = [
            "arm-none-eabi-gcc",
            *CORES[core],
            "-mthumb",
            "-mfloat-abi=hard",
            "-c",
            str(source),
            "-o",
            "s.o",
        ]
        subprocess.run(command, cwd=folder, check=True, timeout=60)
        listing = subprocess.run(
            ["arm-none-eabi-nm", "s.o"], cwd=folder, capture_output=True, text=True, check=True
        )
        assert " U " not in listing.stdout
        found |= set(re.findall(r" T (mcu_\w+)$", listing.stdout, re.MULTILINE))
    assert bool(found) == (core == "cortex-m55")
    return found


@pytest.mark.parametrize("header", [str(path.relative_to(KERNELS)) for path in kernel_files("*.h")])
def test_headers_stand_alone(header: str, tmp_path: Path) -> None:
    """Each header compiles by itself, and included twice."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    unit = tmp_path / "unit.cpp"
    unit.write_text(f'#include "kernels/{header}"\n' * 2)
    command = [
        compiler,
        "-std=c++17",
        "-fsyntax-only",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{FIRMWARE}",
        str(unit),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
