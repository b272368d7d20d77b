"""Regular expressions as tables, against the engine of the `tokenizers` library."""

from __future__ import annotations

import random

import pytest
from tokenizers import Regex
from tokenizers import pre_tokenizers as pre

from mcu_sdk.model.pattern.automaton import Pattern, compile_pattern
from mcu_sdk.model.pattern.sets import coded
from mcu_sdk.model.pattern.syntax import UnsupportedPattern
from tests.firmware.torture import random_text
from tests.split_patterns import PATTERNS

WORDS = ["don't", "'\u017f", "'LL", "123456", "a  b", "x \n\n y", "aaab", "abcabc", "e\u0301"]

CONSTRUCTS = (
    r"a|ab",
    r"(?:ab|a)(?:c|bc)",
    r"a*?b|a+",
    r"(?:a|ab){2,3}",
    r"\p{N}{2}+|a{,2}b{3,}",
    r"a?+b|[^b]",
    r"a*+\s|\w++",
    r"a(?=b|$)|b(?!a|\z)",
    r"(?i:k[a-c]+)|[[:digit:]&&[^5]]+",
    r"\x61\u0062|\h+|\.",
    r"[^\S\n]+$|\n",
    r"(a|b)*c|b",
    r"a+(?=b+c)|b(?!ab)",
    r"(?=(\d{3})+(?!\d))",
    r"\d{1,3}(?=(?:\d{3})*\b)",
    r"\w+\b|\w\B.",
    r"(?!aa|bb)",
)


def pieces(pattern: Pattern, text: str) -> list[str]:
    """As an isolating Split cuts."""
    found, at, begin = [], 0, 0
    while at < len(text):
        end = pattern.match(text, at)
        if end <= at:
            if end == at and begin < at:
                found.append(text[begin:at])
                begin = at
            at += 1
            continue
        found += [text[begin:at], text[at:end]]
        begin = at = end
    return [piece for piece in (*found, text[begin:]) if piece]


def check(source: str, texts: int) -> None:
    pattern, split = compile_pattern(source), pre.Split(Regex(source), "isolated")
    rng = random.Random(1)
    for i in range(texts):
        text = random_text(rng, WORDS)
        if i % 2:
            text = "".join(rng.choices("aabbcK\u212a5512 \n.", k=12))
        assert pieces(pattern, text) == [piece for piece, _ in split.pre_tokenize_str(text)], ascii(text)


@pytest.mark.parametrize("source", CONSTRUCTS)
def test_constructs(source: str) -> None:
    check(source, 200)


@pytest.mark.parametrize(
    "name", [name if name == "o200k" else pytest.param(name, marks=pytest.mark.slow) for name in PATTERNS]
)
def test_published_patterns(name: str) -> None:
    check(PATTERNS[name], 300)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (r"a*", "matches the empty text"),
        (r"(?<=a)b", "has the group"),
        (r"(?>a|ab)c", "has the group"),
        (r"(?i)ab", "has the group"),
        (r"a(?=b(?=cd)e)", "looks ahead from what"),
        (r"a(?=bc)|b(?=ca)|c(?=ab)", "further ahead in 3 ways"),
        (r"(?:ab)++", "more than one character"),
        (r"\bword", "where what stands before is not known"),
        (r"^a", "begin of a line"),
        (r"(a)\1", r"has \\1"),
        (r"a{513}", "repeats 513 times"),
        (r"a{x}", "no number of times"),
        (r"a{2}?b", "or not"),
        (r"(?i:stop)", "takes st in any case"),
        (r"(?i:[é])", "more than ASCII"),
        (r"\p{Nonsense}", "cannot read"),
        (r"(a", "lacks a"),
        (r"a)", "too many"),
        (r"[a", "ends too early"),
        (r"(?:a|b)*a" + "(?:a|b)" * 11, "needs more than 4000 states"),
    ],
)
def test_refused_by_name(source: str, reason: str) -> None:
    with pytest.raises(UnsupportedPattern, match=reason):
        compile_pattern(source)


def test_coded_classes() -> None:
    """The runs that the device reads say of every code point what the classes say."""
    classes = compile_pattern(PATTERNS["gpt2_short"]).classes
    found = coded(classes)
    assert found.ascii == tuple(classes.of(code) for code in range(0x80))
    at, code, number = 0, 0x80, 0
    while at < len(found.runs):
        if number % 32 == 0:
            assert (found.starts[number // 32], found.places[number // 32]) == (code, at)
        value = shift = 0
        while True:
            value |= (found.runs[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if found.runs[at - 1] < 0x80:
                break
        length, name = (value >> found.bits) + 1, value & (1 << found.bits) - 1
        assert classes.of(code) == classes.of(code + length - 1) == name
        code, number = code + length, number + 1
    assert code == 0x110000
