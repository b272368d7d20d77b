"""The table of encoders' families: a row is taken again only from what made it, a digest from the same project, and each
row says what it ran on."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import encoder_families as tool

ROW: dict[str, Any] = {
    "class": "BertModel", "calls": 28, "int8": 1.0, "products": 0, "exported": 1e-7, "fused": 2e-7, "error": 0.03,
}  # fmt: skip
SAME = {core: {"project": core, "digest": "0123456789abcdef"} for core in tool.CORES}


def test_a_row_says_what_it_ran_on() -> None:
    table = tool.table_of({"bert": {**ROW, "runs": SAME}, "vit": ROW})
    assert table[-2].endswith("| 0.0300 | host, M55, M4, M33: `01234567` |")
    assert table[-1].endswith("| compiled, not run |")
    assert all(line.count("|") == table[0].count("|") for line in table)


def test_other_bits_are_named() -> None:
    other = {**SAME, "M4": {"project": "M4", "digest": "0"}}
    assert tool.cores_cell({"runs": other}) == "other bits than the host: M4"


def test_a_project_is_known_by_its_files(tmp_path: Path) -> None:
    for place in ("src", ".mcu-sdk"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "file").write_text("one")
    before = tool.project_digest(tmp_path)
    (tmp_path / ".mcu-sdk" / "file").write_text("another place of the inputs")
    assert tool.project_digest(tmp_path) == before
    (tmp_path / "src" / "file").write_text("two")
    assert tool.project_digest(tmp_path) != before


class _Run:
    """The tool on a page and a file of its own; what it measured, and with what."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found, self.page = folder / "found.json", folder / "page.md"
        self.page.write_text("<!-- encoders -->\n<!-- end of encoders -->\n")
        self.before: dict[str, Mapping[str, Any]] = {}
        self.fails: set[str] = set()
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(tool, "measured", self.measure)
        monkeypatch.setattr(tool, "PAGE", self.page)
        monkeypatch.setattr(tool, "_worker", lambda folder: None)

    def measure(self, family: str, folder: Path, before: Mapping[str, Any], on_cores: bool) -> dict[str, Any]:
        self.before[family] = before
        assert family not in self.fails, "it fails"
        return {**ROW, **({"runs": SAME} if on_cores else {})}

    def __call__(self, *arguments: str) -> int:
        self.before = {}
        command = ["encoder_families.py", "--found", str(self.found), "--jobs", "1", *arguments]
        self.monkeypatch.setattr("sys.argv", command)
        return tool.main()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Run:
    return _Run(tmp_path, monkeypatch)


def test_rows_stay_as_long_as_what_made_them(run: _Run) -> None:
    assert run() == 0 and set(run.before) == set(tool.ENCODERS)
    assert run.page.read_text().count("host, M55, M4, M33") == len(tool.ENCODERS)
    assert run() == 0 and not run.before
    kept = json.loads(run.found.read_text())
    kept["bert"]["key"] = "of older code"
    run.found.write_text(json.dumps(kept))
    assert run("vit") == 0 and set(run.before) == {"bert", "vit"}
    assert run.before["bert"]["runs"] == SAME and not run.before["vit"], "given ones are run again"


def test_rows_without_cores_are_run_there_when_they_are_asked_for(run: _Run) -> None:
    assert run("--cores", "none") == 0 and run.page.read_text().count("compiled, not run") == len(
        tool.ENCODERS
    )
    assert run("--cores", "bert") == 0 and set(run.before) == {"bert"}
    assert run.page.read_text().count("host, M55, M4, M33") == 1


def test_a_family_that_fails_leaves_the_page_and_the_others(
    run: _Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run.fails = {"vit"}
    assert run() == 1 and "BertModel" not in run.page.read_text()
    assert "no row of vit" in capsys.readouterr().err
    run.fails = set()
    assert run() == 0 and set(run.before) == {"vit"}


def test_a_family_that_is_not_there_is_refused(run: _Run) -> None:
    with pytest.raises(SystemExit) as found:
        run("--cores", "bert,nobody")
    assert found.value.code == 2
