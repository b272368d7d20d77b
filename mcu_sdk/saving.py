"""`--weights auto`: how many bytes smaller weights (int4, on an NPU few levels) have to save, found by trying: what does not
fit says by how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from mcu_sdk.console import log
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.options import GenerateRequest

INT4_CODE = 1024
"""Bytes of code, at most, that come to a firmware with its first int4 linear: saved from the beginning, since each try is
a whole compilation."""

TRIES = 6
"""Compilations at most: the first has int8 weights, and what a .pte takes beside its weights is no straight line."""

Result = TypeVar("Result")


class TooLargeError(Exception):
    """A try that does not fit: `error` says so, `weights` are its .pte's facts of that name."""

    def __init__(self, error: DoesNotFitError, weights: Mapping[str, Any]) -> None:
        super().__init__(error.message)
        self.error, self.weights = error, weights


def first_that_saves_enough(request: GenerateRequest, attempt: Callable[[GenerateRequest], Result]) -> Result:
    """What `attempt` returns for the request with int8 weights or, where that is too large, with as many in int4 as
    it takes.

    Raises DoesNotFitError where not even all that can be int4 make it fit, and whatever else `attempt` raises but for
    TooLargeError.
    """
    saving = 0
    for number in range(1, TRIES + 1):
        options = replace(request.compile_options, int4_saving=saving or None)
        try:
            return attempt(replace(request, compile_options=options))
        except TooLargeError as found:
            if found.weights["everything"] or not found.error.over or number == TRIES:
                raise found.error from None
            saving += found.error.over + (0 if saving else INT4_CODE)
            log(f"{found.error.message} Saving {saving:,} bytes by smaller weights.")
    raise AssertionError("the last try returns or raises")
