"""The bundled model for any board: where it does not fit as it is, what is changed, and in which order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from mcu_sdk import resources
from mcu_sdk.console import log
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.option import options_of
from mcu_sdk.options import CompileOptions, GenerateRequest

LEAST_POSITIONS = 64
"""A shorter cache is of no use to the bundled models: a smaller model is tried instead."""

CHOSEN = ("cache_length", "weights", "optimize")
"""The options that are chosen where none of them is given."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Choice:
    """A request, and in words what was chosen for it; nothing where it is as it was asked for."""

    request: GenerateRequest
    says: str = ""


def is_open(request: GenerateRequest) -> bool:
    """Whether the request leaves the model and what makes it smaller to us."""
    if (
        request.model is not None
        or request.pte is not None
        or request.expected
        or request.given & set(CHOSEN)
    ):
        return False
    return all(_value(request, name) == _value(GenerateRequest(), name) for name in CHOSEN)


def first_that_fits(request: GenerateRequest, attempt: Callable[[Choice], Result]) -> Result:
    """What `attempt` returns for the first choice that fits: the bundled models, the largest first, each as it is and
    then with the mildest change that its refusal names.

    Raises the first refusal where nothing fits, and whatever else `attempt` raises.
    """
    first: DoesNotFitError | None = None
    for name in resources.bundled_models():
        choice: Choice | None = Choice(request) if first is None else _small(request, name)
        while choice is not None:
            try:
                return attempt(choice)
            except DoesNotFitError as error:
                first = first or error
                choice = _changed(request, choice, mildest(error.changes))
            if choice is not None:
                log(f"{first.message} Trying {choice.says}.")
    assert first is not None
    raise first


def mildest(changes: Sequence[Mapping[str, object]]) -> Mapping[str, object] | None:
    """The change that costs least: the speed of the code last, a cache that keeps at least a quarter of 512 positions
    before int4 weights; None where each would leave fewer than LEAST_POSITIONS."""

    def cost(change: Mapping[str, object]) -> tuple[bool, bool, bool]:
        length = change.get("cache_length")
        return "optimize" in change, isinstance(length, int) and length < 128, "weights" in change

    useful = [change for change in changes if _useful(change)]
    return min(useful, key=cost, default=None)


def _useful(change: Mapping[str, object]) -> bool:
    length = change.get("cache_length", LEAST_POSITIONS)
    return bool(change) and isinstance(length, int) and length >= LEAST_POSITIONS


def _small(request: GenerateRequest, name: str) -> Choice:
    """A bundled model by its name; by its folder where a file or folder of the user's has that name, and would go first."""
    model = str(resources.bundled_models()[name]) if os.path.lexists(name) else name
    return Choice(replace(request, model=model), f"the bundled model {name!r}")


def _changed(asked: GenerateRequest, choice: Choice, change: Mapping[str, object] | None) -> Choice | None:
    """The next choice of the same model; None where the change makes no difference any more."""
    if change is None:
        return None
    values = dict(change)
    length = values.get("cache_length")
    if isinstance(length, int):
        values["cache_length"] = 1 << (length.bit_length() - 1)  # leaves room for what comes to the firmware
    compiled: dict[str, Any] = {
        each.name: values.pop(each.name) for each in fields(CompileOptions) if each.name in values
    }
    before = choice.request
    options: Any = {**values, "compile_options": replace(before.compile_options, **compiled)}
    after = replace(before, **options)
    return None if after == before else Choice(after, _says(asked, after))


def _says(asked: GenerateRequest, request: GenerateRequest) -> str:
    said = [] if request.model is None else [f"the bundled model {request.model!r}"]
    known = options_of(GenerateRequest) | options_of(CompileOptions)
    changed = [name for name in CHOSEN if _value(request, name) != _value(asked, name)]
    return ", ".join(said + [f"{known[name].flags[0]} {_value(request, name)}" for name in changed])


def _value(request: GenerateRequest, name: str) -> object:
    return getattr(request if name == "optimize" else request.compile_options, name)
