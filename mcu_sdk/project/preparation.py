"""How a model wants its images or sounds, as model/report.json says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mcu_sdk.errors import UsageError

YOURSELF = "Prepare it yourself, and give it with --input FILE.npy."


def said_of(facts: Mapping[str, Any], what: str, name: str, unknown: str) -> Mapping[str, Any]:
    """What the facts say of "images" or "sounds" for the model called `name`. Raises UsageError where they say nothing
    (`unknown` is why), or why it is not known."""
    said = facts.get(what)
    if not isinstance(said, Mapping) or "refused" in said:
        why = said["refused"] if isinstance(said, Mapping) else unknown
        raise UsageError(f"How {name} wants its {what} is not known: {why}.", hint=YOURSELF)
    return said


@contextmanager
def reading(what: str, name: str) -> Iterator[None]:
    """Raises UsageError where what was said is not what `generate` writes."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"model/report.json should say how {name} wants its {what}; it was changed: {error!r}.",
            hint="Generate the project again.",
        ) from error
