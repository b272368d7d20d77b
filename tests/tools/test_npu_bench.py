"""The NPU's table: rows that were measured with the same sources are kept, others are measured again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import run_npu_bench as bench

from mcu_sdk.npu.cycles.estimate import OperationCycles, StreamCycles
from mcu_sdk.project.npu_details import NpuDetails

FOUND = {
    "operations": 699,
    "calls": 8,
    "macs": 1_135_144,
    "vela": 1_314_765,
    "ours": 1_434_758,
    "constants": 1_221_696,
    "commands": 71_792,
    "scratch": 1_186_312,
    "use": 0.0062,
    "apart": 416,
    "layers": 629,
    "error": 0.0216,
    "instructions": 29_214,
    "generate": 80.0,
    "verify": 41.4,
}


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rows that were measured."""
    names: list[str] = []

    def measure(row: bench.Row) -> dict[str, Any]:
        names.append(row.name)
        if row.name == "vit-u85-256-Shared_Sram":
            raise RuntimeError("no room")
        return dict(FOUND)

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "WORK", tmp_path)
    monkeypatch.setattr(bench, "ROWS", tmp_path / "rows.json")
    monkeypatch.setattr(bench, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(bench, "tree", lambda folder: f"of {folder}")
    return names


def test_an_interrupted_run_goes_on_and_a_failed_row_is_no_row(measured: list[str], tmp_path: Path) -> None:
    assert bench.main([]) == 1
    assert len(measured) == len(bench.rows())
    page = (tmp_path / "page.md").read_text()
    assert "| 699 of 707 | 1,135,144 | 1,314,765 | 1,434,758 | 416 of 629 | 0.6 % | 29,214 |" in page
    assert "| 2.2 % | 80 s | 41 s |" in page
    assert page.count("ethos-u85-256") == 2  # bundled and BERT
    assert "Not measured with these: vit-u85-256-Shared_Sram." in page
    measured.clear()
    assert bench.main([]) == 1 and measured == ["vit-u85-256-Shared_Sram"]
    measured.clear()
    assert bench.main(["vit-u55-128-Sram_Only"]) == 1
    assert measured == ["vit-u55-128-Sram_Only", "vit-u85-256-Shared_Sram"]


def test_rows_of_other_sources_are_measured_again(measured: list[str], tmp_path: Path) -> None:
    bench.main([])
    kept = json.loads((tmp_path / "rows.json").read_text())
    (tmp_path / "rows.json").write_text(json.dumps({**kept, "code": "another"}))
    measured.clear()
    bench.main([])
    assert len(measured) == len(bench.rows())


def test_a_row_that_is_none(measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["nobody"]) == 2 and not measured
    assert "nobody" in capsys.readouterr().err


def test_a_prompts_token_is_its_share_of_a_chunk() -> None:
    operations = (OperationCycles(0, "NPU_OP_CONV", 1600, 3200, 0, 0, 0, 0, 0, 32, 160, 16),)
    stream = StreamCycles("ethos-u55-128", "System", "Shared_Sram", 500e6, 128, operations)
    chunk = NpuDetails(operations=3, calls=9, cycles=(stream,), tokens=16)
    found = bench.facts(NpuDetails(operations=0, calls=80, prefill=chunk))
    assert (found["operations"], found["calls"], found["ours"], found["macs"]) == (3, 9, 100, 200)
    (row,) = (row for row in bench.rows() if row.name == "bundled-prompt-32-u55-128-Sram_Only")
    assert row.options[-2:] == ("--prefill", "32") and row.checkpoint() == []
    assert row.request is not None and len(row.request[1].split(",")) == bench.PROMPT
