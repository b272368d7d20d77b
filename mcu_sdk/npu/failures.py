"""What the NPU's driver stops at, told to the user (firmware/drivers/ethos_u)."""

from __future__ import annotations

from mcu_sdk.errors import McuSdkError, PteError, RunError, TargetTimeoutError

_BUILD = "Generate the project for this NPU, and build it again."
_MEMORY = "The board's npu.arena and npu.weights have to be memory that the NPU reaches (docs/boards.md)."
_STREAM = "`mcu-sdk npu disassemble` shows the stream; npu_position is the byte it stopped behind."
_AGAIN = "Build the project again with this version of mcu-sdk, and run it with `mcu-sdk run`."

FAILURES: dict[str, tuple[type[McuSdkError], str, str]] = {
    "npu_bad_stream": (PteError, "its command block is not as Vela writes it", _BUILD),
    "npu_not_found": (RunError, "there is none at the address", "The board's npu.base may be wrong."),
    "npu_version_mismatch": (PteError, "the model was compiled for another one", _BUILD),
    "npu_stuck_in_reset": (RunError, "it does not come out of reset", "Is its clock on, and its power?"),
    "npu_timeout": (TargetTimeoutError, "it did not end in time", _MEMORY),
    "npu_bus_error": (RunError, "an access to memory was refused", _MEMORY),
    "npu_parse_error": (RunError, "it met a command that it does not know", _STREAM),
    "npu_memory_fault": (
        RunError,
        "its own memory failed a check",
        "Run again; if it stays, the chip is broken.",
    ),
    "npu_stream_fault": (RunError, "weights or a branch of the stream cannot be", _STREAM),
    "npu_ended_early": (RunError, "it stopped before the end of the stream", _STREAM),
    "npu_not_connected": (RunError, "the firmware was built for a simulated one, and there is none", _AGAIN),
}
"""By the word that the firmware prints: the error's class, its meaning, what to try."""


def driver_error(reason: str, target: str, details: str = "") -> McuSdkError | None:
    """The error for one of the driver's words, or None. `details` are more facts, to be shown."""
    if reason not in FAILURES:
        return None
    kind, meaning, hint = FAILURES[reason]
    shown = f"{reason}, {details}" if details else reason
    return kind(f"The NPU failed on {target}: {meaning} ({shown}).", hint=hint)
