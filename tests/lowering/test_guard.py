"""The guard lets rounding pass and nothing else: wrong graphs, windows and caches are named with their first position."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.export import ExportedProgram
from torch.fx import Node
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.attention_window import longest_window, require_whole_view, with_windows_cut
from mcu_sdk.lowering.calibrate import cache_ranges
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import aten, is_call
from mcu_sdk.lowering.guard import DecoderGuard, difference, tolerance

SMALL: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": 0,
}


def small_model(model_type: str, **settings: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{**SMALL, **settings})
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.eval()
    return model


def gpt_neo(window: int) -> PreTrainedModel:
    settings = {
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "attention_types": [[["global", "local"], 1]],
    }
    return small_model("gpt_neo", window_size=window, **settings)


def windows(length: int) -> torch.Tensor:
    return torch.randint(0, SMALL["vocab_size"], (2, length), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return small_model("llama")


@pytest.fixture(scope="module")
def exported(llama: PreTrainedModel) -> ExportedProgram:
    return export_decoder(llama, 24)


def test_the_tolerance_covers_another_order_of_additions() -> None:
    generator = torch.Generator().manual_seed(0)
    for sides in ((64, 64), (512, 512, 512), (48, 1536, 48, 1536)):
        shapes = list(zip(sides[1:], sides[:-1], strict=True))
        weights = [torch.randn(shape, generator=generator) for shape in shapes]
        one = other = torch.randn(sides[0], 8, generator=generator)
        for weight in weights:
            order = torch.randperm(weight.shape[1], generator=generator)
            one, other = weight @ one, weight[:, order] @ other[order]
        apart = difference(one.T[None], other.T[None], tolerance(weights))
        assert 0 < apart.greatest < tolerance(weights)
        assert apart.first is None


def test_a_difference_has_a_place_and_values_that_are_not_finite_are_one() -> None:
    reference = torch.full((2, 5, 3), 2.0)
    found = reference.clone()
    found[1, 3, 2] = 2.5
    assert difference(found, reference, 1e-3).first == 3
    assert difference(found, reference, 1e-3).greatest == 0.25
    found[0, 1, 0] = torch.nan
    assert difference(found, reference, 1e-3).first == 1


def test_a_right_step_passes_and_its_differences_are_kept(
    llama: PreTrainedModel, exported: ExportedProgram
) -> None:
    tokens = windows(24)
    program = copy.deepcopy(exported)
    guard = DecoderGuard(llama, tokens, 24)
    guard.check_exported(program)
    ranges = cache_ranges(llama, tokens)
    assert fuse(program, 24, ranges).attention == 1
    guard.check_fused(program, ranges)
    assert guard.facts["positions"] == 24
    for stage in ("exported", "fused"):
        assert 0 < guard.facts[stage] < guard.facts["tolerance"] < 1e-4


def _change(program: ExportedProgram, target: Any, change: Any) -> None:
    node = next(n for n in program.graph.nodes if is_call(n, target))
    change(node)
    program.graph_module.recompile()


def _scaled(node: Node) -> None:
    """Put the value times 1.001 in the place of `node`'s."""
    with node.graph.inserting_after(node):
        wrong = node.graph.call_function(aten.mul.Tensor, (node, 1.001))
    node.replace_all_uses_with(wrong, delete_user_cb=lambda user: user is not wrong)


def _late(node: Node) -> None:
    """From position 10 on, another cache row is written."""
    position = next(n for n in node.graph.nodes if n.name == "cache_position")
    with node.graph.inserting_before(node):
        wrong = node.graph.call_function(aten.clamp.default, (position, None, 10))
    node.update_arg(2, wrong)


@pytest.mark.parametrize(
    ("target", "change", "first"), [(aten.silu.default, _scaled, 0), (aten.index_copy.default, _late, 11)]
)
def test_a_wrong_exported_step_is_refused_at_its_first_position(
    llama: PreTrainedModel, exported: ExportedProgram, target: Any, change: Any, first: int
) -> None:
    program = copy.deepcopy(exported)
    _change(program, target, change)
    guard = DecoderGuard(llama, windows(24), 24)
    with pytest.raises(ModelError, match=rf"exported step .* from position {first} on") as caught:
        guard.check_exported(program)
    assert "static cache" in caught.value.hint


