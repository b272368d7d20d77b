"""Two versions of Vela side by side: what is counted, and what is said of what went wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import compare_vela as compare

from mcu_sdk.board.npu_target import default_target

VERSIONS = ("5.1.0", "5.2.0")
FINE = compare.Outcome(0, commands=100, weights=2_000, scratch=300, vela=1_000, ours=1_100)
FASTER = compare.Outcome(0, commands=90, weights=2_000, scratch=300, vela=800, ours=990)
WRONG = compare.Outcome(7, commands=90, weights=2_000, scratch=300, vela=800, ours=990)
FAILED = compare.Outcome(failed="RuntimeError: no such operator")


def test_sums_are_of_what_both_compiled() -> None:
    u55 = "ethos-u55-128"
    found = {("a", u55): [FINE, FASTER], ("b", u55): [FINE, WRONG], ("c", u55): [FINE, FAILED]}
    first, second = compare.totals(found, VERSIONS)
    assert first == ("5.1.0", "3", "3", "0", "200", "4,000", "600", "2,000", "2,200")
    assert second == ("5.2.0", "2", "1", "1", "180", "4,000", "600", "1,600", "1,980")


def test_the_page_names_what_is_wrong() -> None:
    cases = {("a", "ethos-u55-128"): [FINE, WRONG], ("b", "ethos-u85-256"): [FAILED, FASTER]}
    projects = {("bundled", "ethos-u55-128"): [FINE, FASTER]}
    known = {("slice", "ethos-u55-128"): [WRONG, FINE]}
    page = compare.page(cases, projects, known, VERSIONS, "5.2.0")
    assert "- 5.2.0, a on ethos-u55-128: 7 elements differ" in page
    assert "- 5.1.0, b on ethos-u85-256: RuntimeError: no such operator" in page
    assert "| bundled | ethos-u55-128 | 5.2.0 | 0 | 90 | 2,000 | 300 | 800 | 990 |" in page
    assert "| slice on ethos-u55-128 | 7 | 0 |" in page
    assert "over 2 % fewer cycles in 1 cases" in page and "a (ethos-u55-128) -10%" in page


def test_a_projects_delegates_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    target = default_target("ethos-u55-128")
    wanted = [compare.Graph("p", b"first", target), compare.Graph("p", b"second", target)]
    given = iter([FINE, FASTER, FINE, WRONG])
    monkeypatch.setattr(compare, "judge", lambda graph, compiler: next(given))
    compilers = [compare.Compiler(number, None) for number in VERSIONS]
    ((name, outcomes),) = compare.measure(wanted, compilers).items()
    assert name == ("p", "ethos-u55-128")
    assert outcomes[0] == compare.Outcome(0, 200, 4_000, 300, 2_000, 2_200)
    assert outcomes[1] == compare.Outcome(7, 180, 4_000, 300, 1_600, 1_980)
