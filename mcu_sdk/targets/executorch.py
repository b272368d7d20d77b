"""What ExecuTorch's own runtime stops at in a project, told to the user (firmware/executor)."""

from __future__ import annotations

from mcu_sdk.errors import DoesNotFitError, McuSdkError, PteError, RunError

_AGAIN = "Generate the project again with this version of mcu-sdk, and build it."
_MEMORY = (
    "Its memory was computed for another version of ExecuTorch or of the .pte: generate the project again."
)

FAILURES: dict[str, tuple[type[McuSdkError], str, str]] = {
    "executorch_pte_not_loaded": (PteError, "it does not take the .pte", _AGAIN),
    "executorch_other_program": (
        PteError,
        "the .pte is another one than the project was generated for",
        "Flash the project's own, or generate the project for this one.",
    ),
    "executorch_planned_memory_too_small": (
        DoesNotFitError,
        "the .pte plans more memory than the project has for it",
        _AGAIN,
    ),
    "executorch_method_memory_too_small": (
        DoesNotFitError,
        "the memory for a method's values and instructions is too small, or the temporary memory to look kernels up",
        _MEMORY,
    ),
    "executorch_temporary_memory_too_small": (
        DoesNotFitError,
        "the temporary memory of an operator is too small",
        "Operators of ExecuTorch's own libraries may take more than ours: build with -DMCU_TEMPORARY_BYTES=N, or the "
        "environment variable of that name.",
    ),
    "executorch_operator_missing": (
        PteError,
        "the ExecuTorch that was linked has no kernel for an operator",
        "Build ExecuTorch with it (EXECUTORCH_SELECT_OPS_LIST; docs/executorch.md).",
    ),
    "executorch_method_not_loaded": (RunError, "it cannot load a method", _AGAIN),
    "executorch_operator_refused": (
        RunError,
        "an operator refused its arguments",
        "ExecuTorch's log says which, on this computer.",
    ),
}
"""By the word that the firmware prints: the error's class, its meaning, what to try."""


def runtime_failure(reason: str, target: str, details: str = "") -> McuSdkError | None:
    """The error for one of the runtime's words, or None. `details` are more facts, to be shown."""
    if reason not in FAILURES:
        return None
    kind, meaning, hint = FAILURES[reason]
    shown = f"{reason}, {details}" if details else reason
    return kind(f"ExecuTorch's runtime failed on {target}: {meaning} ({shown}).", hint=hint)


def runtime_error(reason: str, what: str, error: int, target: str) -> McuSdkError:
    """The error for a word, the method or operator that it is about, and ExecuTorch's own number."""
    found = runtime_failure(reason, target, f"{what}, error {error:#04x}")
    return found or RunError(f"ExecuTorch's runtime failed on {target}: {reason} ({what}).")
