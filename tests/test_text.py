"""How names and texts are laid out for a terminal."""

from __future__ import annotations

import os
import sys

import pytest

from mcu_sdk.text import folded, hanging


def test_a_name_is_folded_at_its_dots() -> None:
    name = "model.layers.*.self_attn.query_projection"
    lines = folded(name, 20).split("\n")
    assert "".join(lines) == name and max(map(len, lines)) <= 21
    assert lines == ["model.layers.*.", "self_attn.", "query_projection"]
    assert folded("", 10) == "" and folded("short", 3) == "short"


def test_a_long_text_hangs_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Arm MPS2 with a Cortex-M4 (FPU and DSP instructions)"
    assert hanging("head  ", text) == f"head  {text}"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((30, 24)))
    lines = hanging("head  ", text).split("\n")
    assert all(len(line) <= 30 for line in lines) and all(line.startswith("      ") for line in lines[1:])
    assert " ".join(line[6:] for line in lines) == text
