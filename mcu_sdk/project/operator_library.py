"""Our operators for ExecuTorch's own runtime: a folder with one CMake target that registers them.

The kernels are those of a compiled plan, so the results are the same bits.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mcu_sdk import resources
from mcu_sdk.errors import UnsupportedOperatorError, UsageError
from mcu_sdk.folders import made
from mcu_sdk.operators.table import Operator, called_operators
from mcu_sdk.planning.kernel_files import closure, kernel_sources
from mcu_sdk.planning.pte.read import Pte, load_bytes, read_pte
from mcu_sdk.project import flags
from mcu_sdk.project.templates import environment
from mcu_sdk.project.wrappers import Wrapper, all_wrappers, registered_names

OLDEST = "1.5"
"""Of ExecuTorch: older packages have no CMake package with a runtime."""

THEIRS = ("aten", "dim_order_ops", "executorch_prim", "quantized_decomposed")
"""Namespaces that ExecuTorch's runtime and its kernel libraries know."""

_CHECKS = ("arguments", "broadcast", "images", "sound")


def operators_of(pte: Pte) -> list[Operator]:
    """The operators of ours that a .pte calls, in any method, sorted by name; others are ExecuTorch's kernel libraries'.

    Raises UnsupportedOperatorError for an operator that neither has.
    """
    methods = [pte, *([pte.prefill] if pte.prefill is not None else [])]
    names = {instruction.full_name for method in methods for instruction in method.instructions}
    known = registered_names()
    missing = sorted(name for name in names if name not in known and name.partition("::")[0] not in THEIRS)
    if missing:
        raise UnsupportedOperatorError(
            f"Neither ExecuTorch's kernel libraries nor ours for its runtime have {', '.join(missing)}.",
            hint="Let mcu-sdk compile the model into a firmware, which has kernels for it, or lower it differently.",
        )
    rows = {known[name].name: known[name] for name in names if name in known}
    return [rows[name] for name in sorted(rows)]


def write_operator_library(folder: str | Path, pte: str | Path | None = None) -> Path:
    """Write the library's sources to a folder that is new or empty, and return it: all our operators, or those of a .pte.

    Raises UsageError where there is something already, PteError for a file that is no .pte, and
    UnsupportedOperatorError for one with operators that nobody has.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is there already.", hint="Name a folder that is empty or does not exist yet."
        )
    chosen = (
        list(called_operators().values()) if pte is None else operators_of(read_pte(load_bytes(Path(pte))))
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
    headers = sorted({header for wrapper in wrappers for header in wrapper.headers})
    sources = sorted({source for header in headers for source in kernel_sources(header)})
    checks = [f"operators/{name}.{kind}" for name in _CHECKS for kind in ("h", "cpp")]
    files = [*closure(headers), *checks, *closure(["kernels/conv/window.h"])]
    for name in sorted(set(files)):
        target = folder / "sdk" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((resources.firmware() / name).read_bytes())
    context = {
        "wrappers": wrappers,
        "headers": headers,
        "sources": [*sources, *(f"operators/{name}.cpp" for name in _CHECKS)],
        "flags": flags,
        "oldest": OLDEST,
    }
    templates = environment()
    for name in ("CMakeLists.txt", "operators.cpp", "operators.h", "register.cpp"):
        text = templates.get_template(f"executorch/operators/{name}.j2").render(context)
        (folder / name).write_text(text, encoding="utf-8")
