"""Markdown's tables, whatever text stands in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; `align`: a letter for each column, "l" or "r"."""
    marks = {"l": "---", "r": "---:"}
    return [row(head), "|" + "|".join(marks[letter] for letter in align) + "|", *map(row, rows)]


def row(cells: Iterable[str]) -> str:
    """One line of a table."""
    return "|" + "|".join(f" {text} " if (text := cell(one)) else " " for one in cells) + "|"


def cell(text: str) -> str:
    """Text that ends neither its cell nor its line."""
    return " ".join(text.split()).replace("|", "\\|")
