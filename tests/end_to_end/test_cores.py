"""The bundled model on cores without Helium: QEMU's Cortex-M4, M7 and M33 give the bits of the host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.project.elf import uses_helium


@pytest.mark.slow
@pytest.mark.parametrize("board", ["mps2-an386", "mps2-an500", "mps2-an505"])
def test_the_bundled_model(board: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "firmware"
    arguments = ["--board", board, "--max-cache-len", "64", "--output", str(project)]
    assert cli.run(["generate", *arguments]) == 0
    capfd.readouterr()
    assert cli.run(["verify", str(project), "--prompt", "ROMEO:", "--tokens", "40", "--json"]) == 0
    verdict = json.loads(capfd.readouterr().out)
    assert verdict["verdict"] == "ok"
    assert len(verdict["checks"]) == 3 and all(check["ok"] for check in verdict["checks"])
    assert not uses_helium(project / "build" / "release" / "firmware.elf")
