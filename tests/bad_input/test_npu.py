"""Delegates that are damaged or for another NPU, and targets, memories and tools that do not fit them."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli, resources
from mcu_sdk.npu import weight_decoder
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.stream import read_stream
from tests.npu.programs import lowered_program, place

Refused = Callable[..., str]

USAGE, INVALID, MISSING, TOO_LARGE, FAILED = 2, 3, 4, 5, 7
SET_WEIGHT_BASE = 0x20


@pytest.fixture(scope="session")
def program(shared_folder: Path) -> Path:
    """A valid .pte with one delegate for the ethos-u55-128."""
    return lowered_program(shared_folder, "ethos-u55-128")


def generate(pte: Path, *more: str, board: str = "corstone-300") -> list[str]:
    return ["generate", f"--board={board}", f"--pte={pte}", *more]


@pytest.fixture
def spoiled(program: Path, tmp_path: Path) -> Callable[..., Path]:
    """`spoiled(at, data)`: the program with `data` at the byte `at`."""

    def change(at: int, data: bytes) -> Path:
        content = bytearray(program.read_bytes())
        content[at : at + len(data)] = data
        path = tmp_path / "spoiled.pte"
        path.write_bytes(content)
        return path

    return change


def little(value: int) -> bytes:
    return value.to_bytes(4, "little")


@pytest.mark.parametrize("part", ["fourcc", "configuration", "action", "length", "name", "block", "zeros"])
def test_a_corrupt_delegate(part: str, program: Path, spoiled: Callable[..., Path], refused: Refused) -> None:
    where = place(program.read_bytes())
    at, data = {
        "fourcc": (where.commands, b"COP2"),
        "configuration": (where.commands + 8, little(7 << 28)),
        "action": (where.commands + 4, little(9)),
        "length": (where.stream - 4, little(2 | 0xFFFF << 16)),
        "name": (where.blob, b"vela_bin_steam\0"),
        "block": (where.commands - 16, little(1 << 30)),  # the length of cmd_data
        "zeros": (where.commands - 12, b"\1"),  # where ExecuTorch 1.5 says that a block's data lie elsewhere
    }[part]
    refused(
        generate(spoiled(at, data)), INVALID, "Ethos-U", "lies elsewhere" if part == "zeros" else "corrupt"
    )


def test_a_truncated_program(program: Path, tmp_path: Path, refused: Refused) -> None:
    data = program.read_bytes()
    where = place(data)
    for length in range(where.blob, where.blob + where.blob_size, 211):
        (tmp_path / "short.pte").write_bytes(data[:length])
        refused(generate(tmp_path / "short.pte"), INVALID)


@pytest.mark.slow
def test_bytes_of_the_delegate_that_are_something_else(program: Path, tmp_path: Path) -> None:
    """Whatever it becomes: a project or a refusal, never a defect. (Weights may be anything.) `make fuzz` tries more."""
    data = program.read_bytes()
    where = place(data)
    rng = random.Random(5)
    codes = set()
    for number in range(16):
        content = bytearray(data)
        content[where.blob + rng.randrange(where.stream - where.blob + 400)] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{number}.pte"
        path.write_bytes(content)
        codes.add(cli.run(["--quiet", *generate(path, f"--output={tmp_path / str(number)}")]))
    assert codes == {0, INVALID}


@pytest.mark.parametrize("target", ["ethos-u55-256", "ethos-u55-32", "ethos-u65-256"])
def test_a_stream_for_another_npu(target: str, program: Path, refused: Refused) -> None:
    refused(generate(program, f"--target={target}"), INVALID, "compiled for ethos-u55-128", target)


@pytest.mark.parametrize("target", ["ethos-u85-256", "ethos-u55-48", "cortex-m4"])
def test_a_target_that_the_board_does_not_have(target: str, program: Path, refused: Refused) -> None:
    refused(generate(program, f"--target={target}"), INVALID, f"no target '{target}'", "ethos-u55-128")


def test_a_board_with_another_npu(program: Path, refused: Refused) -> None:
    refused(generate(program, board="corstone-320"), INVALID, "ethos-u55-128", "corstone-320", "ethos-u85")


def test_a_memory_mode_that_is_unknown(program: Path, refused: Refused) -> None:
    target = "--target=ethos-u55-128"
    refused(generate(program, target, "--memory-mode=Fast"), INVALID, "memory mode 'Fast'", "Shared_Sram")


def test_a_memory_mode_for_a_processor(program: Path, refused: Refused) -> None:
    refused(
        generate(program, "--target=cortex-m55", "--memory-mode=Shared_Sram"),
        USAGE,
        "memory mode",
        "processor",
    )


def test_a_scratch_that_does_not_fit(program: Path, tmp_path: Path, refused: Refused) -> None:
    """A board whose NPU reaches 64 bytes of SRAM."""
    text = (resources.boards() / "corstone-300" / "board.toml").read_text()
    text = text.replace(
        'name = "isram"\norigin = 0x2100_0000\nsize = "4M"', 'name = "isram"\norigin = 0x2100_0000\nsize = 64'
    )
    text = text.replace('arena = ["isram", "sram", "ddr"]', 'arena = ["isram"]')
    assert "size = 64" in text and 'arena = ["isram"]' in text
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "board.toml").write_text(text)
    refused(generate(program, board=str(tmp_path / "small")), TOO_LARGE, "isram")


@pytest.mark.parametrize("simulator", ["host", pytest.param("qemu", marks=pytest.mark.slow)])
def test_simulating_without_vela(
    simulator: str,
    program: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The run ends with the line that installs it."""
    folder = tmp_path / "project"
    assert cli.run(["--quiet", *generate(program, f"--output={folder}")]) == 0
    weight_decoder.shared.close()  # another test's
    monkeypatch.setitem(sys.modules, "ethosu", None)
    monkeypatch.delitem(sys.modules, "ethosu.mlw_codec", raising=False)
    capfd.readouterr()
    assert cli.run(["--quiet", "run", str(folder), f"--simulator={simulator}"]) == MISSING
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: Simulating an Ethos-U needs ethos-u-vela")
    assert "pip install" in err and err.count("\n") == 1


@pytest.mark.slow
def test_weights_that_are_corrupt(
    program: Path, spoiled: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Vela's codec ends its process on them; the command says what it was, and ends as for any failed run."""
    data = program.read_bytes()
    where = place(data)
    blob = read_blob(data[where.blob : where.blob + where.blob_size])
    first = next(c for c in read_stream(blob.commands).commands if c.opcode == SET_WEIGHT_BASE).payload or 0
    folder = tmp_path / "project"
    zeros = spoiled(where.blob + blob.weights_offset + first, bytes(len(blob.weights) - first))
    assert cli.run(["--quiet", *generate(zeros, f"--output={folder}")]) == 0
    capfd.readouterr()
    assert cli.run(["--quiet", "run", str(folder)]) == FAILED
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "NPU_OP_CONV: the weight stream of" in err and "is corrupt" in err
