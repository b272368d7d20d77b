"""What the matrices of models share: the tests' cases, the sources that they were made from, the page they go to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
Cases = list[ElementTree.Element]


def run(tests: str, page: Path, render: Callable[[Cases, str], str], *selection: str) -> int:
    """Run `tests`, the slow ones too, and write what `render` makes of their cases and the sources' names; pytest's exit code."""
    sources = "; ".join(f"{folder} {tree(folder)}" for folder in ("mcu_sdk", "firmware", "templates"))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        jobs = str(os.cpu_count() or 1)
        command = [sys.executable, "-m", "pytest", tests, "-n", jobs, *selection, "-m", "slow or not slow"]
        status = subprocess.run([*command, f"--junitxml={report}"], cwd=ROOT, check=False).returncode
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  pytest has just written it
    page.write_text(render(cases, sources), encoding="utf-8")
    return status


def tree(folder: str) -> str:
    """Git's name for the content of a folder as it was committed last, which a commit's own page can hold.

    `git rev-parse HEAD:FOLDER` prints the same for the same content. Changes that are not committed are said.
    """
    name = subprocess.run(
        ["git", "rev-parse", "--short=12", f"HEAD:{folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    changed = (
        subprocess.run(["git", "diff", "--quiet", "HEAD", "--", folder], cwd=ROOT, check=False).returncode
        != 0
    )
    return name + (" with uncommitted changes" if changed else "")


def outcome(case: ElementTree.Element) -> str:
    """ "equal" or "differs"."""
    return "differs" if any(child.tag in ("failure", "error") for child in case) else "equal"