def test_a_wrong_fused_step_is_refused(llama: PreTrainedModel, exported: ExportedProgram) -> None:
    program = copy.deepcopy(exported)
    guard = DecoderGuard(llama, windows(24), 24)
    ranges = cache_ranges(llama, windows(24))
    fuse(program, 24, ranges)
    _change(program, torch.ops.mcu.rope.default, _scaled)
    with pytest.raises(ModelError, match=r"fused step .* from position 1 on") as caught:
        guard.check_fused(program, ranges)
    assert "defect" in caught.value.hint


def test_a_class_that_reads_the_last_rows_of_its_table_reads_the_positions() -> None:
    """GPT-Neo's local attention, in a cache longer than its window."""
    model = gpt_neo(8)
    guard = DecoderGuard(model, windows(24), 24)
    assert guard.positions == 24
    guard.check_exported(export_decoder(model, 24))
    assert guard.facts["exported"] < guard.facts["tolerance"]


def test_a_wrong_step_of_a_model_with_a_window_is_refused_with_the_cache_that_works() -> None:
    model = small_model("mistral", sliding_window=6)
    program = export_decoder(model, 24)
    _change(program, aten.silu.default, _scaled)
    with pytest.raises(ModelError, match="from position 0 on") as caught:
        DecoderGuard(model, windows(24), 24).check_exported(program)
    assert "--max-cache-len 6 at most" in caught.value.hint


def test_a_long_window_is_passed_in_a_copy_that_has_a_short_one() -> None:
    model = small_model("mistral", sliding_window=60)
    assert longest_window(model) == 60
    cut = with_windows_cut(model, 16)
    assert longest_window(cut) == 16
    assert longest_window(model) == 60
    assert cut.lm_head.weight.data_ptr() == model.lm_head.weight.data_ptr()
    tokens = windows(80)
    guard = DecoderGuard(model, tokens, 80)
    program = export_decoder(model, 80)
    guard.check_exported(program)
    ranges = cache_ranges(model, tokens[:, :32])
    fuse(program, 80, ranges)
    guard.check_fused(program, ranges)
    assert guard.positions == 64
    assert guard.cut_positions == 32


@pytest.mark.parametrize("scales", ["calibrated", "dynamic"])
def test_a_window_shorter_than_the_cache_shortens_its_layers_caches(scales: str) -> None:
    types = ["sliding_attention", "full_attention"]
    settings = {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}
    model = small_model("qwen2", num_hidden_layers=2, layer_types=types, **settings)
    tokens = windows(24)
    program = export_decoder(model, 24)
    guard = DecoderGuard(model, tokens, 24)
    guard.check_exported(program)
    ranges = cache_ranges(model, tokens) if scales == "calibrated" else None
    assert fuse(program, 24, ranges).attention == 2
    guard.check_fused(program, ranges)
    tensors = {**program.state_dict, **program.constants}
    assert [tensors[f"key_cache_{layer}"].shape[2] for layer in (0, 1)] == [6, 24]
    assert [tensors[f"value_cache_{layer}"].shape[3] for layer in (0, 1)] == [6, 24]


def test_an_npu_is_refused_a_window_shorter_than_its_cache() -> None:
    model = small_model("mistral", sliding_window=6)
    require_whole_view(model, 6, "ethos-u55-128")
    with pytest.raises(ModelError, match="look back 6 positions") as caught:
        require_whole_view(model, 7, "ethos-u55-128")
    assert "--max-cache-len 6 at most" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "window"),
    [
        ({"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 16}, None),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0},
            16,
        ),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "mistral", "sliding_window": 24}, 24),
        ({"model_type": "llama"}, None),
    ],
)
def test_the_window_is_the_one_that_layers_use(settings: dict[str, Any], window: int | None) -> None:
    assert longest_window(small_model(**settings)) == window
