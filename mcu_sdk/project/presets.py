"""CMake's presets of a project: what each build is for, and the compiler's flags for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mcu_sdk.project import flags

if TYPE_CHECKING:
    from mcu_sdk.board.board import Board

Optimize = Literal["speed", "size"]


def presets(board: Board, optimize: Optimize, *, simulated_npu: bool) -> list[dict[str, Any]]:
    """CMake's configure presets. -g changes nothing of what runs; it is there for addr2line and debuggers."""
    from mcu_sdk.board.board import SIMULATED_NPU_PRESET

    fast, checked = " ".join([*flags.RELEASE["speed"], "-g"]), "-O1 -g"
    first, *more = flags.release(optimize, whole_program=board.tools.whole_program)
    kinds = [
        ("release", "Optimised", not board.is_host, " ".join([first, "-g", *more])),
        ("debug", "For a debugger", not board.is_host, checked if board.is_host else "-Og -g"),
        ("host", "This computer", False, fast),
        ("host-debug", "This computer, with sanitizers", False, checked),
    ]
    if simulated_npu:
        kinds.insert(1, (SIMULATED_NPU_PRESET, "For QEMU, beside a simulated NPU", True, fast))
    return [
        {
            "name": name,
            "description": description,
            "cross": cross,
            "flags": options,
            "sanitize": not cross and name.endswith("debug"),
            "simulated_npu": name == SIMULATED_NPU_PRESET,
            "small_runtime": cross and name == "release",
        }
        for name, description, cross, options in kinds
    ]
