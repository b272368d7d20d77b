"""The bundled model on cores without Helium: QEMU's Cortex-M4, M7 and M33 give the bits of the host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcu_sdk import cli, resources
from mcu_sdk.board.board import load_board
from mcu_sdk.project.elf import uses_helium


@pytest.mark.slow
@pytest.mark.parametrize("board", ["mps2-an386", "mps2-an500", "mps2-an505"])
def test_the_bundled_model(board: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundled_model(board, tmp_path / "firmware", capfd)


@pytest.mark.slow
@pytest.mark.parametrize("board", ["corstone-300", "mps2-an386"])
def test_the_bundled_model_with_clang(board: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (resources.boards() / board / "board.toml").read_text()
    (tmp_path / "board.toml").write_text(f'toolchain = "clang"\n{text}')
    bundled_model(str(tmp_path), tmp_path / "firmware", capfd)


def bundled_model(board: str, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Generate it for a board, and verify."""
    arguments = ["--board", board, "--max-cache-len", "64", "--output", str(project)]
    assert cli.run(["generate", *arguments]) == 0
    capfd.readouterr()
    assert (
        cli.run(["verify", str(project), "--prompt", "ROMEO:", "--tokens", "40", "--board", board, "--json"])
        == 0
    )
    verdict = json.loads(capfd.readouterr().out)
    assert verdict["verdict"] == "ok"
    assert all(check["ok"] for check in verdict["checks"])
    assert len(verdict["checks"]) == 4  # the device, both forms of the host, PyTorch, the checkpoint
    assert load_board(board).core.helium is uses_helium(project / "build" / "release" / "firmware.elf")
