"""Compare the simulated NPUs with the TOSA reference model on every model, and write docs/npu-matrix.md.

python tools/run_npu_matrix.py        (or: make npu-matrix)
"""

from __future__ import annotations

import sys

from matrix import ROOT, Cases, outcome, run

RESULT = ROOT / "docs" / "npu-matrix.md"
TESTS = "tests/npu/test_reference.py"


def outcomes(cases: Cases) -> dict[tuple[str, str], str]:
    """By model and accelerator: "equal" or "differs"."""
    found = {}
    for case in cases:
        test, _, identity = case.get("name", "").rstrip("]").partition("[")
        name, _, accelerator = identity.partition("-ethos-")
        if test == "test_matches_on_graphs_by_hand":
            accelerator = "u55-128"
        found[name, f"ethos-{accelerator}"] = outcome(case)
    return found


def render(cases: Cases, sources: str) -> str:
    """The outcomes as Markdown: a row for each model, a column for each accelerator."""
    found = outcomes(cases)
    columns = sorted({accelerator for _, accelerator in found}, key=lambda c: (c[:9], int(c[10:])))
    rows = [
        f"| {name} | " + " | ".join(found.get((name, column), "") for column in columns) + " |"
        for name in sorted({name for name, _ in found})
    ]
    equal = sum(value == "equal" for value in found.values())
    return "\n".join(
        [
            "# NPU matrix",
            "",
            "Every model of `tests/npu/models.py` and `tests/npu/graphs.py`, compiled by Vela and run on the simulator,",
            "against the TOSA reference model: four inputs over the whole range of their type, every element of every",
            "output. `make npu-matrix` writes this page; rows that end in `_a16w8` have 16-bit activations.",
            "",
            f"Made from {sources}: {equal} of {len(found)} equal.",
            "",
            "| model | " + " | ".join(columns) + " |",
            "|---|" + "---|" * len(columns),
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(run(TESTS, RESULT, render, "-k", "test_matrix or by_hand"))
