"""`verify` against PyTorch: a plan that device and host follow alike is still caught when it is wrong."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli


def test_a_plan_that_is_only_consistent_is_caught(
    checkpoint: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    arguments = [
        "--model",
        str(checkpoint("llama-gqa-untied")),
        "--max-cache-len",
        "32",
        "--out",
        str(project),
    ]
    assert cli.run(["generate", *arguments]) == 0
    capsys.readouterr()
    verify = ["verify", str(project), "--ids", "1,2,3", "--tokens", "6", "--json"]
    assert cli.run(verify) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check["ok"] for check in checks] == [True, True, True, True]
    assert checks[1]["detail"] == "equal in every output, 8 steps"

    # The last norm's weights taken from another place: the same wrong numbers on every target.
    # In a folder of its own: this process has the library of the first one loaded.
    other = tmp_path / "other"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("build"))
    plan = other / "model" / "plan.cpp"
    text = plan.read_text()
    call = list(re.finditer(r"mcu_rms_norm\([^;]*?weights<float>\((\d+)\)", text))[-1]
    spoiled = text[: call.start(1)] + str(int(call[1]) - 16) + text[call.end(1) :]
    plan.write_text(spoiled)
    assert cli.run(["verify", str(other), *verify[2:]]) == 7
    told = capsys.readouterr()
    checks = json.loads(told.out)["checks"]
    assert checks[0]["ok"] and not checks[1]["ok"] and len(checks) == 4
    assert "the first step that differs is step 1" in told.err
