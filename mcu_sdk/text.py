"""How text of unknown origin is shown in messages and generated files."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Runs of whitespace, line ends included, become single spaces."""
    return " ".join(text.split())


def shown(text: str) -> str:
    """As a Python string in ASCII, at most 60 characters long."""
    literal = ascii(text)
    return literal if len(literal) <= 60 else literal[:57] + "..."


def comment(text: str) -> str:
    """Safe behind `//`: one line of ASCII that does not end in a backslash."""
    return one_line(text).encode("ascii", "backslashreplace").decode("ascii").rstrip("\\")
