"""The page of real checkpoints keeps the rows of models that were not run again."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import run_real
from run_real import MODELS, Outcome, Result, render, rows, rows_of


def result(number: int, says: str) -> Result:
    model = MODELS[number]
    return Result(model, [Outcome(step, 0, 1.4, 2.6, says) for step in model.steps])


def test_rows_are_read_as_they_were_written() -> None:
    found = {MODELS[number].name: rows(result(number, f"a|b {number}")) for number in range(len(MODELS))}
    page = render(found)
    assert rows_of(page) == found and render(rows_of(page)) == page
    other = rows(result(1, "new"))
    renewed = render({**rows_of(page), MODELS[1].name: other})
    assert rows_of(renewed) == {**found, MODELS[1].name: other}


def test_the_page_is_what_its_rows_make() -> None:
    page = run_real.PAGE.read_text(encoding="utf-8")
    assert render(rows_of(page)) == page and rows_of(page).keys() == {each.name for each in MODELS}
