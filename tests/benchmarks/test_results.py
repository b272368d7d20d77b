"""What `make bench` makes of its figures: worse than the baseline or not, on disk, on the terminal, as a plot."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import document, plots, results, tables
from benchmarks.__main__ import run as run_benchmarks
from benchmarks.cases import CASES
from benchmarks.reference import load_reference
from benchmarks.results import Figures, compare
from mcu_sdk.board.board import load_board
from mcu_sdk.errors import UsageError
from mcu_sdk.project.profile import Cost

FIGURES = Figures(100_000, 200_000, 3_000, 4_000, 50_000)


def test_half_a_percent_is_borne_and_no_more() -> None:
    at_the_limit = replace(FIGURES, instructions_first=100_500, ram_bytes=3_015, code_bytes=4_040)
    assert compare({"A": FIGURES}, {"A": at_the_limit}) == []
    over = replace(FIGURES, instructions_last=201_001, code_bytes=4_041)
    found = compare({"A": FIGURES}, {"A": over, "new": FIGURES})
    assert [(w.case, w.figure, w.before, w.now) for w in found] == [
        ("A", "instructions_last", 200_000, 201_001),
        ("A", "code_bytes", 4_000, 4_041),
    ]
    assert str(found[0]) == "A: instructions_last went from 200,000 to 201,001 (+0.5 %)"
    assert compare({"A": FIGURES}, {"A": replace(FIGURES, ideal_instructions=60_000)}) == []


def test_figures_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    assert results.read(path) == {}
    results.write(path, {"B": FIGURES, "A": replace(FIGURES, ram_bytes=1)})
    assert results.read(path) == {"A": replace(FIGURES, ram_bytes=1), "B": FIGURES}
    results.write(path, {"B": FIGURES})
    assert list(results.read(path)) == ["B"]


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"A": {"ram_bytes": 1}}', '{"A": 3}', '{"A": {"ram_bytes": "x"}}']
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="figures of each case"):
        results.read(path)


def test_the_committed_baseline_has_every_case() -> None:
    baseline, reference = results.read(results.BASELINE), load_reference()
    assert set(baseline) == set(CASES)
    assert set(reference.stock) == {"A", "B", "C"}
    assert set(reference.goal) == {
        "A",
        "B",
        "B-dynamic",
        "C",
        "vit",
        "bert-32",
        "bert-128",
        "ds-cnn",
        "mobilenet",
    }
    # The bounds of the three cases that were given: 131,584, 3,293,184 and 2,097,152 multiplications, 8 at a time.
    assert [baseline[case].ideal_instructions for case in "ABC"] == [16_448, 411_648, 262_144]


def test_the_tables_show_change_goal_and_stock() -> None:
    text = io.StringIO()
    console = Console(file=text, width=160)
    better, reference = replace(FIGURES, instructions_first=50_000), load_reference()
    console.print(tables.instructions_table({"A": better, "new": FIGURES}, {"A": FIGURES}, reference))
    console.print(tables.bytes_table({"A": better}, {"A": FIGURES}, reference))
    shown = text.getvalue()
    assert "-50.0 %" in shown and "45,000" in shown and "1,840,000" in shown and "36.80" in shown
    assert "new" in shown and "=" in shown


def test_a_plot_is_the_same_twice(tmp_path: Path) -> None:
    reference = load_reference()
    for name in ("one.svg", "two.svg"):
        plots.plot_figures({"A": FIGURES, "bundled-64": FIGURES}, reference, tmp_path / name)
    one = (tmp_path / "one.svg").read_bytes()
    assert one.startswith(b"<?xml") and one == (tmp_path / "two.svg").read_bytes()
    assert b"stock runtime" in one


def test_tables_go_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n<!-- figures -->\nold\n<!-- end of figures -->\nB\n")
    for _ in range(2):
        document.replace_block(page, "figures", document.figures_markdown({"A": FIGURES}, load_reference()))
    text = page.read_text()
    assert (
        "old" not in text and text.startswith("# A\n<!-- figures -->\n| case |") and text.endswith("-->\nB\n")
    )
    assert "| 1,840,000 | 18.4 | 3,000 | 4,000 |" in text
    rows = [Cost("mcu::rope", "layers.3.attn", 1, 30, 10), Cost("aten::add", "", 1, 10, 0)]
    assert "| mcu::rope | layers.\\*.attn | 1 | 30 | 75.0 % | 10 | 3.00 |" in document.profile_markdown(rows)
    with pytest.raises(UsageError, match="once"):
        document.replace_block(page, "profile", "x")


@pytest.mark.slow
def test_counts_repeat_to_the_digit_and_a_worse_figure_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case A twice, from generation to the table; then against a baseline that was 3 % better."""
    monkeypatch.setattr("benchmarks.__main__.WORK", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("<!-- figures -->\n<!-- end of figures -->\n<!-- profile -->\n<!-- end of profile -->\n")
    monkeypatch.setattr("benchmarks.__main__.PAGE", page)
    readme, docs = tmp_path / "README.md", tmp_path / "docs"
    docs.mkdir()
    for file, blocks in (
        (readme, ("figures",)),
        (docs / "int4.md", ("figures",)),
        (docs / "size.md", ("size", "memory")),
    ):
        file.write_text("".join(f"<!-- {name} -->\n<!-- end of {name} -->\n" for name in blocks))
    monkeypatch.setattr("benchmarks.__main__.README", readme)
    monkeypatch.setattr("benchmarks.__main__.DOCS", docs)
    for name in ("LATEST", "BASELINE"):
        monkeypatch.setattr(results, name, tmp_path / f"{name}.json")
    assert run_benchmarks([CASES["A"]], new_baseline=True) == 0
    first = results.read(tmp_path / "LATEST.json")
    assert run_benchmarks([CASES["A"]], new_baseline=False) == 0
    assert f"| A | {CASES['A'].title} | 16,448 | {first['A'].instructions_first:,} |" in page.read_text()
    assert results.read(tmp_path / "LATEST.json") == first == results.read(tmp_path / "BASELINE.json")
    shown = capsys.readouterr().out
    assert "mcu::attention_s8" in shown and "worse than" not in shown
    better = replace(first["A"], instructions_last=int(first["A"].instructions_last / 1.03))
    results.write(tmp_path / "BASELINE.json", {"A": better})
    assert run_benchmarks([CASES["A"]], new_baseline=False, profile=False) == 1
    assert "worse than the baseline: A: instructions_last" in capsys.readouterr().out


def test_every_case_is_of_a_board_and_measured_inside_of_its_cache() -> None:
    for case in CASES.values():
        assert load_board(case.board).name == case.board
        first, last = case.positions
        assert case.length is None or (
            0 <= first < last and (not case.cache or (last < case.cache) == (case.when_full == "stop"))
        ), case.name
        assert case.prefill is None or (last + 1) % case.prefill == (first + 1) % case.prefill == 0
