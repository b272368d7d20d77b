"""Which files of firmware/ a kernel needs, found from its name: firmware/kernels/<kind>/<name>.h and what belongs to it.

Paths are relative to firmware/, with "/".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from mcu_sdk import resources

FOLDER = "kernels"
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_SOURCES = (".cpp", ".S")


def kernel_header(name: str) -> str:
    """The header that declares `mcu_<name>`. Raises KeyError if there is none."""
    return _headers(resources.firmware())[name]


def kernel_sources(header: str) -> tuple[str, ...]:
    """The .cpp and .S files that define what `header` declares, and what those call in turn, sorted."""
    found = closure([header])
    return tuple(name for name in found if name.endswith(_SOURCES))


def closure(files: Iterable[str]) -> list[str]:
    """`files`, every header that they include and every source of those headers that are kernels', sorted.

    The sources of kernels/x/name.h are name.cpp and name_*.cpp beside it, or .S: the functions of one header in variants.
    Headers of a project's model/ are generated, and left out. Raises FileNotFoundError for a file that does not exist.
    """
    root = resources.firmware()
    found: set[str] = set()
    waiting = list(files)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _neighbours(root, name)
    return sorted(found)


@cache
def _headers(root: Path) -> dict[str, str]:
    return {path.stem: path.relative_to(root).as_posix() for path in sorted((root / FOLDER).glob("*/*.h"))}


@cache
def _neighbours(root: Path, name: str) -> tuple[str, ...]:
    """What `name` includes and, for a kernels' header, the sources beside it."""
    file = root / name
    beside = [path.relative_to(root).as_posix() for path in _beside(file)] if name.startswith(FOLDER) else []
    included = []
    for path in _INCLUDE.findall(file.read_text(encoding="utf-8")):
        if not path.startswith("model/"):
            relative = os.path.normpath(PurePosixPath(name).parent / path)
            included.append(relative if (root / relative).is_file() else path)
    return (*beside, *included)


def _beside(header: Path) -> list[Path]:
    if header.suffix != ".h":
        return []
    own = re.compile(rf"{re.escape(header.stem)}(_helium|_dsp)?(\.cpp|\.S)")
    return sorted(path for path in header.parent.iterdir() if own.fullmatch(path.name))
