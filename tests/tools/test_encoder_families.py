"""The table of encoders' families: a row is taken again only from the code that made it, and says what cores computed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import encoder_families as tool

ROW: dict[str, Any] = {
    "class": "BertModel", "calls": 28, "int8": 1.0, "products": 0, "exported": 1e-7, "fused": 2e-7, "error": 0.03,
}  # fmt: skip
SAME = {
    "host": "0123456789abcdef",
    "M55": "0123456789abcdef",
    "M4": "0123456789abcdef",
    "M33": "0123456789abcdef",
}


def test_cores_have_a_column_where_one_ran() -> None:
    alone = tool.table_of({"bert": ROW})
    assert alone[-1].endswith("| 0.0300 |") and "M55" not in alone[0]
    both = tool.table_of({"bert": {**ROW, "digests": SAME}, "vit": ROW})
    assert both[-2].endswith("| 0.0300 | `01234567` |") and both[-1].endswith("| not run |")
    assert all(line.count("|") == both[0].count("|") for line in both)


def test_other_bits_are_named() -> None:
    assert tool.cores_cell({"digests": {**SAME, "M4": "0"}}) == "other bits: M4"


@pytest.mark.parametrize(("same", "measured"), [(True, 0), (False, len(tool.ENCODERS))])
def test_rows_of_other_code_are_measured_again(
    same: bool, measured: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tmp_path / "found.json"
    rows = dict.fromkeys(tool.ENCODERS, ROW)
    found.write_text(json.dumps({"code": tool.code_digest() if same else "older", "rows": rows}))
    asked: list[str] = []

    def measure(family: str, folder: Path) -> dict[str, Any]:
        asked.append(family)
        return ROW

    monkeypatch.setattr(tool, "row_of", measure)
    monkeypatch.setattr(tool, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text("<!-- encoders -->\n<!-- end of encoders -->\n")
    monkeypatch.setattr("sys.argv", ["encoder_families.py", "--found", str(found), "--cores", "none"])
    monkeypatch.setattr(tool, "compile_once", lambda folder: None)
    assert tool.main() == 0
    assert len(asked) == measured
    assert (tmp_path / "page.md").read_text().count("BertModel") == len(tool.ENCODERS)
