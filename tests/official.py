"""ExecuTorch's own runtime, from the wheel that is installed: its headers, its library, and our operators built against it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import executorch

from mcu_sdk import resources
from mcu_sdk.operators.table import called_operators
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project import flags
from mcu_sdk.project.executorch import operators_of
from mcu_sdk.project.operator_library import write_library_files, write_operator_library
from mcu_sdk.project.wrappers import all_wrappers

CORES = {
    "cortex-m55": ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
    "cortex-m4": ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
}


def python(script: str, *arguments: object) -> str:
    """What a Python of its own prints: a library registers its operators once in a process."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def write_all(folder: Path) -> Path:
    """The library of all operators that can be in one: also those in the place of ExecuTorch's own, for any file."""
    write_library_files(folder, all_wrappers(called_operators().values()))
    return folder


def instead_of_theirs(pte: Path) -> list[str]:
    """Names of what a project of that file has in the place of ExecuTorch's own operators."""
    made = all_wrappers(operators_of(read_pte(pte.read_bytes())))
    return [wrapper.name for wrapper in made if wrapper.is_of_libraries]


def build_shared(folder: Path) -> Path:
    """All operators of ours as a shared library that registers them when it is loaded."""
    write_operator_library(folder)
    _build(folder, "-DBUILD_SHARED_LIBS=ON", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS=-Werror")
    return folder / "build" / "libmcu_operators.so"


CALLER = """cmake_minimum_required(VERSION 3.21)
project(caller LANGUAGES C CXX ASM)
set(BUILD_SHARED_LIBS ON)
add_subdirectory(operators)
add_library(caller SHARED {source})
set_target_properties(caller PROPERTIES CXX_STANDARD 17 CXX_EXTENSIONS OFF)
target_include_directories(caller PRIVATE operators/sdk)
target_link_libraries(caller PRIVATE mcu_operators)
"""


def build_caller(folder: Path) -> tuple[Path, Path]:
    """The library of all operators, which registers ours, and official_call.cpp as one."""
    folder.mkdir()
    write_all(folder / "operators")
    source = Path(__file__).with_name("official_call.cpp")
    (folder / "CMakeLists.txt").write_text(CALLER.format(source=source))
    _build(folder, "-DCMAKE_BUILD_TYPE=Release")
    build = folder / "build"
    return build / "operators" / "libmcu_operators.so", build / "libcaller.so"


RUNNER = """cmake_minimum_required(VERSION 3.21)
project(runner LANGUAGES C CXX ASM)
add_subdirectory(operators)
add_executable(runner {source})
set_target_properties(runner PROPERTIES CXX_STANDARD 17 CXX_EXTENSIONS OFF)
target_include_directories(runner PRIVATE {firmware})
target_link_libraries(runner PRIVATE mcu_operators)
"""
SANITIZE = (
    "-g1 -fno-omit-frame-pointer -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
)


def build_runner(folder: Path, *, sanitize: bool = False) -> Path:
    """official_runner.cpp with all operators, statically; `sanitize`: our code in it stops at what it must not do."""
    folder.mkdir()
    write_all(folder / "operators")
    source = Path(__file__).with_name("official_runner.cpp")
    (folder / "CMakeLists.txt").write_text(RUNNER.format(source=source, firmware=resources.firmware()))
    flags = [f"-DCMAKE_CXX_FLAGS={SANITIZE}"] if sanitize else ["-DCMAKE_BUILD_TYPE=Release"]
    _build(folder, *flags)
    return folder / "build" / "runner"


def _build(folder: Path, *settings: str) -> None:
    cmake = ["cmake", "-G", "Ninja", "-S", str(folder), "-B", str(folder / "build"), *settings]
    cmake += ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache", f"-Dexecutorch_DIR={package() / 'share' / 'cmake'}"]
    for command in (cmake, ["cmake", "--build", str(folder / "build")]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stdout + done.stderr
