"""Instructions in words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.planning.comments import printable


@given(st.text())
def test_text_from_a_file_stays_one_line_of_ascii(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text) and shown.isascii() and (shown.isprintable() or not shown)
    assert "\\" not in shown
