"""An option: a field of a class, with its flag on the command line, its type, default and help."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True)
class Flag:
    """Makes an annotated field of a dataclass or a TypedDict an option.

    `names`: its flags, between spaces; `help`: for `--help`; `applies`: to what it makes a difference (None: to
    everything); `input`: whether it names something that is read, whose place is no part of a project; `default`: of a
    TypedDict's field, since these have none; `read`: makes the value of the text on the command line, and raises
    UsageError; `repeated`: that it may stand there several times, and `read` takes the list; `narrower`: to what single
    values make a difference, where that is less than `applies`.
    """

    names: str
    help: str
    applies: enum.Flag | None = None
    input: bool = False
    default: Any = None
    read: Callable[[Any], Any] | None = None
    repeated: bool = False
    narrower: Mapping[Any, enum.Flag] = field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """One option. `name`: the field; `flags`: on the command line, the first one is for messages and the manifest."""

    name: str
    flags: tuple[str, ...]
    type: Any
    default: Any
    help: str
    applies: enum.Flag | None
    input: bool
    read: Callable[[Any], Any] | None
    repeated: bool = False
    narrower: Mapping[Any, enum.Flag] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its name in the manifest: the flag's."""
        return self.flags[0].removeprefix("--").replace("-", "_")

    def applies_to(self, kind: enum.Flag) -> bool:
        """Whether it makes a difference to any of `kind`."""
        return self.applies is None or bool(kind & self.applies)


def options_of(holder: type) -> dict[str, Option]:
    """The options among the fields of a dataclass or a TypedDict, by field name."""
    own = {each.name: each.default for each in fields(holder)} if is_dataclass(holder) else {}
    found = {}
    for name, hint in get_type_hints(holder, include_extras=True).items():
        kind, *others = get_args(hint) or (None,)
        for flag in (other for other in others if isinstance(other, Flag)):
            default = own.get(name, flag.default)
            assert default is not MISSING, f"an option has a default; {name} has none"
            found[name] = Option(
                name,
                tuple(flag.names.split()),
                kind,
                default,
                flag.help,
                flag.applies,
                flag.input,
                flag.read,
                flag.repeated,
                flag.narrower,
            )
    return found
