"""What `make bench` makes of kernels at single shapes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from benchmarks import shapes
from benchmarks.shapes import Row

ROW = Row("corstone-300", "linear", 900, baseline=900, cmsis_nn=1000, bar=0.9)


def test_a_row_complains_beyond_its_bar_and_its_baseline() -> None:
    assert not ROW.complaint
    assert "more than 0.9 of CMSIS-NN's 1,000" in replace(ROW, now=901, baseline=0).complaint
    assert "where the baseline has 800" in replace(ROW, now=805, baseline=800).complaint
    assert not replace(ROW, now=804, baseline=800).complaint
    assert not Row("host", "unknown", 10**9).complaint


def test_the_baseline_leaves_the_reference_alone(tmp_path: Path) -> None:
    path = tmp_path / "shapes.json"
    path.write_text(
        json.dumps({"source": "s", "boards": {"corstone-300": {"linear": {"cmsis_nn": 5, "bar": 1}}}})
    )
    shapes.write_baseline([replace(ROW, now=4), Row("mps2-an386", "new", 7)], path)
    found = shapes.read_rows({"corstone-300": {"linear": 6}, "mps2-an386": {"new": 8}}, path)
    assert found == [Row("corstone-300", "linear", 6, 4, 5, 1), Row("mps2-an386", "new", 8, 7)]


def test_the_committed_figures_are_within_their_bars() -> None:
    """And every shape of the program has one on every board."""
    names = set(
        re.findall(r'"([a-z]+(?:-[\dx]+)?(?:-[a-z\d]+)+)"', shapes.SOURCE.read_text(encoding="utf-8"))
    )
    known = json.loads(shapes.FIGURES.read_text(encoding="utf-8"))["boards"]
    assert set(known) == set(shapes.BOARDS)
    for board, rows in known.items():
        assert set(rows) == names
        found = {name: facts["baseline"] for name, facts in rows.items()}
        assert not [row.complaint for row in shapes.read_rows({board: found}) if row.complaint]


def test_the_table_has_the_ratio() -> None:
    assert "| cortex-m55 | linear | 900 | 1,000 | 0.90 |" in shapes.markdown([ROW])
