"""Our operators for ExecuTorch's own runtime: a folder with one CMake target that registers them.

The kernels are those of a compiled plan, so the results are the same bits.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mcu_sdk import resources
from mcu_sdk.errors import UsageError
from mcu_sdk.folders import made
from mcu_sdk.operators.table import called_operators
from mcu_sdk.planning.pte.read import load_bytes, read_pte
from mcu_sdk.project import flags
from mcu_sdk.project.executorch import OLDEST, library_files, library_sources, operators_of
from mcu_sdk.project.templates import environment
from mcu_sdk.project.wrappers import Wrapper, all_wrappers


def write_operator_library(folder: str | Path, pte: str | Path | None = None) -> Path:
    """Write the library's sources to a folder that is new or empty, and return it: all our operators, or those of a .pte.

    Of a .pte also those are in it that ExecuTorch's own libraries have, too, and round otherwise, where ours take every call
    that the file has of one; mcu::operators() gives them, mcu::register_operators() leaves them out, since the registry may
    have the others.

    Raises UsageError where there is something already, PteError for a file that is no .pte, and
    UnsupportedOperatorError for one with operators that nobody has.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is there already.", hint="Name a folder that is empty or does not exist yet."
        )
    chosen = (
        [row for row in called_operators().values() if not row.is_of_libraries]
        if pte is None
        else operators_of(read_pte(load_bytes(Path(pte))))
    )
    with (
        made(folder.parent),
        tempfile.TemporaryDirectory(prefix=f".{folder.name[:64]}.", dir=folder.parent) as staging,
    ):
        written = Path(staging) / "operators"
        write_library_files(written, all_wrappers(chosen))
        if folder.exists():
            folder.rmdir()
        os.rename(written, folder)
    return folder


def write_library_files(folder: Path, wrappers: list[Wrapper]) -> None:
    """The library's files, into a folder of their own."""
    for name in library_files(wrappers):
        target = folder / "sdk" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((resources.firmware() / name).read_bytes())
    context = {
        "wrappers": wrappers,
        "headers": sorted({header for wrapper in wrappers for header in wrapper.headers}),
        "sources": library_sources(wrappers),
        "flags": flags,
        "oldest": OLDEST,
    }
    templates = environment()
    for name in ("CMakeLists.txt", "operators.cpp", "operators.h", "register.cpp"):
        text = templates.get_template(f"executorch/operators/{name}.j2").render(context)
        (folder / name).write_text(text, encoding="utf-8")
