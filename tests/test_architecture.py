"""Imports run one way, from the command line down to the tables, and what works on a .pte imports no torch.

Every import counts, those inside functions and for the type checker too: an arrow that is drawn late is an arrow.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import mcu_sdk
from mcu_sdk import resources

PACKAGE = Path(mcu_sdk.__file__).parent
FIRMWARE = resources.firmware()

TOOLS = {
    "heap",
    "cache",
    "console",
    "errors",
    "folders",
    "json_file",
    "markdown",
    "option",
    "requirements",
    "resources",
    "text",
}
"""Files at the top that any room may import: messages, paths, the terminal."""

BELOW_GENERATE = {
    "board",
    "lowering",
    "model",
    "npu",
    "operators",
    "options",
    "planning",
    "project",
    "recipes",
    "targets",
}
ROOMS: dict[str, set[str]] = {
    "operators": set(),
    "board": {"npu"},
    "npu": set(),
    "model": set(),
    "targets": {"board", "npu"},
    "lowering": {"operators", "board", "npu"},
    "planning": {"operators", "board", "npu"},
    "recipes": {"options", "model", "lowering", "planning", "operators", "board", "npu"},
    "project": {"planning", "targets", "operators", "board", "npu"},
    "options": {"operators", "board", "project"},
    "inputs": {"options", "model", "project", "board"},
    "choice": {"options"},
    "saving": {"options"},
    "generated": {"planning"},
    "device_texts": {"options", "model", "planning", "project"},
    "generation": {"inputs", "choice", "saving", "generated", "device_texts", *BELOW_GENERATE},
    "regeneration": {"generation", "generated", "inputs", *BELOW_GENERATE},
    "origin": {"model", "project", "recipes"},
    "api": {"options", "origin", *BELOW_GENERATE},
    "evaluate": {"generation", *BELOW_GENERATE},
    "quality": set(),
    "evaluate_files": {"origin", "project", "quality"},
    "evaluate_dataset": {"generation", "origin", "evaluate_files", "quality", *BELOW_GENERATE},
    "variants": {"generation", *BELOW_GENERATE},
    "commands": {
        *("api", "generation", "generated", "regeneration", "variants"),
        *("evaluate", "evaluate_dataset", "origin"),
        *BELOW_GENERATE,
    },
    "cli": {"commands"},
}
"""What each room may import besides itself and the tools."""

STILL: dict[tuple[str, str], str] = {}
"""Arrows against the rules that are still there, and why. Nothing new comes in here."""

WITHOUT_TORCH = ("planning", "operators", "board", "targets")
REFERENCE = "mcu_sdk.operators.reference"
"""The specification of the operators is written in PyTorch; nothing that reads a .pte needs it."""


def module_name(path: Path) -> str:
    parts = ["mcu_sdk", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(path: Path) -> set[str]:
    """The files of the package that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found & MODULES.keys()


ARROWS = {
    (name, imported) for name, path in MODULES.items() for imported in imports_of(path) if imported != name
}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_is_in_the_table() -> None:
    assert {room_of(name) for name in MODULES} - TOOLS - {""} == ROOMS.keys()


def test_imports_run_one_way() -> None:
    wrong = [
        f"{importer} -> {imported}"
        for importer, imported in sorted(ARROWS - STILL.keys())
        if (room := room_of(importer))
        and room_of(imported)  # the package itself offers everything, and its version
        if room_of(imported) not in {room, *TOOLS, *ROOMS.get(room, set())}
    ]
    assert not wrong, f"against the table of rooms: {wrong}"


def test_tools_import_tools_alone() -> None:
    assert not [arrow for arrow in ARROWS if room_of(arrow[0]) in TOOLS and room_of(arrow[1]) not in TOOLS]


def test_no_files_import_each_other() -> None:
    circle = circle_in(arrow for arrow in ARROWS - STILL.keys() if arrow[1] != "mcu_sdk")
    assert circle is None, " -> ".join(circle or [])


def test_no_firmware_files_need_each_other() -> None:
    """A .cpp and its .h are one: what either includes, both need. Kernels and their variants name each other."""
    arrows = {
        (str(path.relative_to(FIRMWARE).with_suffix("")), str(Path(included).with_suffix("")))
        for path in FIRMWARE.rglob("*.*")
        if path.suffix in (".h", ".cpp") and path.relative_to(FIRMWARE).parts[0] != "kernels"
        for included in re.findall(r'^#include "([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(arrows) > 100
    circle = circle_in(arrow for arrow in arrows if arrow[0] != arrow[1])
    assert circle is None, " -> ".join(circle or [])


def circle_in(arrows: Iterable[tuple[str, str]]) -> list[str] | None:
    graph: dict[str, set[str]] = {}
    for importer, imported in arrows:
        graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


def test_a_circle_is_found() -> None:
    assert circle_in([("a", "b"), ("b", "c")]) is None
    assert circle_in([("a", "b"), ("b", "c"), ("c", "a")]) is not None


def test_no_exception_outlives_its_arrow() -> None:
    assert not STILL.keys() - ARROWS


def test_what_works_on_a_pte_imports_no_torch() -> None:
    modules = [
        name
        for name in MODULES
        if room_of(name) in WITHOUT_TORCH and name != REFERENCE and not name.startswith(f"{REFERENCE}.")
    ]
    assert len(modules) > 40
    program = (
        "import importlib, sys\n"
        f"for name in {modules}:\n    importlib.import_module(name)\n"
        "from mcu_sdk.planning.registry import load_emitters\n"
        "load_emitters()\n"
        "print(sorted({'torch', 'torchao', 'transformers', 'executorch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
