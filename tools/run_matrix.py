"""Run the full matrix of models and write its result to docs/test-matrix.md, with the commit it was made at.

python tools/run_matrix.py        (or: make matrix)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "docs" / "test-matrix.md"
TESTS = "tests/end_to_end/test_families.py"


def main() -> int:
    """Exit code 0 when every case passed."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode != 0
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            TESTS,
            "-n",
            str(os.cpu_count() or 1),
            f"--junitxml={report}",
        ]
        status = subprocess.run([*command, "-m", "slow or not slow"], cwd=ROOT, check=False).returncode
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  pytest has just written it
    RESULT.write_text(
        render(cases, commit + (" with uncommitted changes" if changed else "")), encoding="utf-8"
    )
    return status


def render(cases: list[ElementTree.Element], commit: str) -> str:
    """The result as Markdown: a row for each model, a column for each choice of scales."""
    columns = [f"{a}-{k}" for a in ("dynamic", "static") for k in ("calibrated", "dynamic")]
    outcome: dict[tuple[str, str], str] = {}
    for case in cases:
        identity = case.get("name", "").partition("[")[2].rstrip("]")
        column = next((c for c in columns if identity.endswith(c)), None)
        if column is None:  # int4 weights: a few combinations of their own
            continue
        failed = any(child.tag in ("failure", "error") for child in case)
        outcome[identity.removesuffix("-" + column), column] = "differs" if failed else "equal"
    rows = [
        f"| {model} | " + " | ".join(outcome.get((model, column), "not run") for column in columns) + " |"
        for model in sorted({model for model, _ in outcome})
    ]
    passed = sum(value == "equal" for value in outcome.values())
    return "\n".join(
        [
            "# Every model, every choice of scales",
            "",
            "Random weights; 100 greedy steps. Equal: the digest over every logit of every step is the same on the host",
            "and on the Cortex-M55 in QEMU, the tokens too, and the first 24 steps have the bits of the quantized",
            "PyTorch graph. Columns: activation scales, then KV cache scales.",
            "",
            f"`make matrix` at commit {commit}: {passed} of {len(outcome)} equal.",
            "",
            "| model | dynamic, calibrated | dynamic, dynamic | static, calibrated | static, dynamic |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
