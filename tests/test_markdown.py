"""A Markdown table keeps its columns and lines whatever its cells hold."""

from __future__ import annotations

from mcu_sdk.markdown import table


def test_a_table() -> None:
    assert table(["", "bytes"], "lr", [("a|b", "1,024"), ("two\nlines", "")]) == [
        "| | bytes |",
        "|---|---:|",
        "| a\\|b | 1,024 |",
        "| two lines | |",
    ]
