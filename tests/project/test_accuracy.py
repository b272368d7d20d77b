"""What the report, the warning and `verify` make of the accuracy that `generate` noted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk.project.accuracy import Accuracy, accuracy_of, read_facts
from mcu_sdk.project.verify_python import SLACK, TIMES, compare_with_checkpoint

FACTS = {
    "accuracy": {
        "relative_rms_error": 0.0312,
        "top1_agreement": 0.97,
        "mean_kl_divergence": 0.001,
        "poor": False,
    },
    "guard": {"exported": 7.7e-07, "fused": 9.1e-07, "positions": 64, "tolerance": 1e-4},
    "checkpoint": "abc",
}


def test_a_projects_accuracy_is_read_and_told(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(FACTS))
    accuracy = accuracy_of(read_facts(tmp_path))
    assert accuracy is not None
    assert accuracy.checkpoint == "abc"
    assert accuracy.warning is None
    assert accuracy.rows() == [
        ("quantization costs", "0.0312 of the outputs (RMS), 97 % of choices alike, KL 0.001"),
        ("float steps within", "9.1e-07 of the original"),
    ]


def test_what_the_npu_costs_stands_beside_it() -> None:
    costs = {"relative_rms_error": 0.0123, "top1_agreement": 0.985, "poor": False, "positions": 40}
    accuracy = accuracy_of({**FACTS, "npu_costs": costs})
    assert accuracy is not None
    assert accuracy.rows()[1] == (
        "of it the NPU",
        "0.0123 of the processor's logits (RMS), 98.5 % of choices alike",
    )
    for damaged in (None, [], 3, {"relative_rms_error": "x"}):
        found = accuracy_of({**FACTS, "npu_costs": damaged})
        assert found is not None and found.npu_costs == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"accuracy": 3}', '{"accuracy": {"relative_rms_error": "x"}}']
)
def test_a_project_without_it_goes_without(text: str, tmp_path: Path) -> None:
    assert accuracy_of(read_facts(tmp_path)) is None
    (tmp_path / "report.json").write_text(text)
    assert accuracy_of(read_facts(tmp_path)) is None


def test_the_warning_names_the_layers() -> None:
    measured = {"relative_rms_error": 0.3, "poor": True, "layers": {"model.layers.1.mlp.up_proj": 0.25}}
    accuracy = accuracy_of({"accuracy": measured})
    assert accuracy == Accuracy(0.3, poor=True, layers={"model.layers.1.mlp.up_proj": 0.25})
    assert accuracy.warning is not None
    assert (
        "0.3 of the outputs" in accuracy.warning and "model.layers.1.mlp.up_proj (0.25)" in accuracy.warning
    )


def test_a_pte_is_held_to_the_error_that_was_stated() -> None:
    generator = np.random.default_rng(0)
    reference = generator.normal(size=(8, 50)).astype(np.float32)
    allowed = TIMES * 0.03 + SLACK
    for error, ok in ((0.03, True), (1.3 * allowed, False)):
        noise = error * generator.normal(size=reference.shape)
        check = compare_with_checkpoint(list(reference + noise), list(reference), 0.03, choices=True)
        assert check.ok == ok
        assert "0.03 at generation" in check.detail
    assert compare_with_checkpoint(list(reference), list(reference), 0.03, choices=True).detail.startswith(
        "0 of the logits"
    )
    assert not compare_with_checkpoint(list(reference[::-1]), list(reference), 0.03).ok
