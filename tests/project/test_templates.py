"""How strings and calls of C++ are printed."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.project.templates import c_string, format_call, wrap


@given(st.text(max_size=50))
def test_c_strings_are_ascii_and_say_the_same(text: str) -> None:
    literal = c_string(text)
    assert literal.isascii() and literal.isprintable() and literal[0] == literal[-1] == '"'
    inside = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), literal[1:-1])
    assert inside.encode("latin-1") == text.encode("utf-8", "replace")
    assert "\\" not in re.sub(r"\\[0-7]{3}", "", literal) and "??" not in literal


@given(st.lists(st.text("abc", min_size=1, max_size=30)), st.integers(10, 60))
def test_wrapping_loses_nothing(items: list[str], width: int) -> None:
    lines = wrap(items, width)
    assert [x.strip() for x in " ".join(lines).split(",") if x.strip()] == (items or ["0"])
    assert all(len(line) <= width or line.count(",") == 1 for line in lines)


def test_calls_are_wrapped_under_their_parenthesis() -> None:
    assert format_call({"function": "f", "arguments": []}) == "f();"
    assert format_call({"function": "f", "arguments": ["1", "x"]}) == "f(1, x);"
    long = format_call({"function": "kernel", "arguments": ["a" * 50, "b" * 50, "c"]})
    assert long == f"kernel({'a' * 50},\n           {'b' * 50}, c);"
