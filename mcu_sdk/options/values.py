"""The values of options: read from the command line and from a manifest, and checked."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from mcu_sdk.board.table import bytes_of
from mcu_sdk.errors import UsageError
from mcu_sdk.option import Option, options_of


def parse_flash(text: str) -> int:
    """Bytes of "512K", "2M" or "524288". Raises UsageError for what is no size, or nothing."""
    return parse_size(text, "--flash", "of flash that the image may take")


def parse_partition(text: str) -> int:
    """Bytes of a partition, as parse_flash has them."""
    return parse_size(text, "--pte-partition", "that the .pte may take")


def parse_size(text: str, flag: str, which: str) -> int:
    """The same for another option: `which` bytes it is about."""
    try:
        size = int(bytes_of(str(text).strip()))
    except ValueError:
        size = 0
    if size < 1:
        raise UsageError(
            f"{flag} takes a number of bytes, or of K or M, such as 512K, not {text!r}.",
            hint=f"Give the bytes {which}.",
        )
    return size


def choices_of(option: Option) -> list[object]:
    """The values of an option that has but a few, None left out; nothing of another one."""
    kinds = (option.type, *get_args(option.type))
    return [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]


def check_choices(options: object) -> None:
    """Raises UsageError for a value that is none of its option's: from Python, nobody else has looked at it."""
    for name, option in options_of(type(options)).items():
        choices = choices_of(option)
        value = getattr(options, name)
        if choices and value is not None and value not in choices:
            wanted = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
            raise UsageError(f"{option.flags[0]} is {wanted}, not {value!r}.")


def check_day(text: str) -> None:
    """Raises UsageError for what is no day, as YYYY-MM-DD."""
    with contextlib.suppress(ValueError):
        if datetime.date.fromisoformat(text).isoformat() == text:
            return
    raise UsageError(
        f"--chat-date is a day, as YYYY-MM-DD; it is {text!r}.", hint="Give one, such as 2026-01-31."
    )


def read_kept(option: Option, kept: Mapping[str, object]) -> Any:
    """An option's value in a manifest, if it is one of the option's type."""
    value = kept[option.key]
    choices, kinds = choices_of(option), get_args(option.type) or (option.type,)
    if get_origin(option.type) is tuple:
        with contextlib.suppress(TypeError, ValueError):
            found = json.loads(str(value))
            if isinstance(found, list) and all(isinstance(each, str) for each in found):
                return tuple(found)
    if choices:
        fits = value in choices or (value is None and type(None) in kinds)
    else:
        fits = get_origin(option.type) is not tuple and type(value) in kinds
    if not fits:
        raise UsageError(
            f"The project's manifest says {option.key} = {value!r}, which {option.flags[0]} does not take.",
            hint="Generate the project again.",
        )
    return value
