"""JSON schemas as grammars: of each the JSON texts, written without needless spaces, that are valid under it.

A space may stand behind a comma and a colon. Not every valid text is one of these, but each of these is valid: the keys of
an object come in the order of its `properties`, and no others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mcu_sdk.model.grammar.regex import parse_searched
from mcu_sdk.model.grammar.schema_overlap import first_overlap
from mcu_sdk.model.grammar.syntax import (
    EMPTY,
    Chars,
    Choice,
    GrammarError,
    Node,
    Repeat,
    both,
    complement,
    join,
    literal,
    map_chars,
    optional,
    union,
)

Schema = Mapping[str, Any]

_NOTES = frozenset(
    {
        *("$schema", "$id", "$comment", "$defs", "definitions"),
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    }
)
"""Keywords that say nothing of which values are valid."""

_OF_TYPE = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "pattern"},
    "integer": set(),
    "number": set(),
    "boolean": set(),
    "null": set(),
}
"""The keywords of each type."""

_SPACE = optional(literal(" "))
_COMMA = join(literal(","), _SPACE)
_QUOTE = literal('"')
_DIGIT, _ONE_TO_NINE = Chars(((0x30, 0x39),)), Chars(((0x31, 0x39),))
_MORE_DIGITS = Repeat(_DIGIT, 0, None)
_INTEGER = join(optional(literal("-")), Choice((literal("0"), join(_ONE_TO_NINE, _MORE_DIGITS))))
_FRACTION = join(literal("."), Repeat(_DIGIT, 1, None))
_EXPONENT = join(
    Chars(((0x45, 0x45), (0x65, 0x65))), optional(Chars(((0x2B, 0x2B), (0x2D, 0x2D)))), Repeat(_DIGIT, 1, 3)
)
_NUMBER = join(_INTEGER, optional(_FRACTION), optional(_EXPONENT))

_ESCAPES = {0x22: '"', 0x5C: "\\", 8: "b", 12: "f", 10: "n", 13: "r", 9: "t"}
"""What stands behind a backslash for a character."""
_RAW = complement(union([(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F)]))
"""Characters that stand in a JSON string as they are."""


def parse_schema(text: str) -> Node:
    """The grammar of a JSON schema. Raises GrammarError for what is none, and for what of it cannot be followed, by name."""
    try:
        schema = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise GrammarError(
            f"A JSON schema was expected; this is no JSON: {error}.", hint="Check the file's syntax."
        ) from error
    return _Reader(schema).read(schema, "the schema", ())


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


class _Reader:
    """`root`: what references begin at."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[str, Node] = {}

    def read(self, schema: Any, where: str, inside: tuple[str, ...]) -> Node:
        """`where`: the place, for messages; `inside`: the references that led here."""
        if not isinstance(schema, dict):
            raise GrammarError(
                f"{where} should be an object with a type; it is {json.dumps(schema)[:60]}, which says of no value what it is.",
                hint="Say which type it is.",
            )
        for keyword, read in (
            ("$ref", self._reference),
            ("const", self._const),
            ("enum", self._enum),
            ("anyOf", self._any_of),
            ("oneOf", self._one_of),
        ):
            if keyword in schema:
                _only(schema, {keyword}, where)
                return read(schema[keyword], f"{where}, {keyword}", inside)
        return self._typed(schema, where, inside)

    def _typed(self, schema: Schema, where: str, inside: tuple[str, ...]) -> Node:
        kinds = schema.get("type", _implied(schema))
        kinds = [kinds] if isinstance(kinds, str) else kinds
        _only(schema, {"type", *(word for words in _OF_TYPE.values() for word in words)}, where)
        if not isinstance(kinds, list) or not kinds or not all(k in _OF_TYPE for k in kinds):
            raise GrammarError(
                f"{where} has no type of JSON: {json.dumps(kinds)[:60]}.",
                hint=f"Give a type: {', '.join(_OF_TYPE)}.",
            )
        _only(schema, {"type", *(word for kind in kinds for word in _OF_TYPE[kind])}, where)
        return Choice(tuple(self._of_type(kind, schema, where, inside) for kind in dict.fromkeys(kinds)))

    def _of_type(self, kind: str, schema: Schema, where: str, inside: tuple[str, ...]) -> Node:
        simple = {
            "integer": _INTEGER,
            "number": _NUMBER,
            "boolean": Choice((literal("true"), literal("false"))),
            "null": literal("null"),
        }
        if kind in simple:
            return simple[kind]
        if kind == "string":
            return _string(schema, where)
        read: Callable[..., Node] = self._object if kind == "object" else self._array
        return read(schema, where, inside)

    def _reference(self, reference: Any, where: str, inside: tuple[str, ...]) -> Node:
        if reference in inside:
            raise GrammarError(
                f"{where} leads back to {reference!r}: a schema within itself needs a memory that no automaton has.",
                hint="Write out as many levels as there may be.",
            )
        found, parts = self._root, str(reference).split("/")
        if not isinstance(reference, str) or parts[0] != "#":
            raise GrammarError(
                f"{where} is {reference!r}, which is not in the same file.", hint="Put it in $defs."
            )
        for part in parts[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                raise GrammarError(f"{where} is {reference!r}, which there is not.", hint="Put it in $defs.")
            found = found[name]
        if reference not in self._known:
            self._known[reference] = self.read(found, reference, (*inside, reference))
        return self._known[reference]

    def _const(self, value: Any, where: str, inside: tuple[str, ...]) -> Node:
        return literal(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def _enum(self, values: Any, where: str, inside: tuple[str, ...]) -> Node:
        if not isinstance(values, list) or not values:
            raise GrammarError(f"{where} should be a list of values, at least one.")
        return Choice(tuple(self._const(value, where, inside) for value in values))

    def _any_of(self, schemas: Any, where: str, inside: tuple[str, ...]) -> Node:
        if not isinstance(schemas, list) or not schemas:
            raise GrammarError(f"{where} should be a list of schemas, at least one.")
        return Choice(tuple(self.read(each, f"{where} {i}", inside) for i, each in enumerate(schemas)))

    def _one_of(self, schemas: Any, where: str, inside: tuple[str, ...]) -> Node:
        grammar = self._any_of(schemas, where, inside)
        overlap = first_overlap(schemas)
        if overlap is not None:
            raise GrammarError(
                f"{where}: a value could be valid under both {overlap[0]} and {overlap[1]}, and would not be valid then.",
                hint="Tell them apart by their types or by a required property with other constants; or use anyOf.",
            )
        return grammar

    def _object(self, schema: Schema, where: str, inside: tuple[str, ...]) -> Node:
        properties, required = schema.get("properties"), schema.get("required", [])
        if not isinstance(properties, dict):
            raise GrammarError(
                f"{where} is an object without properties: which keys it has is to be known.",
                hint="Give properties.",
            )
        if not isinstance(required, list) or not all(name in properties for name in required):
            raise GrammarError(f"{where}: required should be a list of names that are in properties.")
        if schema.get("additionalProperties", False) not in (False, True):
            raise GrammarError(
                f"{where}: additionalProperties with a schema is not supported.", hint="Leave it out."
            )
        started: Node = EMPTY  # what follows where a key came before
        fresh: Node = EMPTY  # and where none did
        for name, value in reversed(properties.items()):
            key = literal(json.dumps(name, ensure_ascii=False))
            pair = join(key, literal(":"), _SPACE, self.read(value, f"{where}, {name}", inside))
            first, more = join(pair, started), join(_COMMA, pair)
            fresh = first if name in required else Choice((first, fresh))
            started = join(more if name in required else optional(more), started)
        return join(literal("{"), fresh, literal("}"))

    def _array(self, schema: Schema, where: str, inside: tuple[str, ...]) -> Node:
        if "items" not in schema:
            raise GrammarError(
                f"{where} is an array without items: which they are is to be known.", hint="Give items."
            )
        least, most = _bounds(schema, "minItems", "maxItems", where)
        if most == 0:
            return literal("[]")
        item = self.read(schema["items"], f"{where}, items", inside)
        rest = Repeat(join(_COMMA, item), max(least - 1, 0), None if most is None else most - 1)
        some = join(item, rest)
        return join(literal("["), some if least else optional(some), literal("]"))


def _implied(schema: Schema) -> object:
    """The type that other keywords are for."""
    found = [kind for kind, words in _OF_TYPE.items() if words & schema.keys()]
    return found[0] if len(found) == 1 else None


def _only(schema: Schema, known: set[str], where: str) -> None:
    unknown = sorted(schema.keys() - known - _NOTES)
    if unknown:
        beside = " and ".join(sorted(known & schema.keys()))
        raise GrammarError(
            f"{where}: the keyword {unknown[0]!r} is not supported"
            + (f" beside {beside}." if beside else "."),
            hint="Leave it out; docs/sampling.md lists those that are.",
        )


def _bounds(schema: Schema, least: str, most: str, where: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    numbers = (low,) if high is None else (low, high)
    if not all(type(number) is int and number >= 0 for number in numbers) or (
        high is not None and high < low
    ):
        raise GrammarError(f"{where}: {least} and {most} should be whole numbers from 0 on, in order.")
    return low, high


def _string(schema: Schema, where: str) -> Node:
    least, most = _bounds(schema, "minLength", "maxLength", where)
    if "pattern" not in schema:
        return join(_QUOTE, Repeat(_written(Chars(complement(()))), least, most), _QUOTE)
    if schema.keys() & {"minLength", "maxLength"}:
        raise GrammarError(
            f"{where}: pattern beside minLength or maxLength is not supported.",
            hint="Count in the pattern: {1,20}.",
        )
    if not isinstance(schema["pattern"], str):
        raise GrammarError(f"{where}: pattern should be a text.")
    return join(_QUOTE, map_chars(parse_searched(schema["pattern"]), _written), _QUOTE)


def _written(chars: Chars) -> Node:
    """A character as JSON writes it: as it is, or escaped where it has to be."""
    short: list[tuple[int, int]] = []
    by_digit: dict[str, list[tuple[int, int]]] = {}
    for first, last in both(chars.ranges, complement(_RAW)):
        for code in range(first, last + 1):
            letter = _ESCAPES.get(code)
            if letter is not None:
                short.append((ord(letter), ord(letter)))
            else:
                digit = ord(f"{code & 15:x}")
                by_digit.setdefault(f"u00{code >> 4:x}", []).append((digit, digit))
    escaped = [Chars(union(short)), *(join(literal(u), Chars(union(d))) for u, d in by_digit.items())]
    return Choice((Chars(both(chars.ranges, _RAW)), join(literal("\\"), Choice(tuple(escaped)))))
