"""Linears of few levels for an NPU: of as many bytes as 15 throughout, or as a budget leaves."""

from __future__ import annotations

from typing import Any

import pytest

from mcu_sdk.lowering.calibrate import cache_ranges, sample_windows
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.int4 import float_linears
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.model.load import find_checkpoint, load_model
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.few_levels import levels_by_need
from tests.checkpoints import make_checkpoint

LENGTH = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    folder = make_checkpoint("llama-gqa-untied", tmp_path_factory.mktemp("few"), num_hidden_layers=1)
    model = load_model(find_checkpoint(str(folder)))
    windows, program = sample_windows(model, LENGTH), export_decoder(model, LENGTH)
    fuse(program, LENGTH, cache_ranges(model, windows))
    return model, windows, program


def test_every_linear_has_the_levels_that_are_told(made: tuple[Any, Any, Any]) -> None:
    found = levels_by_need(*made, CompileOptions(weights="int4"))
    levels = found.facts["weight_bits"]["levels"]
    linears = {each.name: each.weight for each in float_linears(made[2])}
    assert set(levels) == set(linears) and len(levels) == 8
    for name, weight in linears.items():
        if levels[name] == 255:
            assert weight_digest(weight) not in found.rounded
        else:
            values, scales = found.rounded[weight_digest(weight)]
            greatest = values.abs().amax(1).double().median()
            assert greatest == pytest.approx(
                (levels[name] - 1) / 2, abs=1, rel=0.2
            )  # and what others have lost
            assert scales.shape == (len(values), 1)
    assert any(each < 255 for each in levels.values())


def test_a_budget_that_int8_keeps_to_changes_nothing(made: Any) -> None:
    found = levels_by_need(*made, CompileOptions(weights="auto"))
    told = found.facts["weight_bits"]
    assert found.rounded == {} and set(told["levels"].values()) == {255}
    assert not told["everything"] and "tokens" not in told


def test_a_budget_that_is_too_small_takes_the_fewest_levels_everywhere(made: Any) -> None:
    found = levels_by_need(*made, CompileOptions(weights="auto", int4_saving=1 << 30))
    told = found.facts["weight_bits"]
    assert told["everything"] and set(told["levels"].values()) == {7} and len(found.rounded) == 8
