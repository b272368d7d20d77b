"""Run the full matrix of models and write its result to docs/test-matrix.md, with the sources it was made from.

python tools/run_matrix.py        (or: make matrix)
"""

from __future__ import annotations

from matrix import ROOT, Cases, outcome, run

RESULT = ROOT / "docs" / "test-matrix.md"
TESTS = "tests/end_to_end/test_families.py"


def render(cases: Cases, sources: str) -> str:
    """The result as Markdown: a row for each model, a column for each choice of scales."""
    columns = [f"{a}-{k}" for a in ("dynamic", "static") for k in ("calibrated", "dynamic")]
    outcomes: dict[tuple[str, str], str] = {}
    for case in cases:
        identity = case.get("name", "").partition("[")[2].rstrip("]")
        column = next((c for c in columns if identity.endswith(c)), None)
        if column is None:  # int4 weights: a few combinations of their own
            continue
        outcomes[identity.removesuffix("-" + column), column] = outcome(case)
    rows = [
        f"| {model} | " + " | ".join(outcomes.get((model, column), "not run") for column in columns) + " |"
        for model in sorted({model for model, _ in outcomes})
    ]
    passed = sum(value == "equal" for value in outcomes.values())
    return "\n".join(
        [
            "# Every model, every choice of scales",
            "",
            "Random weights; 100 greedy steps. Equal: the digest over every logit of every step is the same on the host",
            "and on the Cortex-M55 in QEMU, the tokens too, and the first 24 steps have the bits of the quantized",
            "PyTorch graph. Columns: activation scales, then KV cache scales.",
            "",
            f"`make matrix` of {sources}: {passed} of {len(outcomes)} equal.",
            "",
            "| model | dynamic, calibrated | dynamic, dynamic | static, calibrated | static, dynamic |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(run(TESTS, RESULT, render))
