"""What the simulated NPU stops at."""

from __future__ import annotations

from mcu_sdk.errors import RunError


class SimulationError(RunError):
    """A command stream that does what is not defined, not simulated, or outside its memory.

    `index` is the command's first word in the stream, `command` its name.
    """

    def __init__(self, index: int, command: str, what: str) -> None:
        super().__init__(
            f"The simulated NPU stopped at word {index} of the command stream, {command}: {what}.",
            hint="`mcu-sdk npu disassemble` shows the stream.",
        )
        self.index = index
        self.command = command


class MiscompiledError(SimulationError):
    """A command stream with what only a mistake of the compiler makes: an NPU would run it and compute nonsense."""
