"""Compare the simulated NPUs with the TOSA reference model on every model, and write docs/npu-matrix.md.

python tools/run_npu_matrix.py        (or: make npu-matrix)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "docs" / "npu-matrix.md"
TESTS = "tests/npu/test_reference.py"


def main() -> int:
    """Exit code 0 when every case passed."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode != 0
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        jobs = str(os.cpu_count() or 1)
        command = [sys.executable, "-m", "pytest", TESTS, "-n", jobs, "-k", "test_matrix or by_hand"]
        command += ["-m", "slow or not slow", f"--junitxml={report}"]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  pytest has just written it
    text = render(outcomes(cases), commit + (" with uncommitted changes" if changed else ""))
    RESULT.write_text(text, encoding="utf-8")
    return status


def outcomes(cases: list[ElementTree.Element]) -> dict[tuple[str, str], str]:
    """By model and accelerator: "equal" or "differs"."""
    found = {}
    for case in cases:
        test, _, identity = case.get("name", "").rstrip("]").partition("[")
        name, _, accelerator = identity.partition("-ethos-")
        if test == "test_matches_on_graphs_by_hand":
            accelerator = "u55-128"
        failed = any(child.tag in ("failure", "error") for child in case)
        found[name, f"ethos-{accelerator}"] = "differs" if failed else "equal"
    return found


def render(found: dict[tuple[str, str], str], commit: str) -> str:
    """The outcomes as Markdown: a row for each model, a column for each accelerator."""
    columns = sorted({accelerator for _, accelerator in found}, key=lambda c: (c[:9], int(c[10:])))
    rows = [
        f"| {name} | " + " | ".join(found.get((name, column), "") for column in columns) + " |"
        for name in sorted({name for name, _ in found})
    ]
    equal = sum(outcome == "equal" for outcome in found.values())
    return "\n".join(
        [
            "# NPU matrix",
            "",
            "Every model of `tests/npu/models.py` and `tests/npu/graphs.py`, compiled by Vela and run on the simulator,",
            "against the TOSA reference model: four inputs over the whole range of their type, every element of every",
            "output. `make npu-matrix` writes this page; rows that end in `_a16w8` have 16-bit activations.",
            "",
            f"Commit {commit}: {equal} of {len(found)} equal.",
            "",
            "| model | " + " | ".join(columns) + " |",
            "|---|" + "---|" * len(columns),
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
