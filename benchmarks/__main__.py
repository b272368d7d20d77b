"""Measure every case in QEMU, compare with the committed baseline, and write the results.

python -m benchmarks                    all cases, how the cost grows, and what the SDK itself takes (or: make bench)
python -m benchmarks A B                these cases only
python -m benchmarks --baseline         make the figures the new baseline (or: make bench-baseline)
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import (
    document,
    durations,
    growth,
    loops,
    measure,
    plots,
    profiles,
    results,
    shapes,
    tables,
    texts,
)
from benchmarks.cases import CASES, Case
from benchmarks.reference import load_reference
from mcu_sdk.console import quiet_libraries, set_quiet
from mcu_sdk.errors import McuSdkError
from mcu_sdk.project.profile import Cost, to_table

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "benchmarks"
PLOT = ROOT / "docs" / "images" / "benchmarks.svg"
DOCS, README = ROOT / "docs", ROOT / "README.md"
PAGE = DOCS / "performance.md"
GROWTH_PLOT = ROOT / "docs" / "images" / "growth.svg"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 when a figure is worse than the baseline by more than results.TOLERANCES, when a cost grows faster
    than its arithmetic, or when a command takes more than its bar."""
    options = _parse(arguments)
    set_quiet(not options.verbose)
    os.environ.setdefault("MCU_SDK_CACHE", str(WORK / "cache"))
    cases = [CASES[name] for name in options.cases or CASES]
    try:
        with quiet_libraries():
            status = run(cases, new_baseline=options.baseline, profile=not options.no_profile)
            if not options.cases and not options.no_shapes:
                status = max(status, run_shapes(new_baseline=options.baseline))
            if not options.cases and not options.no_loops:
                status = max(status, run_loops(new_baseline=options.baseline))
            if not options.cases and not options.no_texts:
                status = max(status, run_texts(new_baseline=options.baseline))
            if not options.cases and not options.no_growth:
                status = max(status, run_growth())
            if not options.cases and not options.no_durations:
                status = max(status, run_durations(new_baseline=options.baseline))
            return status
    except McuSdkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="Instructions, RAM and code of each case."
    )
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="default: all", metavar="CASE")
    parser.add_argument("--baseline", action="store_true", help="make the figures the new baseline")
    parser.add_argument("--no-profile", action="store_true", help="leave the tables by operator out")
    parser.add_argument("--no-shapes", action="store_true", help="leave single kernels beside CMSIS-NN out")
    parser.add_argument("--no-loops", action="store_true", help="leave llvm-mca's cycles of inner loops out")
    parser.add_argument("--no-texts", action="store_true", help="leave the tokenizers out")
    parser.add_argument("--no-growth", action="store_true", help="leave the growth of the cost out")
    parser.add_argument("--no-durations", action="store_true", help="leave the SDK's own processor time out")
    parser.add_argument("--verbose", action="store_true", help="show each step")
    return parser.parse_args(arguments)


def run(cases: Sequence[Case], *, new_baseline: bool, profile: bool = True) -> int:
    """Measure, print, write."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    baseline, reference = results.read(results.BASELINE), load_reference()
    latest: dict[str, results.Figures] = {}
    profiled: dict[str, list[Cost]] = {}
    for case in cases:
        print(f"{case.name}: {case.title}", file=sys.stderr, flush=True)
        built = measure.prepare(case, WORK)
        latest[case.name] = measure.figures(built)
        if profile and case.prefill is None:
            profiled[case.name] = _show_profile(console, built)
    console.print(tables.instructions_table(latest, baseline, reference))
    console.print(tables.bytes_table(latest, baseline, reference))
    for source in reference.sources:
        console.print(source, style="dim", soft_wrap=True)
    results.write(results.LATEST, latest)
    if len(latest) == len(CASES):
        plots.plot_figures(latest, reference, PLOT)
    if new_baseline:
        known = _in_order({**baseline, **latest})
        results.write(results.BASELINE, known)
        document.replace_block(PAGE, "figures", document.figures_markdown(known, reference))
        document.replace_block(README, "figures", document.against_stock_markdown(known, reference))
        document.replace_block(DOCS / "int4.md", "figures", document.int4_markdown(known))
        document.replace_block(DOCS / "size.md", "size", document.size_markdown(known))
        document.replace_block(DOCS / "size.md", "memory", document.memory_markdown(known, reference))
        if "B" in profiled:
            document.replace_block(PAGE, "profile", document.profile_markdown(profiled["B"]))
        return 0
    worse = results.compare(baseline, latest)
    for item in worse:
        console.print(f"worse than the baseline: {item}", style="red")
    return 1 if worse else 0


def _complaints(console: Console, rows: Sequence[Any], named: Callable[[Any], str]) -> int:
    """Print each row that has a complaint; 1 if one has."""
    for row in rows:
        if row.complaint:
            console.print(f"{named(row)}: {row.complaint}", style="red")
    return int(any(row.complaint for row in rows))


def run_shapes(*, new_baseline: bool) -> int:
    """Count kernels at single shapes; 1 if one is worse than its baseline, or than it may be beside CMSIS-NN."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    print("kernels at single shapes", file=sys.stderr, flush=True)
    rows = shapes.read_rows(shapes.measure())
    console.print(tables.shapes_table(rows))
    console.print(f"CMSIS-NN: {shapes.source_of_reference()}", style="dim", soft_wrap=True)
    if new_baseline:
        shapes.write_baseline(rows)
        document.replace_block(PAGE, "shapes", shapes.markdown(rows))
        return 0
    return _complaints(console, rows, lambda row: f"{row.board}, {row.shape}")


