"""What firmware/ says of a kernel, found from its name: the header that declares it, its parameters, and its sources.

Paths are relative to firmware/, with "/".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from mcu_sdk import resources

FOLDER = "kernels"
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_DECLARATION = re.compile(r'^extern "C" \w+ mcu_(\w+)\(([^)]*)\);', re.MULTILINE)
_ROW_MACRO = re.compile(
    r'^#define (\w+)\(name\b[^\n]*?\)\s*(?:\\\n\s*)?extern "C" void mcu_##name\(([^)]*)\);', re.MULTILINE
)
_ALIAS = re.compile(r"^#define (\w+) (\w+)$", re.MULTILINE)
_ROW = re.compile(r"^(\w+)\((\w+),", re.MULTILINE)


@dataclass(frozen=True)
class Declaration:
    """A kernel as its header declares it."""

    header: str
    parameters: tuple[str, ...]
    """Their names."""


def kernel(name: str) -> Declaration:
    """The declaration of `mcu_<name>`. Raises KeyError if there is none."""
    return kernels()[name]


def kernels() -> dict[str, Declaration]:
    """Every function that a header of firmware/kernels declares as extern "C", by its name without `mcu_`."""
    return _kernels(resources.firmware())


def kernel_sources(header: str) -> tuple[str, ...]:
    """The .cpp and .S files that define what `header` declares, and what those call in turn, sorted."""
    return tuple(name for name in closure([header]) if name.endswith((".cpp", ".S")))


def closure(files: Iterable[str]) -> list[str]:
    """`files`, every header that they include and every source of those headers that are kernels', sorted.

    The sources of kernels/x/name.h are name.cpp and name_helium.cpp beside it, or .S: its functions in variants.
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


def includes(file: Path) -> list[str]:
    """What a source includes with quotes, as it says it."""
    return _INCLUDE.findall(file.read_text(encoding="utf-8"))


@cache
def _kernels(root: Path) -> dict[str, Declaration]:
    found: dict[str, Declaration] = {}
    for path in sorted((root / FOLDER).glob("*/*.h")):
        header = path.relative_to(root).as_posix()
        for name, parameters in _declared(path):
            if name in found:
                raise ValueError(f"{header} and {found[name].header} both declare mcu_{name}")
            found[name] = Declaration(header, tuple(re.findall(r"(\w+)\s*(?:\[\d*\])?(?:,|$)", parameters)))
    return found


def _declared(header: Path) -> Iterator[tuple[str, str]]:
    """(name, parameters) of the kernels that a header declares one by one, then of those in the table it includes."""
    text = header.read_text(encoding="utf-8")
    yield from _DECLARATION.findall(text)
    table = header.with_suffix(".inc")
    if table.is_file():
        macros = dict(_ROW_MACRO.findall(text))
        macros |= {alias: macros[macro] for alias, macro in _ALIAS.findall(text) if macro in macros}
        for macro, name in _ROW.findall(table.read_text(encoding="utf-8")):
            yield name, macros[macro]


@cache
def _neighbours(root: Path, name: str) -> tuple[str, ...]:
    """What `name` includes and, for a kernels' header, the sources beside it."""
    file = root / name
    beside = [path.relative_to(root).as_posix() for path in _beside(file)] if name.startswith(FOLDER) else []
    included = []
    for path in includes(file):
        if not path.startswith("model/"):
            relative = os.path.normpath(PurePosixPath(name).parent / path)
            included.append(relative if (root / relative).is_file() else path)
    return (*beside, *included)


def _beside(header: Path) -> list[Path]:
    if header.suffix != ".h":
        return []
    own = re.compile(rf"{re.escape(header.stem)}(_helium)?(\.cpp|\.S)")
    return sorted(path for path in header.parent.iterdir() if own.fullmatch(path.name))
