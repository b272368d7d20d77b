"""200 damaged inputs, and that the tool sees what is wrong (`make fuzz` runs thousands: docs/fuzz.md)."""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from mcu_sdk.console import set_quiet
from tools import fuzz
from tools.fuzz_cases import CASES, Damage, Seeds, make_seeds
from tools.mutations import damaged, damaged_json, damaged_lines

SEED, COUNT, PARTS = 20, 200, 4


@pytest.fixture(autouse=True)
def _loud() -> Iterator[None]:
    yield
    set_quiet(False)


@pytest.fixture(scope="module")
def seeds(shared_folder: Path) -> Seeds:
    """Valid inputs for the quick cases, once for all workers."""
    with (shared_folder / "fuzz.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return make_seeds(shared_folder / "fuzz-seeds", with_checkpoint=False)


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_inputs_are_refused_or_used(part: int, seeds: Seeds, tmp_path: Path) -> None:
    indices = range(part, COUNT, PARTS)
    results = [fuzz.run_case(i, SEED, seeds, tmp_path / "case", quick=True) for i in indices]
    assert [r for r in results if r.fault] == []
    assert len({r.verb for r in results}) >= 6 and {r.code for r in results} >= {0, 2, 3}


def test_every_verb_that_reads_a_file_is_fuzzed() -> None:
    from mcu_sdk.cli import VERBS

    assert {case.verb for case in CASES} == VERBS.keys() - {"doctor"}
    assert sum(case.weight for case in CASES) >= 500


# ---- the tool itself


def spoiled(monkeypatch: pytest.MonkeyPatch, seeds: Seeds, tmp_path: Path, program: str) -> fuzz.Result:
    """The result of a case whose command is a Python program."""

    def prepare(seeds: Seeds, work: Path, draw: Random) -> object:
        return lambda: exec(program, {"sys": sys, "work": work}) or 3

    case = replace(CASES[0], prepare=prepare)
    monkeypatch.setattr(fuzz, "case_of", lambda index, quick=False: case)
    return fuzz.run_case(0, SEED, seeds, tmp_path / "case")


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("print('error: it was refused.', file=sys.stderr)", ""),
        ("raise KeyError('x')", "KeyError left the command line"),
        ("print('error: x. This is a defect in mcu-sdk', file=sys.stderr)", "a traceback"),
        ("print('warning: x\\nerror: y', file=sys.stderr)", "no paragraph"),
        ("print('error: x\\nand more', file=sys.stderr)", "2 lines instead of one paragraph"),
        (
            "print('error: x', file=sys.stderr); (work / 'out').mkdir(); (work / 'out/a').touch()",
            "half written",
        ),
        ("print('error: x', file=sys.stderr); (work / 'tmp/a').touch()", "left in the temporary folder"),
        ("raise SystemExit(9)", "SystemExit left"),
    ],
)
def test_what_is_wrong_is_seen(
    monkeypatch: pytest.MonkeyPatch, seeds: Seeds, tmp_path: Path, program: str, fault: str
) -> None:
    found = spoiled(monkeypatch, seeds, tmp_path, program)
    assert found.fault.startswith(fault) and bool(found.fault) == bool(fault)


def test_the_same_number_is_the_same_case(seeds: Seeds, tmp_path: Path) -> None:
    first, second = (fuzz.run_case(3, SEED, seeds, tmp_path / name, quick=True) for name in "ab")
    assert first == second
    kept = [
        sorted(p.read_bytes() for p in (tmp_path / n / "work/in").rglob("*") if p.is_file()) for n in "ab"
    ]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("damage", [damaged, damaged_json, damaged_lines])
def test_damage_is_drawn_and_changes_something(damage: Damage) -> None:
    data = json.dumps({"a": [1, 2, {"b": "text"}], "c": None}, indent=1).encode()
    made = {damage(data, Random(seed)) for seed in range(100)}
    assert len(made) > 50 and damage(data, Random(1)) == damage(data, Random(1))


def test_results_are_kept_and_not_run_again(
    seeds: Seeds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "1.jsonl"
    kept = [fuzz.Result(i, "inspect", "model.pte", 3) for i in range(3)]
    log.write_text("".join(json.dumps(vars(r)) + "\n" for r in kept))
    monkeypatch.setattr(fuzz, "start_worker", lambda seed, seeds, queue: pytest.fail("it ran"))
    assert fuzz.run_all(1, 3, 2, seeds, log) == kept
    assert "| inspect | model.pte | 3 | 3 | 0 |" in fuzz.table(kept)
