"""`--weights auto`: bits by what they cost, within a budget that the built image keeps to, the same when generated again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.generated import Generated
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.regeneration import regenerate


def generated(model: Path, output: Path, flash: int | None, board: str = "host") -> Generated:
    options = CompileOptions(16, weights="auto")
    return generate(GenerateRequest(board, options, model=str(model), output=output, flash=flash))


@pytest.mark.slow
def test_within_a_budget(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    model = checkpoint("llama-gqa-untied")
    whole = generated(model, tmp_path / "int8", 1 << 30)
    told = whole.facts["weight_bits"]
    assert set(told["bits"].values()) == {8} and told["image_bytes"] == whole.plan.model_bytes
    budget = whole.plan.model_bytes - told["saved_at_most"] // 2
    some = generated(model, tmp_path / "some", budget)
    told = some.facts["weight_bits"]
    bits = told["bits"]
    assert set(bits.values()) == {4, 8} and some.plan.model_bytes <= budget
    assert list(bits.values()).count(4) == some.facts["int4_linears"]
    few, many = (
        [
            told["kl_divergence"][name]
            for name, each in bits.items()
            if each == wanted and name in told["kl_divergence"]
        ]
        for wanted in (4, 8)
    )
    assert sum(few) / len(few) < sum(many) / len(many)
    assert told["predicted_kl_divergence"] == pytest.approx(sum(few), rel=0.02)
    assert 0 < told["measured_kl_divergence"] < 3 * told["predicted_kl_divergence"]
    manifest = json.loads((some.project / "mcu-sdk.json").read_text())["options"]
    assert (manifest["weights"], manifest["flash"]) == ("auto", budget)
    again = regenerate(some.project)
    assert again.plan.model_hash == some.plan.model_hash and again.facts == some.facts
    with pytest.raises(DoesNotFitError, match="the smallest possible") as refused:
        generated(model, tmp_path / "none", 1000)
    assert refused.value.exit_code == 5
    smallest = 1000 + refused.value.over
    assert generated(model, tmp_path / "least", smallest).facts["weight_bits"]["image_bytes"] == smallest


@pytest.mark.slow
def test_the_image_is_no_larger_than_it_is_said_to_be(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    made = generated(checkpoint("llama-gqa-untied"), tmp_path / "p", None, "corstone-300")
    sizes = build(made.project, "release").sizes
    assert sizes is not None
    assert sizes.flash <= made.facts["weight_bits"]["image_bytes"] <= sizes.flash + 512
