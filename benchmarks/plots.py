"""The figures as SVG. The same figures give the same bytes: no date, and identifiers from a fixed salt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.reference import Reference
from benchmarks.results import Figures

STYLE = {
    "svg.hashsalt": "mcu-sdk",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def new_figure(columns: int, rows: int = 1, width: float = 9.0, height: float = 3.6) -> tuple[Any, Any]:
    """A figure without a display, and its axes as a flat list."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update(STYLE)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(width, height), layout="constrained", squeeze=False
    )
    return figure, list(axes.flat)


def save(figure: Any, path: Path) -> None:
    """Write the SVG and forget the figure."""
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def number_logarithmic(axis: Any) -> None:
    """Numbers at 1, 2 and 5 of every decade: an axis that spans less than a decade has some, too."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def plot_figures(latest: Mapping[str, Figures], reference: Reference, path: Path) -> None:
    """Instructions of each case beside the ideal and the stock runtime, on a logarithmic scale."""
    figure, (axis,) = new_figure(1)
    cases = list(latest)
    bars: list[tuple[str, list[float | None]]] = [
        ("ideal", [latest[case].ideal_instructions for case in cases]),
        ("first position", [latest[case].instructions_first for case in cases]),
        ("last position", [latest[case].instructions_last for case in cases]),
        ("stock runtime", [reference.stock.get(case, {}).get("instructions") for case in cases]),
    ]
    width = 0.8 / len(bars)
    for index, (label, values) in enumerate(bars):
        known = [(place, value) for place, value in enumerate(values) if value is not None]
        positions = [place + (index - (len(bars) - 1) / 2) * width for place, _ in known]
        axis.bar(positions, [value for _, value in known], width, label=label, zorder=2)
    axis.set_yscale("log")
    number_logarithmic(axis.yaxis)
    axis.set_xticks(range(len(cases)), cases)
    axis.set_ylabel("instructions per step")
    figure.legend(ncols=len(bars), loc="outside upper center", fontsize=8)
    save(figure, path)
