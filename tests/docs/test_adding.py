"""docs/adding.md: what an addition touches is what the page says, and no more than the project set itself."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adding.md"
FILES_OF_AN_OPERATOR = 7


def files_of_an_operator() -> list[Path]:
    """What the first column of the page's table names: "`a/rope.h`, `rope.cpp`" are two files of one folder."""
    found: list[Path] = []
    for row in re.findall(r"^\| (`.*?`) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        folder = ROOT
        for name in re.findall(r"`([^`]+)`", row):
            found.append(folder / name)
            folder = found[-1].parent
    return found


def test_an_operator_takes_seven_files_which_all_name_it() -> None:
    files = files_of_an_operator()
    assert len(set(files)) == len(files) == FILES_OF_AN_OPERATOR
    assert [path for path in files if "rope" not in path.read_text(encoding="utf-8")] == []
