"""How a step's cost grows with position, cache length, hidden size and layers, and whether its arithmetic explains it.

The arithmetic of a step is the sum of its operators' bounds (planning/ideal.py): products by their multiplications,
attention by the positions so far, everything else by its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import measure
from benchmarks.cases import FIRST_POSITION, Case, Llama

TOLERANCE = 0.1
"""How much dearer than before a further unit of arithmetic may be: operators work in blocks (of 4, 8 or 16), so that not
every size fits as well as the one before it."""

POSITIONS = (15, 31, 63, 127, 255, 511)
CACHES = (64, 128, 256, 512)
HIDDEN = (32, 64, 128, 256)
LAYERS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Point:
    """One measurement: `size` on the series' axis, instructions of the step, and its arithmetic."""

    size: int
    instructions: int
    arithmetic: int


@dataclass(frozen=True)
class Series:
    """Points by growing size. `flat`: the size adds no arithmetic, so it must add no instructions."""

    name: str
    points: tuple[Point, ...]
    flat: bool = False

    def complaints(self) -> list[str]:
        """Where the cost grows faster than the arithmetic: instructions for a further unit of it become dearer.

        A step costs a + b * arithmetic, b being different for each operator; a cost that grows faster, such as an
        attention that looks at more positions than there are, shows as a `b` that grows along the axis.
        """
        found, before = [], None
        for one, two in pairwise(self.points):
            cost, work = two.instructions - one.instructions, two.arithmetic - one.arithmetic
            if self.flat:
                if cost > one.instructions * TOLERANCE:
                    found.append(
                        f"{self.name} {one.size} to {two.size}: {cost:,} instructions for no arithmetic"
                    )
                continue
            if before is not None and cost / work > before * (1 + TOLERANCE):
                found.append(
                    f"{self.name} {one.size} to {two.size}: {cost / work:.2f} instructions for a unit of arithmetic, "
                    f"{before:.2f} before"
                )
            before = cost / work
        return found


def measure_growth(folder: Path, progress: Callable[[str], None] = lambda text: None) -> list[Series]:
    """The four series, on small Llamas with random weights."""

    def point(size: int, position: int, cache: int, llama: Llama) -> Point:
        progress(f"growth: hidden {llama.hidden}, {llama.layers} layers, cache {cache}, position {position}")
        case = Case(f"growth-{llama.hidden}-{llama.layers}-{cache}", "", cache, llama)
        built = measure.prepare(case, folder)
        return Point(size, measure.step_instructions(built, position), measure.arithmetic(built, position))

    at, longest = FIRST_POSITION, max(CACHES)
    return [
        Series("position", tuple(point(p, p, longest, _llama(64, 1)) for p in POSITIONS)),
        Series("cache length", tuple(point(c, at, c, _llama(64, 1)) for c in CACHES), flat=True),
        Series("hidden size", tuple(point(h, at, CACHES[0], _llama(h, 1)) for h in HIDDEN)),
        Series("layers", tuple(point(n, at, CACHES[0], _llama(64, n)) for n in LAYERS)),
    ]


def _llama(hidden: int, layers: int) -> Llama:
    return Llama(hidden, layers, heads=hidden // 16, intermediate=hidden * 11 // 4)


def plot_growth(series: Sequence[Series], path: Path) -> None:
    """Counts and arithmetic of each series, both axes logarithmic: no line may be steeper than the one below it."""
    from benchmarks.plots import new_figure, number_logarithmic, save

    figure, axes = new_figure(len(series), width=11.0, height=3.2)
    for axis, one in zip(axes, series, strict=True):
        sizes = [point.size for point in one.points]
        axis.plot(sizes, [p.instructions for p in one.points], "o-", label="instructions")
        axis.plot(sizes, [p.arithmetic for p in one.points], "s--", label="arithmetic (ideal)")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(sizes, [str(size) for size in sizes])
        number_logarithmic(axis.yaxis)
        axis.minorticks_off()
        axis.set_xlabel(one.name)
    axes[0].set_ylabel("per step")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=2, loc="outside upper center", fontsize=8)
    save(figure, path)
