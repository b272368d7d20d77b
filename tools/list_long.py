"""Lists the files of more than 400 lines and the functions of more than 50, docstrings left out: each wants a reason.

    .venv/bin/python tools/list_long.py [FOLDER...]

Without a folder: mcu_sdk, benchmarks and tools. Exit 1 if there is one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("mcu_sdk", "benchmarks", "tools")
FILE, FUNCTION = 400, 50


def main(folders: list[str]) -> int:
    """Print the list; the exit code."""
    found = [line for folder in folders or FOLDERS for line in long_in(ROOT / folder)]
    for line in found:
        print(line)
    return 1 if found else 0


def long_in(folder: Path) -> Iterator[str]:
    """A line for each file and function that is too long, by path."""
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > FILE:
            yield f"{lines:5} {path.relative_to(ROOT)}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and (length := _length(node)) > FUNCTION:
                yield f"{length:5} {path.relative_to(ROOT)}:{node.lineno} {node.name}"


def _length(function: ast.FunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    docstring = (ast.get_docstring(function, clean=False) or "").count("\n") + 1
    has_one = ast.get_docstring(function) is not None
    return (function.end_lineno or function.lineno) - function.lineno + 1 - (docstring if has_one else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
