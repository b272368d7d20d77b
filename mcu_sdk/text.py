"""How text of unknown origin is shown in messages and generated files."""

from __future__ import annotations

import shutil
import sys
import textwrap


def one_line(text: str) -> str:
    """Runs of whitespace, line ends included, become single spaces."""
    return " ".join(text.split())


def shown(text: str) -> str:
    """As a Python string in ASCII, at most 60 characters long."""
    literal = ascii(text)
    return literal if len(literal) <= 60 else literal[:57] + "..."


def hanging(head: str, text: str) -> str:
    """`head` and `text` behind it; on a terminal what is too long goes on below the text, broken between words."""
    if not sys.stdout.isatty():
        return head + text
    width = max(shutil.get_terminal_size().columns, len(head) + 20)
    return textwrap.fill(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def folded(name: str, width: int) -> str:
    """A dotted name in lines of at most `width` characters where its dots allow it."""
    lines = [""]
    for part in name.split("."):
        piece = f"{part}."
        if lines[-1] and len(lines[-1]) + len(piece) > width + 1:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)[:-1]


def comment(text: str) -> str:
    """Safe behind `//`: one line of ASCII that does not end in a backslash."""
    return one_line(text).encode("ascii", "backslashreplace").decode("ascii").rstrip("\\")
