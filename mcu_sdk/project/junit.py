"""JUnit's XML, which CI services show as a list of tests: checks and their outcome, without times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from mcu_sdk.errors import McuSdkError, UsageError
from mcu_sdk.project.files import replace_file, why_not_writable

Outcome = Literal["passed", "failed", "error", "skipped"]

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


@dataclass(frozen=True)
class Case:
    """One check. `detail`: what was found, and expected."""

    name: str
    outcome: Outcome
    detail: str = ""


def to_xml(suite: str, cases: Sequence[Case]) -> str:
    """A file with one suite. Characters that XML cannot hold, which a model may say, become "?"."""
    count = {
        kind: str(sum(case.outcome == kind for case in cases)) for kind in ("failed", "error", "skipped")
    }
    root = ElementTree.Element("testsuites")
    numbers = {"failures": count["failed"], "errors": count["error"], "skipped": count["skipped"]}
    node = ElementTree.SubElement(
        root, "testsuite", {"name": _clean(suite), "tests": str(len(cases)), **numbers}
    )
    for case in cases:
        test = ElementTree.SubElement(
            node, "testcase", {"classname": _clean(suite), "name": _clean(case.name)}
        )
        detail = _clean(case.detail)
        if case.outcome == "passed":
            if detail:
                ElementTree.SubElement(test, "system-out").text = detail
            continue
        word = {"failed": "failure"}.get(case.outcome, case.outcome)
        message = detail.splitlines()[0] if detail else ""
        ElementTree.SubElement(test, word, {"message": message}).text = detail
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def write(path: Path, suite: str, cases: Sequence[Case]) -> None:
    """The file, whole or not at all. Raises UsageError where it cannot be written."""
    text = '<?xml version="1.0" encoding="UTF-8"?>\n' + to_xml(suite, cases)
    try:
        replace_file(path, text)
    except OSError as error:
        raise UsageError(
            f"The report cannot be written to {str(path)!r}: {error.strerror or error}.",
            hint="Name another file with --junit.",
        ) from error


@contextmanager
def errors_in(path: Path | None, suite: str) -> Iterator[None]:
    """Where the block raises an error of ours, the file, if one is wanted, says so instead of the checks."""
    try:
        yield
    except McuSdkError as error:
        if path is not None:
            write(path, suite, [Case("build and run", "error", str(error))])
        raise


def check_writable(path: Path | None) -> None:
    """Raises UsageError, before anything slow, where no file can be put."""
    if path is None:
        return
    what = why_not_writable(path)
    if what is not None:
        raise UsageError(
            f"The report cannot be written to {str(path)!r}: {what}.", hint="Name another file with --junit."
        )


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("?", text)
