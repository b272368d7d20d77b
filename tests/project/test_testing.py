"""`mcu-sdk test` on the tiny project: what is committed, what fails, and in which form it is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mcu_sdk import cli
from mcu_sdk.board.board import load_board
from mcu_sdk.project import junit, runners, testing
from mcu_sdk.project.committed import ANSWERS, BASELINE
from mcu_sdk.project.findings import Findings, Row, change

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def written(tiny_project: Path) -> dict[str, str]:
    """What `--update` writes, by path, on a project that nothing was committed of."""
    assert cli.run(["-q", "test", str(tiny_project), "--update"]) == 0
    found = {name: (tiny_project / name).read_text() for name in (ANSWERS, BASELINE)}
    shutil.rmtree(tiny_project / "tests")
    return found


@pytest.fixture
def project(tiny_project: Path, written: dict[str, str]) -> Iterator[Path]:
    """The tiny project with what `--update` writes; a test may spoil it."""
    (tiny_project / "tests").mkdir()
    for name, text in written.items():
        (tiny_project / name).write_text(text)
    yield tiny_project
    shutil.rmtree(tiny_project / "tests", ignore_errors=True)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_was_written_is_found_again(project: Path, capsys: Capture) -> None:
    assert cli.run(["test", str(project), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and found["target"] == "qemu" and found["board"] == "corstone-300"
    rows = {row["name"]: row for row in found["tests"]}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert sum(name.startswith("answer") and "digest" in rows[name]["detail"] for name in rows) == 2
    measured = {"flash bytes", "ram bytes", "region dtcm bytes", "stack used bytes", "stack bound bytes", "arena bytes",
                "kv cache bytes", "answer 1 instructions total", "answer 2 instructions last"}  # fmt: skip
    assert measured <= rows.keys() and all(rows[name]["found"] == rows[name]["baseline"] for name in measured)


def test_the_table_shows_each_check(project: Path, capsys: Capture) -> None:
    assert cli.run(["test", str(project)]) == 0
    out = capsys.readouterr().out
    assert out.count("✓") == len(json.loads((project / BASELINE).read_text())["measures"]) + 2
    assert "✗" not in out and "no change" in out


def test_a_figure_above_its_baseline_fails(project: Path, tmp_path: Path, capsys: Capture) -> None:
    """1 percent is allowed; less than the baseline is always right."""

    def spoil(content: Any) -> None:
        for name, factor in (("flash_bytes", 0.98), ("ram_bytes", 0.995), ("stack_used_bytes", 3)):
            content["measures"][name] = int(content["measures"][name] * factor)
        del content["measures"]["arena_bytes"]
        content["measures"]["answer_9_instructions_total"] = 5

    edit(project / BASELINE, spoil)
    report = tmp_path / "report.xml"
    assert cli.run(["-q", "test", str(project), "--junit", str(report)]) == 7
    out, err = capsys.readouterr()
    assert out.count("✗") == 1 and err.startswith("error: 1 of ") and "flash bytes: " in err
    suite = ElementTree.parse(report).getroot()[0]
    cases = {case.get("name"): case for case in suite}
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "0", "2")
    assert suite.get("tests") == str(len(cases))
    failure = cases["flash bytes"].find("failure")
    assert failure is not None and "more than 1 % above" in str(failure.get("message"))
    for name in ("arena bytes", "answer 9 instructions total"):
        assert cases[name].find("skipped") is not None


def test_the_owner_s_tolerance_counts_and_stays(project: Path) -> None:
    def spoil(content: Any) -> None:
        content["measures"]["flash_bytes"] = int(content["measures"]["flash_bytes"] * 0.98)
        content["tolerance_percent"] = 5

    edit(project / BASELINE, spoil)
    assert cli.run(["-q", "test", str(project)]) == 0
    assert cli.run(["-q", "test", str(project), "--update"]) == 0
    assert json.loads((project / BASELINE).read_text())["tolerance_percent"] == 5


def test_another_answer_fails_and_is_named(project: Path, capsys: Capture) -> None:
    edit(project / ANSWERS, lambda content: content["answers"][1].update(digest="00000000000000aa"))
    assert cli.run(["-q", "test", str(project)]) == 7
    out, err = capsys.readouterr()
    assert out.count("✗") == 1 and "answer 2: ids 1, 12 tokens, temperature 0.8, seed 1: digest " in err


@pytest.mark.slow
def test_questions_are_added_and_the_earlier_ones_stay(project: Path, written: dict[str, str]) -> None:
    assert cli.run(["-q", "test", str(project), "--update", "--ids", "1,2,3", "--tokens", "2"]) == 0
    before, now = (
        json.loads(text)["answers"] for text in (written[ANSWERS], (project / ANSWERS).read_text())
    )
    assert now[:2] == before and now[2]["request"] == {"ids": "1,2,3", "tokens": 2} and len(now) == 3
    assert cli.run(["-q", "test", str(project), "--update"]) == 0
    assert json.loads((project / ANSWERS).read_text())["answers"] == now


def test_another_baseline_is_shown_beside(project: Path, tmp_path: Path, capsys: Capture) -> None:
    """That of the branch that a change goes to: of whatever model."""
    before = json.loads((project / BASELINE).read_text())
    before["measures"]["flash_bytes"] -= 100
    before["model"] = "of another time"
    (tmp_path / "main.json").write_text(json.dumps(before))
    assert cli.run(["-q", "test", str(project), "--before", str(tmp_path / "main.json"), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| before | change |" in lines[2]
    assert any("flash bytes" in line and "+100, +" in line for line in lines)


def test_what_the_target_answers_otherwise_is_never_known(
    project: Path, written: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    real = testing.simulator_device

    def spoiled(*arguments: Any, **more: Any) -> Any:
        device = real(*arguments, **more)

        def answer(request: Any) -> Any:
            transcript = device(request)
            return replace(transcript, facts={**transcript.facts, "digest": "0" * 16})

        return answer

    monkeypatch.setattr(testing, "simulator_device", spoiled)
    assert cli.run(["-q", "test", str(project), "--update"]) == 7
    assert "does not answer as this computer does" in capsys.readouterr().err
    assert {name: (project / name).read_text() for name in written} == written


@pytest.mark.parametrize(
    ("file", "spoil", "words"),
    [
        (BASELINE, {"model": "ab" * 32}, "is of the model abababababababab"),
        (ANSWERS, {"model": "ab" * 32}, "is of the model abababababababab"),
        (BASELINE, {"board": "mps2-an386"}, "baseline of the board 'mps2-an386'"),
        (BASELINE, {"measures": {"flash_bytes": "9"}}, "does not hold a baseline"),
        (BASELINE, {"tolerance_percent": -1}, "from 0 to 1000"),
        (ANSWERS, {"answers": []}, "does not hold known answers"),
        (ANSWERS, {"answers": [{"request": {"prompt": "x"}, "digest": ""}]}, "a request has prompt"),
        (ANSWERS, {"answers": [{"request": {}, "digest": ""}]}, "exactly one"),
        (ANSWERS, {"format": 9}, "its format is 9"),
    ],
)
def test_files_of_another_kind_are_named_before_anything_is_built(
    file: str,
    spoil: dict[str, Any],
    words: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setattr(runners, "build", None)
    edit(project / file, lambda content: content.update(spoil))
    assert cli.run(["test", str(project)]) == 2
    err = capsys.readouterr().err
    assert words in err and "--update" in err and str(project / file) in err


@pytest.mark.parametrize("file", [ANSWERS, BASELINE])
def test_a_file_that_is_missing_is_named(file: str, project: Path, capsys: Capture) -> None:
    (project / file).unlink()
    assert cli.run(["test", str(project)]) == 2
    assert f"There is no {project / file}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--ids", "1"], "Add --update"),
        (["--update", "--markdown"], "--update tests nothing"),
        (["--update", "--self-test"], "--update tests nothing"),
        (["--json", "--markdown"], "exclude each other"),
        (["--junit", "no/such/folder/report.xml"], "its folder does not exist"),
        (["--junit", "."], "it is a folder"),
        (["--junit", "/dev/null"], "it is a device or a pipe"),
        (["--update", "--ids", "99"], "0 to 15"),
        (["--before", "no/such/file"], "There is no no/such/file"),
        (["--simulator", "fvp", "--port", "/dev/null"], "exclude each other"),
    ],
)
def test_wrong_usage(more: list[str], words: str, project: Path, capsys: Capture) -> None:
    assert cli.run(["-q", "test", str(project), *more]) == 2
    assert words in capsys.readouterr().err


def test_a_run_that_fails_is_in_the_report_too(project: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert cli.run(["-q", "test", str(project), "--timeout", "0.001", "--junit", str(report)]) == 124
    suite = ElementTree.parse(report).getroot()[0]
    error = suite[0].find("error")
    assert suite.get("errors") == "1" and error is not None and "within 0.001 seconds" in str(error.text)


# ---- on a port


@contextmanager
def behind_a_port(command: list[str]) -> Iterator[str]:
    """A program whose console is at the other end of a serial port."""
    controller, port = os.openpty()
    tty.setraw(controller)
    tty.setraw(port)
    process = subprocess.Popen(command, stdin=controller, stdout=controller, start_new_session=True)
    try:
        yield os.ttyname(port)
    finally:
        process.kill()
        process.wait()
        os.close(controller)
        os.close(port)


def test_on_a_board_at_a_port(project: Path, capsys: Capture) -> None:
    elf = project / "build/release/firmware.elf"
    command = [
        part.replace("{elf}", str(elf)) for part in load_board("corstone-300").simulator["qemu"].command
    ]
    with behind_a_port(command) as port:
        assert cli.run(["test", str(project), "--port", port, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and found["target"] == port and {row["status"] for row in found["tests"]} == {"ok"}


@pytest.mark.parametrize("verb", ["test", "run", "verify"])
def test_a_board_with_another_build_is_refused(verb: str, project: Path, capsys: Capture) -> None:
    with behind_a_port([str(project / "build/host/firmware")]) as port:
        assert cli.run(["-q", verb, str(project), "--port", port]) == 7
    err = capsys.readouterr().err
    assert "expected to run build/release/firmware.elf" in err and "the same model, built from other" in err


# ---- how it is told


def test_changes_in_words() -> None:
    assert (change(100, 100), change(200, 201), change(0, 5)) == ("no change", "+1, +0.5 %", "+5")
    assert Row("x", "ok", found=1000, baseline=2000).text == "1,000 (baseline 2,000, -1,000, -50.0 %)"


def test_xml_takes_whatever_a_model_says() -> None:
    tested = Findings(
        "a<b", "board", "qemu", "ff", (Row('an "answer" \x00\x1b', "failed", "text <&>\ud800|\n2"),)
    )
    root = ElementTree.fromstring(junit.to_xml(tested.name, tested.to_junit()))
    failure = root[0][0][0]
    assert root[0][0].get("name") == 'an "answer" ??' and failure.get("message") == "text <&>?|"
    assert "text <&>?|\n2" in str(failure.text) and "\\|" in tested.to_markdown()
