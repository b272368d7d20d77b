"""The ExecuTorch that a project for its runtime is built with: where it is, and what is wrong with it."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from mcu_sdk.errors import BuildError, McuSdkError, ToolMissingError, UsageError
from mcu_sdk.project.executorch import OLDEST

LIST = Path("cmake") / "executorch.cmake"
"""A project for ExecuTorch's runtime has this file."""

PLACE = "executorch_DIR"
"""CMake's name, and the environment's, for the folder with executorch-config.cmake."""

TEMPORARY = "MCU_TEMPORARY_BYTES"
"""In the environment: more temporary memory than our operators need."""

_HOW = "docs/executorch.md shows how ExecuTorch is built for a board; --objects compiles without linking"


def is_official(project: Path) -> bool:
    """Whether ExecuTorch's own runtime runs a project's model."""
    return (project / LIST).is_file()


def package() -> Path | None:
    """The folder with the CMake package of the ExecuTorch that is installed in this Python; None without one."""
    found = importlib.util.find_spec("executorch")
    for place in found.submodule_search_locations or () if found is not None else ():
        folder = Path(place) / "share" / "cmake"
        if (folder / "executorch-config.cmake").is_file():
            return folder
    return None


def executorch_settings(
    project: Path, *, native: bool, objects: bool, beside_board: bool = False
) -> list[str]:
    """CMake's definitions for a project's ExecuTorch; nothing for a project of another kind.

    For this computer, and to compile without linking (`objects`), it is the package of this Python, unless the environment
    says another one by executorch_DIR. `beside_board`: what is built for this computer, to be compared with a board; the
    environment's is the board's then. Raises UsageError for `objects` of a project that is linked and for temporary memory
    that is no number of bytes, and ToolMissingError where a board's is to be linked and nothing says with what.
    """
    if not is_official(project):
        if objects:
            raise UsageError(
                "--objects is for projects that ExecuTorch's runtime runs; this one is linked.",
                hint="Leave --objects out.",
            )
        return []
    settings = _temporary()
    place = os.environ.get(PLACE)
    if beside_board and package() is not None:
        place = None
    if place is not None and not objects:
        return [f"-D{PLACE}={os.path.abspath(place)}", *settings]
    if not native and not objects:
        raise ToolMissingError(
            f"ExecuTorch {OLDEST} or later, built for the board's core, was expected in the folder that the environment "
            f"variable {PLACE} names; it is not set.",
            hint=f"{_HOW}.",
        )
    own = package()
    if own is None:
        raise ToolMissingError(
            f"ExecuTorch {OLDEST} or later was expected, with its C++ headers and its CMake package; this Python has none.",
            hint=f"Install it (pip install 'executorch>={OLDEST}'), or name another one by {PLACE}.",
        )
    return [f"-D{PLACE}={own}", *settings]


def _temporary() -> list[str]:
    """CMake's definition for what the environment says of temporary memory; without one, what CMake has kept of an earlier
    build goes."""
    said = os.environ.get(TEMPORARY)
    if not said:
        return [f"-U{TEMPORARY}"]
    if not said.isascii() or not said.isdecimal() or not 0 < int(said) < 2**31:
        raise UsageError(
            f"The environment variable {TEMPORARY} is a number of bytes from 1 up, not {said!r}.",
            hint="Give one, or unset it for what our operators take.",
        )
    return [f"-D{TEMPORARY}={said}"]


def explain_executorch(output: str, log_file: Path) -> McuSdkError | None:
    """The error for what templates/executorch/cmake/executorch.cmake.j2 refuses, or the linker; None for anything else."""
    text = " ".join(output.split())
    missing = re.search(r"executorch_(?:missing|too_old): (.*?) (?:Call Stack|-- Configuring)", text)
    if missing:
        return ToolMissingError(
            f"{missing[1].strip().rstrip('.')}.",
            hint=f"Install ExecuTorch {OLDEST} or later, or let {PLACE} name one.",
        )
    kernels = re.search(r"executorch_kernels_missing: (.*?) (?:Call Stack|-- Configuring)", text)
    if kernels:
        return ToolMissingError(f"{kernels[1].strip().rstrip('.')}.", hint=f"{_HOW}.")
    if "undefined reference to `executorch::" in text or "undefined reference to `torch::executor" in text:
        return BuildError(
            "The ExecuTorch that was found lacks a part of its runtime.",
            hint=f"{_HOW}. Everything the linker said is in {log_file}.",
        )
    return None
