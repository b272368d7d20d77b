"""Measure every case in QEMU, compare with the committed baseline, and write the results.

python -m benchmarks                    all cases (or: make bench)
python -m benchmarks A B                these cases only
python -m benchmarks --baseline         make the figures the new baseline (or: make bench-baseline)
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import measure, plots, results, tables
from benchmarks.cases import CASES, Case
from benchmarks.reference import load_reference
from mcu_sdk.console import quiet_libraries, set_quiet
from mcu_sdk.errors import McuSdkError

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "benchmarks"
PLOT = ROOT / "docs" / "images" / "benchmarks.svg"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 when a figure is worse than the baseline by more than results.TOLERANCE."""
    options = _parse(arguments)
    set_quiet(not options.verbose)
    os.environ.setdefault("MCU_SDK_CACHE", str(WORK / "cache"))
    cases = [CASES[name] for name in options.cases or CASES]
    try:
        with quiet_libraries():
            return run(cases, new_baseline=options.baseline)
    except McuSdkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="Instructions, RAM and code of each case."
    )
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="default: all", metavar="CASE")
    parser.add_argument("--baseline", action="store_true", help="make the figures the new baseline")
    parser.add_argument("--verbose", action="store_true", help="show each step")
    return parser.parse_args(arguments)


def run(cases: Sequence[Case], *, new_baseline: bool) -> int:
    """Measure, print, write."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    baseline, reference = results.read(results.BASELINE), load_reference()
    latest: dict[str, results.Figures] = {}
    for case in cases:
        print(f"{case.name}: {case.title}", file=sys.stderr, flush=True)
        latest[case.name] = measure.figures(measure.prepare(case, WORK))
    console.print(tables.instructions_table(latest, baseline, reference))
    console.print(tables.bytes_table(latest, baseline, reference))
    for source in reference.sources:
        console.print(source, style="dim", soft_wrap=True)
    results.write(results.LATEST, latest)
    if len(latest) == len(CASES):
        plots.plot_figures(latest, reference, PLOT)
    if new_baseline:
        results.write(results.BASELINE, {**baseline, **latest})
        return 0
    worse = results.compare(baseline, latest)
    for item in worse:
        console.print(f"worse than the baseline: {item}", style="red")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
