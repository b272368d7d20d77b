"""Objects of single sources, compiled as a test asks; ccache keeps them for the tests and runs that ask the same."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


def compile_objects(command: Sequence[str], sources: Sequence[Path], folder: Path) -> list[Path]:
    """The object of each source (.cpp or .S) in `folder`, by `command`: the compiler and its flags, which name folders
    by absolute paths. Fails with what the compiler said."""
    made = []
    for source in sources:
        target = folder / f"{source.name}.o"
        done = subprocess.run(
            ["ccache", *command, "-c", str(source), "-o", str(target)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        made.append(target)
    return made
