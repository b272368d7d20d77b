"""Compare the simulated NPUs with the TOSA reference model on every model, and write docs/npu-matrix.md and
docs/npu-matrix-u85.md.

python tools/run_npu_matrix.py             (or: make npu-matrix)
python tools/run_npu_matrix.py u85         the U85's page alone; u55 for the other one
"""

from __future__ import annotations

import sys

from matrix import ROOT, Cases, outcome, run

PAGES = {
    "u55": ("tests/npu/test_reference.py", "npu-matrix.md", "test_matrix or by_hand"),
    "u85": ("tests/npu/u85/test_reference.py", "npu-matrix-u85.md", "test_matrix or by_hand"),
}
"""By family (the U65 is on the U55's page) the tests, the page and what of the tests belongs to it."""


def outcomes(cases: Cases) -> dict[tuple[str, str], str]:
    """By model and accelerator: "equal" or "differs"."""
    found = {}
    for case in cases:
        test, _, identity = case.get("name", "").rstrip("]").partition("[")
        name, _, accelerator = identity.partition("-ethos-")
        if test == "test_matches_on_graphs_by_hand":
            accelerator = "u55-128"
        elif test == "test_graphs_by_hand":
            name = f"graph {name}"
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
            "Every model of `tests/npu/models.py` and every graph put together by hand (`tests/npu/graphs.py`, for the U85",
            "`tests/npu/u85/graphs.py` too), compiled by Vela and run on the simulator, against the TOSA reference model:",
            "four inputs over the whole range of their type, every element of every output. `make npu-matrix` writes this",
            "page; rows that end in `_a16w8` have 16-bit activations.",
            "",
            f"Made from {sources}: {equal} of {len(found)} equal.",
            "",
            "| model | " + " | ".join(columns) + " |",
            "|---|" + "---|" * len(columns),
            *rows,
            "",
        ]
    )


def main(families: list[str]) -> int:
    """Write the pages of `families`, all by default; the greatest exit code."""
    if unknown := set(families) - set(PAGES):
        print(
            f"There is no page of {', '.join(sorted(unknown))}; there are {', '.join(PAGES)}.",
            file=sys.stderr,
        )
        return 2
    pages = [PAGES[family] for family in families or PAGES]
    return max(run(tests, ROOT / "docs" / page, render, "-k", chosen) for tests, page, chosen in pages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
