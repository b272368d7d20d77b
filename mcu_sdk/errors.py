"""The one exception hierarchy. Each class carries its exit code; `mcu_sdk.cli` catches them once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class McuSdkError(Exception):
    """Anything a user can act upon.

    `message` says what was expected and what was found; `hint` says what to try. Together they make one
    paragraph on stderr; a traceback appears only with `--debug`.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(McuSdkError):
    """A wrong combination or value of command-line options."""

    exit_code = 2


class BoardError(McuSdkError):
    """A board that does not exist, or a board.toml that does not describe one."""

    exit_code = 3


class ModelError(McuSdkError):
    """A checkpoint that cannot be read, exported or quantized."""

    exit_code = 3


class PteError(McuSdkError):
    """A .pte that is truncated, corrupt, or says something impossible."""

    exit_code = 3


class UnsupportedOperatorError(PteError):
    """A .pte whose plan needs an operator, type or shape for which there is no kernel. `why`: what there is against it, alone."""

    def __init__(self, message: str, *, hint: str = "", why: str = "") -> None:
        super().__init__(message, hint=hint)
        self.why = why


class TextError(McuSdkError):
    """Text that the model's tokenizer cannot encode."""

    exit_code = 3


class ToolMissingError(McuSdkError):
    """A compiler, simulator or build tool that is not installed; the hint is the line that installs it."""

    exit_code = 4


class DeviceMissingError(ToolMissingError):
    """A serial port, probe or drive that is not there, is in use, or may not be opened."""


class DoesNotFitError(McuSdkError):
    """A model that is too large for the board.

    `changes`: what makes it fit, each a set of options with values by the names of their fields, the mildest first.
    `over`: the bytes that are too many; 0 where they are not known.
    """

    exit_code = 5

    def __init__(
        self, message: str, *, hint: str = "", changes: Sequence[Mapping[str, object]] = (), over: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.changes = tuple(changes)
        self.over = over


class BuildError(McuSdkError):
    """CMake or the compiler failed."""

    exit_code = 6


class RunError(McuSdkError):
    """A simulator or device that died, or ended without a verdict."""

    exit_code = 7


class OtherImageError(RunError):
    """A board that runs another image than the project's."""


class OutputDiffersError(McuSdkError):
    """Two runs that must agree do not."""

    exit_code = 7


class FailedTestsError(McuSdkError):
    """A firmware's answers, memory or instructions are not what its project says."""

    exit_code = 7


class TargetTimeoutError(McuSdkError):
    """A target that did not answer in time."""

    exit_code = 124


class InterruptedRunError(McuSdkError):
    """The user pressed Ctrl-C."""

    exit_code = 130


@contextmanager
def as_ours(error: type[McuSdkError], doing: str) -> Iterator[None]:
    """Turn every exception that no class here foresees into `error`, naming what was being done and the cause.

    Libraries below us raise all kinds for a model that they, or we, do not expect. It serves as a decorator too. What
    the system says (a full disk, no memory, a package that is missing) passes.
    """
    try:
        yield
    except (McuSdkError, OSError, MemoryError, ImportError):
        raise
    except Exception as cause:
        reason = (str(cause).strip().splitlines() or [""])[0][:300]
        found = f"{type(cause).__name__}: {reason}".rstrip(": .")
        raise error(
            f"{doing} failed on something that is not expected in a model: {found}.",
            hint="docs/models.md lists what was tried; `mcu-sdk --debug ...` shows where it happened.",
        ) from cause
