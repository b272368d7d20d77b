"""The kernels as a library of this computer, with undefined behaviour made fatal."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.planning.kernel_files import kernel, kernel_sources
from mcu_sdk.project.compile_flags import cxx_flags
from tests.kept import kept_folder
from tests.official import build_caller

FIRMWARE = resources.firmware()
KERNELS = FIRMWARE / "kernels"
SANITIZE = ("-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="session")
def build_library(pytestconfig: pytest.Config) -> Callable[..., ctypes.CDLL]:
    """`build_library(sources, *flags)`: the .cpp files as one library; kept until a source or header changes.

    Workers of pytest-xdist that need the same one wait for the first.
    """
    folder = kept_folder(pytestconfig, "kernels")

    def build(sources: Sequence[Path], *flags: str) -> ctypes.CDLL:
        command = [_compiler(), *cxx_flags(None, "-O2", *SANITIZE, *flags), f"-I{FIRMWARE}"]
        objects = [folder / f"{source.stem}-{key}.o" for source, key in _keys(command, sources)]
        library = folder / f"lib{sha256(repr(objects).encode()).hexdigest()[:16]}.so"
        with _lock(folder / "lock"):
            if not library.exists():
                missing = [(s, o) for s, o in zip(sources, objects, strict=True) if not o.exists()]
                with ThreadPoolExecutor(max_workers=2) as pool:
                    list(pool.map(lambda pair: _compile(command, *pair), missing))
                _run([_compiler(), "-shared", "-fsanitize=undefined", *map(str, objects)], library)
        return ctypes.CDLL(str(library))

    return build


@pytest.fixture(scope="session")
def kernel_library(build_library: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    """All of firmware/kernels."""
    return build_library(kernel_files("*.cpp"))


def kernel_files(*patterns: str) -> list[Path]:
    """The files of firmware/kernels, in all its folders, whose names match a pattern, sorted."""
    return sorted({path for pattern in patterns for path in KERNELS.glob(f"*/{pattern}")})


def sources_of(*kernels: str) -> list[Path]:
    """The sources that these kernels need, sorted."""
    return sorted({FIRMWARE / source for name in kernels for source in kernel_sources(kernel(name).header)})


def _compiler() -> str:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.fail("The tests of the kernels need g++ (Debian: apt install g++).")
    return compiler


def _keys(command: list[str], sources: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Each source with the hash of all that its object depends on."""
    common = sha256(repr(command).encode())
    common.update(subprocess.run([command[0], "--version"], capture_output=True, check=True).stdout)
    for header in kernel_files("*.h", "*.inc"):
        common.update(header.name.encode() + b"\0" + header.read_bytes())
    for source in sources:
        digest = common.copy()
        digest.update(source.read_bytes())
        yield source, digest.hexdigest()[:16]


def _compile(command: list[str], source: Path, target: Path) -> None:
    _run([*command, "-c", str(source)], target)


def _run(command: list[str], target: Path) -> None:
    """Run a compiler that writes `target`, which appears only when it is whole."""
    partial = target.with_suffix(f".{os.getpid()}")
    done = subprocess.run([*command, "-o", str(partial)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    partial.replace(target)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def caller(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """ExecuTorch's registry and all our operators, which a process can register once: `official_call` (tests/official_call.cpp)."""
    operators, calling = build_caller(tmp_path_factory.mktemp("caller") / "library")
    ctypes.CDLL(str(operators), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(calling))
    library.official_call.argtypes = [ctypes.c_char_p, *[ctypes.c_void_p, ctypes.c_int64] * 2, ctypes.c_bool]
    library.official_call.restype = ctypes.c_int32
    return library
