"""`mcu-sdk npu disassemble` on each kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcu_sdk import cli
from tests.npu.assembly import STOP, command
from tests.npu.blobs import command_block, vela_blob

COMMANDS = command_block([*command("SET_IFM_REGION", 1), *command("SET_IFM_BASE0", 64), STOP])


@pytest.mark.parametrize("content", [COMMANDS, vela_blob(COMMANDS)], ids=["commands", "blob"])
def test_text(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert cli.run(["npu", "disassemble", str(path)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "a.bin: ethos-u55-128, architecture 1.0.6"
    assert [line.split() for line in lines] == [
        ["0", "SET_IFM_REGION", "region=1"],
        ["1", "SET_IFM_BASE0", "address=0x40"],
        ["3", "OP_STOP", "mask=65535"],
    ]


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(vela_blob(COMMANDS))
    assert cli.run(["npu", "disassemble", str(path), "--json"]) == 0
    (delegate,) = json.loads(capsys.readouterr().out)
    assert delegate["accelerator"] == "ethos-u55-128"
    assert delegate["commands"][1] == {
        "index": 1,
        "name": "SET_IFM_BASE0",
        "fields": {"address": 64},
        "known": True,
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (COMMANDS[:-4], "the stream should have 4 words"),
        (vela_blob(COMMANDS)[:-60], "The Ethos-U blob is corrupt"),
        (b"nothing", "error:"),
    ],
)
def test_corrupt_files(content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert cli.run(["npu", "disassemble", str(path)]) == 3
    assert says in capsys.readouterr().err


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["npu", "disassemble", str(tmp_path / "none.pte")]) == 3
    assert "none.pte" in capsys.readouterr().err
