"""What a schema's automaton accepts is JSON that is valid under the schema, by `jsonschema`."""

from __future__ import annotations

import importlib
import json
import random
from typing import Any

import pytest

from mcu_sdk.model.grammar.automaton import NOWHERE, Automaton, build
from mcu_sdk.model.grammar.json_schema import parse_schema
from mcu_sdk.model.grammar.syntax import GrammarError
from mcu_sdk.model.grammar.tokens import TokenGrammar

SIMPLE = ("string", "integer", "number", "boolean", "null")
BYTES = tuple(bytes((byte,)) for byte in range(256))


def automaton_of(schema: Any) -> Automaton:
    return build(parse_schema(json.dumps(schema)))


def random_texts(automaton: Automaton, rng: random.Random, count: int) -> list[str]:
    """Texts that it accepts, of at most 20 bytes more than the shortest."""
    grammar, texts = TokenGrammar.of(automaton, BYTES, 256, ()), []
    for _ in range(count):
        state, made, budget = 0, b"", grammar.shortest + 20
        while not (automaton.accepting[state] and rng.random() < 0.3):
            choices = grammar.allowed(state, budget - len(made))
            if not choices:
                break
            made += bytes((rng.choice(choices),))
            state = automaton.walk(0, made)
        texts.append(made.decode())
    return texts


def random_schema(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    kind = rng.choice([*SIMPLE, "enum", "const", "pattern", "list", "object", "array", "any", "one", "ref"])
    inner = lambda: random_schema(rng, depth - 1)  # noqa: E731
    if kind == "object" and depth:
        names = rng.sample(["a", "b", "ключ", 'q"', "e"], rng.randrange(4))
        required = [name for name in names if rng.random() < 0.5]
        return {"type": "object", "properties": {name: inner() for name in names}, "required": required}
    if kind == "array" and depth:
        low = rng.randrange(3)
        return {"type": "array", "items": inner(), "minItems": low, "maxItems": low + rng.randrange(3)}
    if kind == "any" and depth:
        return {"anyOf": [inner(), inner()]}
    if kind == "one":
        return {"oneOf": [{"type": "string", "maxLength": 2}, {"type": "integer"}, {"const": None}]}
    values = [1, "a", None, [1, {"b": True}], {"x": "ü\n"}, 2.5, False]
    return {
        "string": {"type": "string", "minLength": 1, "maxLength": rng.randrange(1, 5)},
        "pattern": {"pattern": rng.choice(["^[a-c]{1,3}$", "x", r"^\d+$|^-$", '["\\\\\\n]'])},
        "enum": {"enum": rng.sample(values, 3)},
        "const": {"const": rng.choice(values)},
        "list": {"type": ["string", "null"], "title": "a word"},
        "ref": {"$ref": "#/$defs/number"},
    }.get(kind, {"type": kind if kind in SIMPLE else "null"})


def test_random_schemas() -> None:
    validator: Any = importlib.import_module("jsonschema").Draft202012Validator
    rng = random.Random(3)
    for _ in range(40):
        schema = {**random_schema(rng), "$defs": {"number": {"type": ["number", "boolean"]}}}
        check = validator(schema)
        for text in random_texts(automaton_of(schema), rng, 6):
            assert check.is_valid(json.loads(text)), (schema, text)


def test_values_are_accepted_as_python_writes_them() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
            "rate": {"type": "number"},
        },
        "required": ["age"],
    }
    automaton = automaton_of(schema)
    for value in (
        {"name": 'Ünï "x" \\ \n\u0001 😀', "age": -10, "tags": ["a", "b", "a"], "rate": -1.5e-07},
        {"age": 0, "tags": []},
        {"age": 7},
    ):
        assert automaton.accepts(json.dumps(value, ensure_ascii=False))
        assert automaton.accepts(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    for text in (
        '{"age":01}',
        '{"age":1,}',
        "{}",
        '{"age":1,"name":"x"}',
        '{"age":1.5}',
        '{"age":1} ',
        '{"age":1',
    ):
        assert not automaton.accepts(text)


def test_lengths_count_characters() -> None:
    automaton = automaton_of({"type": "string", "minLength": 2, "maxLength": 3})
    for text, expected in (("a", False), ("aé", True), ('😀\n"', True), ("abcd", False)):
        assert automaton.accepts(json.dumps(text, ensure_ascii=False)) == expected


def test_alternatives_that_a_property_tells_apart() -> None:
    def shape(kind: str, name: str) -> dict[str, Any]:
        properties = {"kind": {"const": kind}, name: {"type": "integer"}}
        return {"type": "object", "properties": properties, "required": ["kind", name]}

    automaton = automaton_of({"oneOf": [shape("circle", "r"), shape("square", "side")]})
    assert automaton.accepts('{"kind":"circle","r":3}') and not automaton.accepts(
        '{"kind":"circle","side":3}'
    )


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        ({"type": "string", "format": "date"}, "the keyword 'format' is not supported beside type"),
        ({"type": "integer", "minimum": 3}, "'minimum' is not supported"),
        (
            {"type": "object", "properties": {"a": {"type": "number", "multipleOf": 2}}},
            "the schema, a: the keyword",
        ),
        ({"type": "object"}, "an object without properties"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "required should be"),
        (
            {"type": "object", "properties": {}, "additionalProperties": {"type": "null"}},
            "additionalProperties",
        ),
        ({"type": "array"}, "an array without items"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2}, "minItems and maxItems"),
        ({"type": "string", "pattern": "a", "maxLength": 3}, "pattern beside minLength or maxLength"),
        ({"type": "string", "pattern": r"(a)\1"}, "a reference to a group"),
        ({"type": "word"}, "no type of JSON"),
        ({}, "no type of JSON"),
        (True, "should be an object with a type"),
        ({"enum": []}, "at least one"),
        ({"anyOf": []}, "at least one"),
        ({"allOf": [{"type": "null"}]}, "'allOf' is not supported"),
        ({"anyOf": [{"type": "null"}], "type": "null"}, "'type' is not supported beside anyOf"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "valid under both 0 and 1"),
        ({"oneOf": [{"const": 1}, {"enum": [2, 1.0]}]}, "valid under both 0 and 1"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}},
            "leads back",
        ),
        ({"$ref": "#/$defs/b"}, "which there is not"),
        ({"$ref": "https://example.com/schema"}, "not in the same file"),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 10**9}, "needs more than"),
        ({"const": "\ud800"}, "U\\+D800 is a surrogate"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(schema: Any, what: str) -> None:
    with pytest.raises(GrammarError, match=what):
        automaton_of(schema)


def test_what_is_no_json() -> None:
    for text in ("{", "", '{"const": NaN}', "[" * 5000):
        with pytest.raises(GrammarError, match="this is no JSON"):
            parse_schema(text)


def test_references_that_double_at_each_level_end() -> None:
    pair = lambda name: {"type": "object", "properties": {"l": {"$ref": name}, "r": {"$ref": name}}}  # noqa: E731
    schema = {f"d{i}": pair(f"#/$defs/d{i + 1}") for i in range(30)} | {"d30": {"type": "null"}}
    with pytest.raises(GrammarError, match="needs more than"):
        automaton_of({"$ref": "#/$defs/d0", "$defs": schema})


def test_a_walk_ends_where_nothing_goes_on() -> None:
    assert automaton_of({"type": "null"}).walk(0, b"nix") == NOWHERE
