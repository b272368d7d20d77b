"""A cost that grows faster than its arithmetic is found; ours does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.growth import Point, Series, measure_growth, plot_growth


def series(name: str, costs: list[int], flat: bool = False) -> Series:
    sizes = [2**index for index in range(len(costs))]
    return Series(name, tuple(Point(s, c, 10 * s) for s, c in zip(sizes, costs, strict=True)), flat)


def test_a_fixed_part_and_a_linear_one_are_in_order() -> None:
    assert series("layers", [1000 + 30 * 2**i for i in range(5)]).complaints() == []
    assert series("layers", [1000 + 30 * 2**i + (i % 2) for i in range(5)]).complaints() == []
    assert series("cache", [1000, 1001, 1000, 1002], flat=True).complaints() == []


def test_a_quadratic_cost_is_found() -> None:
    found = series("position", [1000 + 4**i for i in range(6)]).complaints()
    assert (
        len(found) == 4
        and found[0] == "position 2 to 4: 0.60 instructions for a unit of arithmetic, 0.30 before"
    )


def test_a_cost_without_arithmetic_is_found() -> None:
    (found,) = series("cache length", [1000, 1050, 1200], flat=True).complaints()
    assert found == "cache length 2 to 4: 150 instructions for no arithmetic"


def test_the_plot_is_written(tmp_path: Path) -> None:
    plot_growth([series("position", [5, 6, 8]), series("layers", [5, 7, 9])], tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text()
    assert "position" in text and "layers" in text and "arithmetic" in text


@pytest.mark.slow
@pytest.mark.matrix
def test_no_cost_grows_faster_than_its_arithmetic(tmp_path: Path) -> None:
    measured = measure_growth(tmp_path)
    assert [one.name for one in measured] == ["position", "cache length", "hidden size", "layers"]
    assert [text for one in measured for text in one.complaints()] == []
