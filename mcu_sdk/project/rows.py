"""Tables of a user's: rows of a CSV file, or objects of a JSONL file, with the line that each is from."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcu_sdk.errors import UsageError
from mcu_sdk.text import one_line

SUFFIXES = (".csv", ".jsonl")
TEXT, PAIR, LABEL = "text", "text_pair", "label"
"""The columns of a table of texts."""

CELL_BYTES = 1 << 24
"""Of a cell, at most: Python's own limit is 128 KB."""


@dataclass(frozen=True)
class Row:
    """`line`: where it begins in the file, from 1."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """A text, or two, and what is right of it; "" where the table has no labels."""

    line: int
    text: str
    pair: str | None
    label: str


def read_rows(path: Path) -> list[Row]:
    """The lines of a CSV file that are not blank, as many cells in each. Raises UsageError."""
    csv.field_size_limit(CELL_BYTES)
    reader = csv.reader(io.StringIO(_content(path), newline=""), strict=True)
    rows = []
    line = 1
    try:
        for cells in reader:
            if cells:
                rows.append(Row(line, tuple(cells)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"{str(path)!r} is no CSV: line {reader.line_num}: {one_line(str(error))}.",
            hint='A cell with a comma, a quote or a line end in it stands in quotes: "so ""to say""".',
        ) from error
    if not rows:
        raise UsageError(f"{str(path)!r} is empty.", hint="Give a CSV file with a line for each row.")
    wrong = next((row for row in rows if len(row.cells) != len(rows[0].cells)), None)
    if wrong is not None:
        raise UsageError(
            f"Each line of {str(path)!r} was expected to have {len(rows[0].cells)} cells, as the first one; line "
            f"{wrong.line} has {len(wrong.cells)}.",
            hint="Put cells with commas in them in quotes.",
        )
    return rows


def read_examples(path: Path, *, labels: bool) -> list[Example]:
    """The rows of a .csv or .jsonl file with the columns text, text_pair (or not; an empty cell is none) and label (with
    `labels` there has to be one). Raises UsageError for columns that are missing or others, and where there is no row."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"A .csv or .jsonl file was expected, not {str(path)!r}.", hint="Name it by what is in it."
        )
    examples = _from_csv(path, labels) if path.suffix.lower() == ".csv" else _from_jsonl(path, labels)
    if not examples:
        raise UsageError(f"{str(path)!r} has no rows.", hint="Write a row for each text.")
    return examples


def find_table(place: Path) -> Path:
    """The table that a path names: a file, or the only .csv or .jsonl file of a folder. Raises UsageError."""
    if not place.is_dir():
        if not place.is_file():
            raise UsageError(f"There is no file or folder {str(place)!r}.", hint="Check the path.")
        return place
    found = sorted(each for each in place.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
    if len(found) != 1:
        names = ", ".join(each.name for each in found) or "none"
        raise UsageError(
            f"The folder {str(place)!r} was expected to have one .csv or .jsonl file; it has {names}.",
            hint="Name the file itself.",
        )
    return found[0]


def numbers_of(row: Row, path: Path) -> list[float]:
    """A row's cells as finite numbers. Raises UsageError naming the cell."""
    found = []
    for place, cell in enumerate(row.cells, start=1):
        value = _number(cell)
        if value is None:
            raise UsageError(
                f"{str(path)!r}, line {row.line}, cell {place}: a finite number was expected, not {cell[:40]!r}.",
                hint="Fill in what is missing; write numbers as 1.5 or 2e-3.",
            )
        found.append(value)
    return found


def is_header(row: Row) -> bool:
    """Whether none of the cells is a number."""
    return all(_number(cell) is None for cell in row.cells)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{str(path)!r} was expected to be text in UTF-8; byte {error.start} is not.",
            hint="Save it as UTF-8.",
        ) from error


def _from_csv(path: Path, labels: bool) -> list[Example]:
    header, *rows = read_rows(path)
    names = tuple(name.strip() for name in header.cells)
    _check_columns(path, names, labels)
    cells = (dict(zip(names, row.cells, strict=True)) for row in rows)
    return [
        _example(row.line, {name: cell for name, cell in found.items() if cell or name != PAIR})
        for row, found in zip(rows, cells, strict=True)
    ]


def _from_jsonl(path: Path, labels: bool) -> list[Example]:
    examples = []
    for line, text in enumerate(_content(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{str(path)!r}, line {line}, is no JSON: {one_line(str(error))[:200]}.",
                hint="Write one object a line.",
            ) from error
        if not isinstance(content, dict):
            raise UsageError(
                f"{str(path)!r}, line {line}: an object was expected, found {type(content).__name__}.",
                hint='For example: {"text": "...", "label": "..."}',
            )
        _check_columns(path, tuple(content), labels, line)
        cells = {name: _cell(path, line, name, value) for name, value in content.items() if value is not None}
        if TEXT not in cells or (labels and LABEL not in cells):
            raise UsageError(f"{str(path)!r}, line {line}: text and label are not to be null.")
        examples.append(_example(line, cells))
    return examples


def _cell(path: Path, line: int, name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if name == LABEL and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UsageError(
        f"{str(path)!r}, line {line}: {name} was expected to be text, found {type(value).__name__}.",
        hint="A label is a name or a number, the others are text.",
    )


def _example(line: int, cells: dict[str, str]) -> Example:
    return Example(line, cells[TEXT], cells.get(PAIR), cells.get(LABEL, "").strip())


def _check_columns(path: Path, names: Sequence[str], labels: bool, line: int | None = None) -> None:
    needed = [TEXT, LABEL] if labels else [TEXT]
    missing = [name for name in needed if name not in names]
    others = [name for name in names if name not in (TEXT, PAIR, LABEL)]
    double = len(set(names)) < len(names)
    if missing or others or double:
        what = f"without {' and '.join(missing)}" if missing else "twice the same" if double else "others"
        place = "" if line is None else f", line {line}"
        raise UsageError(
            f"{str(path)!r}{place}: the columns {TEXT}, {PAIR} (where the model reads two) and {LABEL} were expected; found "
            f"are {', '.join(map(repr, names)) or 'none'}, {what}.",
            hint=f"Name them so, and leave others out: {TEXT},{LABEL}.",
        )
