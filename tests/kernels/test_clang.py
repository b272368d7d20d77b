"""Clang 19 compiles the firmware too, and its vector kernels give the portable kernels' bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcu_sdk.board.toolchain import TOOLCHAINS
from mcu_sdk.project.compile_flags import cxx_flags, define_flags
from tests.kernels.conftest import FIRMWARE
from tests.kernels.cores import BOARDS, CORES
from tests.kernels.device.simulated import CLANG

COMPILER = TOOLCHAINS["clang"].compilers[0]
SOURCES = ("kernels/*/*.cpp", "kernels/*/*.S", "drivers/*/*.cpp", "platform/cortex_m/*.cpp", "runtime/*.cpp")


def needs_a_project(source: Path) -> bool:
    """What includes headers of a generated project is compiled in such."""
    files = [path for path in (source, source.with_suffix(".h")) if path.is_file()]
    return any('#include "model/' in path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.slow
def test_every_source_compiles_without_a_warning(core: str, tmp_path: Path) -> None:
    defined = define_flags(BOARDS["cortex-m55"])
    tools = TOOLCHAINS["clang"]
    assert tools.compiler, tools.install
    board = BOARDS[core].model_copy(update={"toolchain": "clang"})
    patterns = SOURCES if core == "cortex-m55" else (*SOURCES[:1], "platform/cortex_m/startup.cpp")
    found = sorted(path for pattern in patterns for path in FIRMWARE.glob(pattern))
    sources = [str(path) for path in found if not needs_a_project(path)]
    command = [tools.compiler, *cxx_flags(board), f"-I{FIRMWARE}", *defined, "-c", *sources]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_vector_kernels_give_the_same_bits() -> None:
    """The device's tests once more with kernels by clang; the bars on instruction counts are GCC's."""
    device = Path(__file__).parent / "device"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", str(device)]
    done = subprocess.run(
        [*command, "-m", "not slow", "-k", "not cost and not instructions and not takes"],
        env=os.environ | {CLANG: COMPILER},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-4000:]
