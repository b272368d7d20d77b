"""The lint of firmware/ reads it with a model of its own, which has to have all that templates ask for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_lint_s_model_has_what_its_templates_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location("check_firmware", ROOT / "tools" / "check_firmware.py")
    assert spec is not None and spec.loader is not None
    check_firmware = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_firmware)
    check_firmware.write_model_header(tmp_path)
    assert "kEncoderTensors = 2" in (tmp_path / "model" / "model.h").read_text()
