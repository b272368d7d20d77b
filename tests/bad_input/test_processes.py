"""The command as users and scripts meet it: a process, with its exit code, its streams and its signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import resources
from tests.bad_input.conftest import listing

INVALID, INTERRUPTED, TERMINATED = 3, 130, 143
SECONDS = 120

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(work: Path, tmp_path: Path) -> Start:
    """`start(arguments, NAME="value")` starts mcu-sdk in `work` with these environment variables added."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def popen(arguments: list[str], **environment: str) -> subprocess.Popen[bytes]:
        settings = {"PYTHONPATH": str(resources.PACKAGE.parent), "TMPDIR": str(temporary)}
        return subprocess.Popen(
            [sys.executable, "-m", "mcu_sdk.cli", *arguments],
            cwd=work,
            env={**os.environ, **settings, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return popen


def end(process: subprocess.Popen[bytes], tmp_path: Path, before: dict[str, str]) -> tuple[int, str]:
    """The exit code and the one paragraph; nothing on standard output, and nothing left behind."""
    out, err = process.communicate(timeout=SECONDS)
    text = err.decode("utf-8", "strict")
    assert out == b"" and "Traceback" not in text and "defect in mcu-sdk" not in text, text
    assert listing(tmp_path) == before
    return process.returncode, text


def test_a_refusal(start: Start, tmp_path: Path) -> None:
    before = listing(tmp_path)
    code, text = end(start(["generate", "--board=no-such-board"]), tmp_path, before)
    assert code == INVALID and text.startswith("error: ") and text.count("\n") == 1


@pytest.mark.parametrize("option", ["--board=日本", "--pte=Größe\udcff.pte"])
def test_a_terminal_without_letters_of_the_name(option: str, start: Start, tmp_path: Path) -> None:
    """Names that the terminal's encoding cannot write are no reason to stumble over the message."""
    before = listing(tmp_path)
    plain = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    board = [] if option.startswith("--board") else ["--board=host"]
    code, text = end(start(["--quiet", "generate", *board, option], **plain), tmp_path, before)
    assert code == INVALID and text.startswith("error: ") and text.count("\n") == 1 and text.isascii()


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)], ids=["INT", "TERM"]
)
def test_a_signal_ends_it_at_once(number: int, expected: int, start: Start, tmp_path: Path) -> None:
    """A .pte that is a pipe: whoever opens the other end knows that the command has begun to read it, and waits."""
    pipe = tmp_path / "model.pte"
    os.mkfifo(pipe)
    before = listing(tmp_path)
    process = start(["--quiet", "generate", "--board=host", f"--pte={pipe}", "--output=project"])
    with pipe.open("wb"):
        process.send_signal(number)
        code, text = end(process, tmp_path, before)
    assert code == expected
    assert text == ("error: Interrupted.\n" if number == signal.SIGINT else "")


FILES_WRITTEN_FIRST = 5

INTERRUPTED_WHILE_WRITING = f"""
import os, signal, sys
from pathlib import Path
from mcu_sdk import cli
from mcu_sdk.project import render

write, left = render._write, {FILES_WRITTEN_FIRST}

def killed(path, data):
    global left
    left -= 1
    write(path, data)
    if left == 0:
        Path(os.environ["SEEN"]).write_text(str(path))
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))

render._write = killed
cli.main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)], ids=["INT", "TERM"]
)
def test_a_signal_while_files_are_written(
    number: int, expected: int, project: Path, work: Path, tmp_path: Path
) -> None:
    """The folder beside the project that was begun is gone."""
    seen = tmp_path / "seen"
    seen.touch()
    pte = project / "model" / "model.pte"
    command = ["--quiet", "generate", "--board=host", f"--pte={pte}", "--output=project"]
    finished = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_WRITING, *command],
        cwd=work,
        env={
            **os.environ,
            "PYTHONPATH": str(resources.PACKAGE.parent),
            "SEEN": str(seen),
            "SIGNAL": str(int(number)),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert finished.returncode == expected, finished.stderr
    assert seen.read_text().startswith(str(work))  # it was being written, in there
    assert finished.stdout == b"" and b"Traceback" not in finished.stderr
    assert not list(work.iterdir())
