"""`run`, `verify` and `monitor` hold conversations; what is no conversation is refused before anything is built."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.project.build import build
from tests.commands.test_real_data import read_until
from tests.model.chat.templates import CHATML
from tests.project.conftest import make_talker
from tests.project.talker import Talker
from tests.project.test_monitor import PATIENT, waiting_in_qemu

Capture = pytest.CaptureFixture[str]
TURNS = ["how far is the lamp?", "the end"]


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Talker:
    return make_talker(tmp_path_factory.mktemp("talker"))


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("turns") / "turns.txt"
    file.write_text("\n".join(TURNS) + "\n")
    return file


def answers(talker: Talker, capsys: Capture, *arguments: str) -> list[dict]:
    capsys.readouterr()
    code = cli.run(["run", str(talker.project), "--simulator", "host", "--tokens", "5", "--json", *arguments])
    assert code == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)["answers"]


@pytest.mark.slow
def test_a_conversation_from_a_file_and_from_standard_input(
    talker: Talker, turns: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = answers(talker, capsys, "--chat", "--prompts", str(turns))
    assert [answer["prompt"] for answer in found] == TURNS
    assert found[1]["position"] > found[0]["position"] and found[0]["left"] > found[1]["left"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(turns.read_bytes())))
    assert answers(talker, capsys, "--chat") == found
    (one,) = answers(talker, capsys, "--chat", "--prompt", TURNS[0])
    assert one == found[0]
    (other,) = answers(talker, capsys, "--chat", "--prompt", TURNS[0], "--system", "Be a lamp.")
    assert other["prompt_ids"] != one["prompt_ids"]
    assert (
        cli.run(
            [
                "run",
                str(talker.project),
                "--simulator",
                "host",
                "--tokens",
                "2",
                "--chat",
                "--prompts",
                str(turns),
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert f"> {TURNS[0]}\n" in shown and "room left" in shown


@pytest.mark.slow
def test_a_turn_without_room_is_the_exit_code(talker: Talker, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "turns.txt"
    file.write_text(f"{TURNS[0]}\n{'lamp ' * 130}\n{TURNS[1]}\n")
    command = ["run", str(talker.project), "--chat", "--prompts", str(file), "--tokens", "2"]
    assert cli.run([*command, "--simulator", "host"]) == 2
    err = capsys.readouterr().err
    assert "1 of 3 prompts were refused; the first is number 2" in err and "left=" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--chat", "--ids", "1"], "--chat and --ids exclude each other"),
        (["--chat", "--profile"], "exclude each other"),
        (["--chat", "--markdown"], "exclude each other"),
        (["--system", "x"], "Add --chat"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], words: str, tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["run", str(tmp_path), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_verify_needs_turns(tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["verify", str(tmp_path), "--chat"]) == 2
    assert "A conversation has turns" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_without_a_template_holds_none(tensor_project: Path, capsys: Capture) -> None:
    for verb in (["run"], ["verify", "--prompt", "a"], ["monitor", "--port", "/dev/null"]):
        assert cli.run([verb[0], str(tensor_project), "--chat", *verb[1:]]) == 2
        assert "holds no conversations" in capsys.readouterr().err
    assert cli.run(["monitor", "--port", "/dev/null", "--chat"]) == 2
    assert "need the project" in capsys.readouterr().err


@pytest.mark.slow
def test_generate_chat_says_why_there_can_be_none(
    checkpoint: Callable[[str], Path], tmp_path: Path, capsys: Capture
) -> None:
    import shutil

    from tests.checkpoints import small_tokenizer

    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint("llama-odd"), folder)
    small_tokenizer(folder / "tokenizer.json")
    command = ["generate", "--board", "corstone-300", "--model", str(folder), "--output", str(tmp_path / "p")]
    assert cli.run([*command, "--chat"]) == 3
    assert "there is none beside the tokenizer.json" in capsys.readouterr().err
    (folder / "chat_template.jinja").write_text("{{ strftime_now('%d') }}" + CHATML)
    for option in (["--chat"], ["--system", "x"], ["--store-system-cache"]):
        assert cli.run([*command, *option]) == 3
        assert "chat_template.jinja writes the date" in capsys.readouterr().err
    assert cli.run([*command, "--chat", "--format", "library"]) == 2
    assert "are for a firmware" in capsys.readouterr().err


@pytest.mark.slow
def test_a_conversation_on_a_terminal(talker: Talker, turns: Path, capsys: Capture) -> None:
    """A turn without room ends nothing, "@new" begins another conversation, Ctrl-D ends."""
    found = answers(talker, capsys, "--chat", "--prompts", str(turns))
    terminal, theirs = pty.openpty()
    program = "import sys; from mcu_sdk.cli import main; main()"
    options = ["--chat", "--tokens", "5", "--simulator", "host"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "run", str(talker.project), *options],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(theirs)
    try:
        said = read_until(terminal, b"> ")
        for line in (TURNS[0], "lamp " * 130, TURNS[1], "@new", *TURNS):
            os.write(terminal, line.encode() + b"\n")
            said += read_until(terminal, b"> ")
        os.write(terminal, b"\x04")
        with contextlib.suppress(OSError):  # the end of what a process says on a terminal
            while piece := os.read(terminal, 4096):
                said += piece
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert b"@new begins a new conversation, Ctrl-D ends." in said
    assert found[1]["digest"].encode() in said
    assert said.decode().count(found[0]["text"].strip("\n")) >= 2


@pytest.fixture
def port(talker: Talker) -> Iterator[str]:
    with waiting_in_qemu(build(talker.project).program) as found:
        yield found


@pytest.mark.slow
def test_monitor_holds_a_conversation(talker: Talker, port: str, turns: Path, capsys: Capture) -> None:
    found = answers(talker, capsys, "--chat", "--prompts", str(turns))
    command = [sys.executable, "-c", PATIENT, "monitor", str(talker.project), "--port", port]
    lines = [*TURNS, "@new", *TURNS]
    done = subprocess.run(
        [*command, "--chat", "--tokens", "5", "--json"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    facts = [json.loads(line)["facts"] for line in done.stdout.splitlines()]
    assert [fact["digest"] for fact in facts] == [answer["digest"] for answer in found] * 2
