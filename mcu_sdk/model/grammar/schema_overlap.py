"""Whether a value can be valid under two schemas: `oneOf` forbids such values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any


def first_overlap(schemas: Sequence[Any]) -> tuple[int, int] | None:
    """The places of two schemas that are not surely apart; None if all of them are."""
    return next(
        ((i, j) for i, j in combinations(range(len(schemas)), 2) if not _apart(schemas[i], schemas[j])), None
    )


def _apart(left: Any, right: Any) -> bool:
    """By their types, their constants, or a property that both require."""
    if not isinstance(left, dict) or not isinstance(right, dict):
        return False
    kinds = _kinds(left), _kinds(right)
    if kinds[0] is not None and kinds[1] is not None and not kinds[0] & kinds[1]:
        return True
    values = _values(left), _values(right)
    if values[0] is not None and values[1] is not None:
        return not any(_same(a, b) for a in values[0] for b in values[1])
    if kinds == ({"object"}, {"object"}):
        shared = set(left.get("required", ())) & set(right.get("required", ()))
        pairs = [(_property(left, name), _property(right, name)) for name in shared]
        return any(_apart(a, b) for a, b in pairs)
    return False


def _property(schema: Mapping[str, Any], name: str) -> Any:
    properties = schema.get("properties")
    return properties.get(name) if isinstance(properties, dict) else None


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _kinds(schema: Mapping[str, Any]) -> set[str] | None:
    """The types of JSON that a schema's values have; an integer is a number. None where it does not say."""
    values = _values(schema)
    if values is not None:
        return {_kind(value) for value in values}
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return {"number" if kind == "integer" else kind for kind in kinds} if isinstance(kinds, list) else None


def _kind(value: Any) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _same(left: Any, right: Any) -> bool:
    """As JSON compares: 1 is 1.0, and neither is true."""
    return _kind(left) == _kind(right) and bool(left == right)
