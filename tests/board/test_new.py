"""A board's folder of one's own: what is copied, what is refused, and the guide, command by command."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.board import new
from mcu_sdk.board.board import board_names, load_board
from mcu_sdk.board.new import new_board

ROOT = Path(__file__).parents[2]
PTE = ROOT / "tests" / "fixtures" / "executorch-1.4.1" / "decoder-rows.pte"
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("source", [name for name in board_names() if name != "host"])
def test_a_copy_is_the_board_under_another_name(source: str, tmp_path: Path) -> None:
    folder = new_board("my-board", source, tmp_path / "deep" / "my-board")
    board, original = load_board(folder), load_board(source)
    assert original.folder is not None and original.uart is not None
    same = {"name", "folder"}
    assert board.name == "my-board" and board.model_dump(exclude=same) == original.model_dump(exclude=same)
    text, before = ((f / "board.toml").read_text() for f in (folder, original.folder))
    assert text.startswith("#:schema ./board.schema.json\n")
    changed = set(text.splitlines()) ^ set(before.splitlines())
    assert len(changed) == 3 and "name" in "".join(changed)  # the two names, and the schema's line
    assert f"uart_{original.uart.driver}.cpp" in board.sources
    assert (folder / "board.cpp").is_file() == (original.folder / "board.cpp").is_file()
    again = new_board("another", str(folder), tmp_path / "another")
    assert (again / "board.toml").read_text().count("#:schema") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["new"], 2, "needs a name"),
        (["new", "x"], 2, "needs a name"),
        (["new", "My Board", "--from", "corstone-300"], 2, "a-z, 0-9"),
        (["new", "../x", "--from", "corstone-300"], 2, "a-z, 0-9"),
        (["new", "mps2-an386", "--from", "corstone-300"], 2, "comes with mcu-sdk"),
        (["new", "x", "--from", "nothing"], 3, "no board 'nothing'"),
        (["new", "x", "--from", "host"], 3, "no board with memories"),
        (["new", "x", "--from", "corstone-300", "--out", "full"], 2, "there and not empty"),
        (["new", "x", "--from", "corstone-300", "--out", "file"], 2, "there and not empty"),
        (["new", "x", "--from", "corstone-300", "--out", "file/y"], 2, "cannot be written"),
        (["corstone-300", "--from", "host"], 2, "for `boards new`"),
        (["corstone-300", "x"], 2, "for `boards new`"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full", "x").touch()
    Path("file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert cli.run(["boards", *arguments]) == code
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("copied", [0, 1, 2])
def test_ctrl_c_leaves_no_folder(copied: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor those above it that were made for it."""
    calls = iter(range(9))

    def interrupted(source: Path, target: Path) -> None:
        if next(calls) == copied:
            raise KeyboardInterrupt
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(new.shutil, "copyfile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new.new_board("x", "nrf52840-dk", tmp_path / "deep" / "down" / "x")
    assert not list(tmp_path.iterdir())


def commands_of_the_guide() -> list[list[str]]:
    text = (ROOT / "docs" / "adding-a-board.md").read_text(encoding="utf-8")
    return [shlex.split(line) for line in re.findall(r"^    mcu-sdk (.*)$", text, re.MULTILINE)]


def test_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Each command of it as it stands; but that a small model stands for the bundled one. Between its two halves the
    board is changed, as it tells."""
    monkeypatch.chdir(tmp_path)
    commands = commands_of_the_guide()
    assert [words[0] for words in commands] == ["boards", "boards", "generate", "verify", "generate", "build"]
    for number, words in enumerate(commands):
        if number == 4:
            change_the_board(tmp_path / "my-board")
            assert cli.run(["regenerate", "firmware"]) == 2
            assert "the board 'my-board'" in capsys.readouterr().err
        small = ["--pte", str(PTE)] if words[0] == "generate" else []
        small += ["--no-python"] if words[0] == "verify" else []
        assert cli.run([*words, *small]) == 0, words
    built = (tmp_path / "firmware" / "sdk" / "platform" / "uart_stm32f4.cpp").read_text()
    assert "// mine" in built
    assert cli.run(["run", "firmware", "--tokens", "1", "--json"]) == 0  # its folder is remembered
    out = capsys.readouterr().out
    assert json.loads(out[out.rindex("\n{\n") :])["board"] == "my-board"
    assert cli.run(["regenerate", "firmware"]) == 0


def change_the_board(folder: Path) -> None:
    toml = folder / "board.toml"
    text = toml.read_text()
    changed = re.sub(r"^description = .*$", 'description = "Mine"', text, flags=re.MULTILINE)
    assert changed != text
    toml.write_text(changed)
    driver = folder / "uart_stm32f4.cpp"
    driver.write_text(driver.read_text() + "// mine\n")
