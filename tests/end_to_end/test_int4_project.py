"""What a project says of its int4 weights, and that it is generated again with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.regeneration import regenerate


@pytest.mark.slow
def test_report_manifest_and_regenerate(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    model = checkpoint("llama-gqa-untied")
    options = CompileOptions(16, weights="int4")
    first = generate(GenerateRequest("host", options, model=str(model), output=tmp_path / "p"))
    report = json.loads((first.project / "model" / "report.json").read_text())
    assert (report["weights"], report["int4_linears"], report["int8_linears"]) == ("int4", 14, 1)
    assert report["kept_int8"] == report["notes"] == []
    assert json.loads((first.project / "mcu-sdk.json").read_text())["options"]["weights"] == "int4"
    again = regenerate(first.project)
    assert again.plan.model_hash == first.plan.model_hash
    assert again.facts == first.facts