def run_loops(*, new_baseline: bool) -> int:
    """Ask llvm-mca for the cycles of inner loops; 1 if one takes more than its baseline."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    print("inner loops", file=sys.stderr, flush=True)
    rows = loops.measure()
    console.print(loops.markdown(rows))
    if new_baseline:
        loops.write_baseline(rows)
        document.replace_block(PAGE, "loops", loops.markdown(rows))
        return 0
    return _complaints(console, rows, lambda row: f"{row.loop} on {row.core}")


def run_texts(*, new_baseline: bool) -> int:
    """Measure the device's tokenizers; 1 if one takes more than it may."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    print("tokenizers", file=sys.stderr, flush=True)
    rows = texts.measure_all()
    console.print(texts.markdown(rows))
    if new_baseline:
        document.replace_block(PAGE, "texts", texts.markdown(rows))
    return _complaints(console, rows, lambda row: f"{row.board}, {row.name}")


def run_growth() -> int:
    """Measure the four series, plot them; 1 if a cost grows faster than its arithmetic."""
    console = Console(highlight=False)
    series = growth.measure_growth(WORK, lambda text: print(text, file=sys.stderr, flush=True))
    console.print(tables.growth_table(series))
    growth.plot_growth(series, GROWTH_PLOT)
    complaints = [text for one in series for text in one.complaints()]
    for text in complaints:
        console.print(f"grows faster than its arithmetic: {text}", style="red")
    return 1 if complaints else 0


def run_durations(*, new_baseline: bool) -> int:
    """Measure what the SDK itself takes, as ratios; 1 if one is over its bar."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)

    def report(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    found = durations.measure_commands(WORK / "durations", report)
    found += durations.measure_simulated_npu(report)
    console.print(tables.durations_table(found))
    if new_baseline:
        document.replace_block(PAGE, "durations", document.durations_markdown(found))
    slow = [one for one in found if not one.met]
    for one in slow:
        console.print(f"slower than its bar: {one.name}, {one.ratio:.2f} times {one.unit}", style="red")
    return 1 if slow else 0


def _in_order(figures: Mapping[str, results.Figures]) -> dict[str, results.Figures]:
    """The cases in the order in which they are listed."""
    return {name: figures[name] for name in CASES if name in figures}


def _show_profile(console: Console, built: measure.Built) -> list[Cost]:
    """Show the table by operator, and how near its bound the worst of the large products comes; its rows."""
    position = built.case.positions[0]
    rows = profiles.profile_case(built, position)
    console.print(to_table(rows, f"{built.case.name}: {built.case.title}; position {position}"))
    worst = profiles.worst_large_product(rows)
    if worst is not None and worst.ratio is not None:
        met = worst.ratio <= profiles.LARGE_GOAL
        console.print(
            f"products of 256 x 256 and larger: at most {worst.ratio:.3f} of the ideal ({worst.module or worst.operator}); "
            f"goal {profiles.LARGE_GOAL}",
            style="green" if met else "red",
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
