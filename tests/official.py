"""ExecuTorch's own runtime, from the wheel that is installed: its headers, its library, and our operators built against it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import executorch

from mcu_sdk.project import flags
from mcu_sdk.project.operator_library import write_operator_library

CORES = {
    "cortex-m55": ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
    "cortex-m4": ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
}


def package() -> Path:
    """The installed package's folder, with include/, lib/ and share/cmake/."""
    return Path(next(iter(executorch.__path__)))


def includes(root: Path) -> list[str]:
    """The compiler's arguments for the package's headers."""
    headers = root / "include"
    c10 = headers / "executorch/runtime/core/portable_type/c10"
    return ["-isystem", str(headers), "-isystem", str(c10), "-DC10_USING_CUSTOM_GENERATED_MACROS"]


def compile_for(core: str, folder: Path, source: str, root: Path) -> Path:
    """The object of a source of the library for a core, made without ExecuTorch's log; warnings are errors."""
    target = folder / f"{Path(source).stem}-{core}.o"
    command = ["ccache", "arm-none-eabi-g++", "-mthumb", *CORES[core], f"-std=c++{flags.STANDARD}", "-Os"]
    command += [*flags.CXX, *flags.WARNINGS, *flags.SECTIONS, "-Werror", "-DET_LOG_ENABLED=0"]
    command += ["-I.", "-Isdk", *includes(root)]  # relative, so that ccache knows them in every folder
    done = subprocess.run(
        [*command, "-c", source, "-o", target.name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return target


def build_shared(folder: Path) -> Path:
    """All operators as a shared library that registers them when it is loaded."""
    write_operator_library(folder)
    cmake = ["cmake", "-G", "Ninja", "-S", str(folder), "-B", str(folder / "build"), "-DBUILD_SHARED_LIBS=ON"]
    cmake += ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
    cmake += ["-DCMAKE_CXX_FLAGS=-Werror", f"-Dexecutorch_DIR={package() / 'share' / 'cmake'}"]
    for command in (cmake, ["cmake", "--build", str(folder / "build")]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "libmcu_operators.so"
