"""The automaton of a regular expression accepts what `re.fullmatch` matches."""

from __future__ import annotations

import random
import re

import pytest

from mcu_sdk.model.grammar.automaton import NOWHERE, build
from mcu_sdk.model.grammar.regex import parse_regex, parse_searched
from mcu_sdk.model.grammar.syntax import GrammarError

ALPHABET = "ab01 \n-é€😀"
SETS = [
    r"\d",
    r"\D",
    r"\s",
    r"\S",
    r"[a-b]",
    r"[^a]",
    "[é-😀]",
    "[^0-9€]",
    ".",
    r"[\d\-a]",
    "(?s:.)",
    r"(?a:\W)",
]


def random_pattern(rng: random.Random, depth: int = 3) -> str:
    """A pattern that Python compiles."""
    kind = rng.randrange(8) if depth else rng.randrange(2)
    if kind == 0:
        return re.escape(rng.choice(ALPHABET))
    if kind == 1:
        return rng.choice(SETS)
    if kind in (2, 3):
        return "".join(random_pattern(rng, depth - 1) for _ in range(rng.randrange(4)))
    inner = f"(?:{random_pattern(rng, depth - 1)})"
    if kind == 4:
        return f"(?:{inner}|{random_pattern(rng, depth - 1)}|)"
    if kind == 5:
        return f"({random_pattern(rng, depth - 1)}|{inner})"
    low = rng.randrange(3)
    return inner + rng.choice(
        ["*", "+", "?", "*?", "+?", f"{{{low}}}", f"{{{low},}}", f"{{{low},{low + 2}}}"]
    )


def random_text(rng: random.Random) -> str:
    return "".join(rng.choice(ALPHABET) for _ in range(rng.randrange(6)))


def test_random_patterns_on_random_texts() -> None:
    rng, matched = random.Random(1), 0
    for _ in range(150):
        pattern = random_pattern(rng)
        automaton, compiled = build(parse_regex(pattern)), re.compile(pattern)
        for text in {random_text(rng) for _ in range(25)}:
            expected = compiled.fullmatch(text) is not None
            assert automaton.accepts(text) == expected, (pattern, text)
            matched += expected
    assert matched > 200


def test_searching_for_random_patterns() -> None:
    """As a JSON schema's `pattern` is: anywhere in the text, unless there are anchors."""
    rng = random.Random(2)
    for _ in range(40):
        pattern = rng.choice(["", "^"]) + random_pattern(rng, 2) + rng.choice(["", r"\Z"])
        try:
            automaton = build(parse_searched(pattern))
        except GrammarError as error:
            assert "has no text" in str(error) or "anchor" in str(error)
            continue
        for text in {random_text(rng) for _ in range(20)}:
            assert automaton.accepts(text) == (re.search(pattern, text, re.ASCII) is not None), (
                pattern,
                text,
            )


def test_every_character_and_no_surrogate() -> None:
    automaton = build(parse_regex(r"[a\u00FF-\u0801\uD7FF-\uE000\U0001F600-\U0010FFFF]"))
    for code in [
        *range(0x900),
        *range(0xD700, 0xE100),
        *range(0xFF00, 0x10100),
        *range(0x1F500, 0x1F700),
        0x10FFFF,
    ]:
        inside = code == 97 or 0xFF <= code <= 0x801 or code in (0xD7FF, 0xE000) or code >= 0x1F600
        assert automaton.accepts(chr(code)) == inside, hex(code)


def test_bytes_that_are_no_text_are_never_accepted() -> None:
    automaton = build(parse_regex("(?s).*"))
    for data in (
        b"\x80",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"\xf8\x88",
    ):
        assert automaton.walk(0, data) == NOWHERE
    for data in (b"\xc3", b"\xe2\x82"):
        assert not automaton.accepting[automaton.walk(0, data)]


def test_the_automaton_is_minimal() -> None:
    for pattern, states in (("a|b|c", 2), ("(a|b)*", 1), ("(ab|cb)d|ef*", 5), ("a?a?a?a?", 5), ("", 1)):
        assert len(build(parse_regex(pattern)).accepting) == states, pattern


def test_anchors_at_the_ends_say_nothing_new() -> None:
    for pattern in ("^ab$", r"\Aab\Z", "(^ab$)", "^ab$|^ab"):
        automaton = build(parse_regex(pattern))
        assert automaton.accepts("ab") and not automaton.accepts("abc") and not automaton.accepts("ab\n")
    found = build(parse_searched("^a|b$"))
    assert found.accepts("axx") and found.accepts("xxb") and not found.accepts("xax")


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"(a)\1", "a reference to a group"),
        (r"(a)?(?(1)b|c)", "a condition on a group"),
        (r"a(?=b)", "a look at what follows"),
        (r"(?<!a)b", "a look at what follows"),
        (r"(?>a+)b", "an atomic group"),
        (r"a++b", "a possessive repeat"),
        (r"a\bb", "an anchor or a word's border"),
        (r"a^b", "an anchor or a word's border"),
        (r"(?:a$)+", "an anchor or a word's border"),
        (r"(?i)a", r"the flag \(\?i\)"),
        (r"(?i:a)b", r"the flag \(\?i\)"),
        (r"a(", "none: missing"),
        (r"[b-a]", "none: bad character range"),
        (r"[^\d\D]", "has no text at all"),
        (r"a{60000}", "needs more than 16384 states"),
        (r"((((a{100}){100}){100}){100}){100}", "needs more than 16384 states"),
        (r"((){60000}){60000}", "needs more than 16384 states"),
        (r"(a|b)*a(a|b){20}", "needs more than 16384 states"),
    ],
)
def test_what_no_automaton_can_follow_is_refused_by_name(pattern: str, what: str) -> None:
    with pytest.raises(GrammarError, match=what) as caught:
        build(parse_regex(pattern))
    assert caught.value.hint and caught.value.exit_code == 2
