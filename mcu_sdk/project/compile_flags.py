"""A compiler's command for single files of the SDK's, outside of CMake: what tests and tools use."""

from __future__ import annotations

from mcu_sdk.board.board import BOARD_SOURCE, Board
from mcu_sdk.board.npu import npu_base
from mcu_sdk.project.flags import CXX, RELEASE, RUNTIME, SECTIONS, STANDARD, WARNINGS

FAST = RELEASE["speed"][0]
(SMALL,) = RUNTIME
SANITIZERS = ("-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all")


def cxx_flags(board: Board | None = None, optimize: str = FAST, *more: str) -> list[str]:
    """A compiler's options for one file, as a project has them: for a board, or None for this computer.

    Warnings are errors, as they are in a project by default.
    """
    core = board.tools.compile_flags(board.core.flags) if board is not None else ()
    return [*core, optimize, f"-std=c++{STANDARD}", *CXX, *WARNINGS, "-Werror", *SECTIONS, *more]


def definitions(board: Board, accelerator: str | None = None) -> list[str]:
    """`NAME=value`: by what the platform's sources learn about the board, and which of its NPUs is meant."""
    values: dict[str, int | str] = {
        "MCU_SEMIHOSTING_EXIT": int(board.semihosting.exit),
        "MCU_BOARD_START": int(BOARD_SOURCE in board.sources),
    }
    if board.copies_at_start:
        values["MCU_COPIES"] = 1
    if board.clock is not None:
        values["MCU_CORE_HZ"] = f"{board.clock.core_hz}u"
    if board.uart is not None:
        values |= {
            "MCU_UART_BASE": f"{board.uart.base:#010x}u",
            "MCU_UART_CLOCK_HZ": f"{board.uart.clock_hz}u",
            "MCU_UART_BAUD": f"{board.uart.baud}u",
        }
    base = npu_base(board.npu, accelerator)
    if base is not None:
        values["MCU_NPU_BASE"] = f"{base:#010x}u"
    if board.counter is not None and board.counter.is_clock:
        values |= {
            "MCU_COUNTER_CONTROL": f"{board.counter.control:#010x}u",
            "MCU_COUNTER_STATUS": f"{board.counter.status:#010x}u",
            "MCU_COUNTER_HZ": f"{board.counter.frequency_hz}u",
            "MCU_COUNTER_INSTRUCTION_NS": f"{board.counter.instruction_ns}u",
        }
    return [f"{name}={value}" for name, value in values.items()]


def define_flags(board: Board) -> list[str]:
    """`definitions` as a compiler's options."""
    return [f"-D{text}" for text in definitions(board)]
