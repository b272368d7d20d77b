"""A decoder as an NPU step: float arithmetic as the model's, integers shared by one token and many."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import PreTrainedModel

from mcu_sdk.board.npu_target import default_target
from mcu_sdk.lowering.calibrate import cache_ranges, sample_windows
from mcu_sdk.lowering.ethos_u.cache_scales import fold_cache_scales
from mcu_sdk.lowering.ethos_u.calibrate import (
    AT_ONCE,
    CACHE_BYTES,
    batches,
    positions_at_once,
    step_inputs,
)
from mcu_sdk.lowering.ethos_u.compile import QuantizedStep, bounded_mask, quantize_decoder
from mcu_sdk.lowering.ethos_u.elementwise_attention import attend_by_elements
from mcu_sdk.lowering.ethos_u.score import total_loss
from mcu_sdk.lowering.ethos_u.step import NpuStep
from mcu_sdk.lowering.ethos_u.tables import use_tables
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.guard import DecoderGuard
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.model.load import find_checkpoint, load_model
from mcu_sdk.project.accuracy import accuracy_of
from tests.checkpoints import make_checkpoint
from tests.lowering.test_guard import small_model

LENGTH = 12

Fused = tuple[PreTrainedModel, NpuStep, torch.Tensor]


def fused_step(name: str, folder: Path) -> Fused:
    return step_of(load_model(find_checkpoint(str(make_checkpoint(name, folder)))))


def step_of(model: PreTrainedModel) -> Fused:
    windows = sample_windows(model, LENGTH)
    program = export_decoder(model, LENGTH)
    fuse(program, LENGTH, cache_ranges(model, windows))
    return model, NpuStep(program, LENGTH, attend_by_elements), windows


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Fused:
    return fused_step("llama-gqa-untied", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def quantized(llama: Fused) -> QuantizedStep:
    model, step, windows = llama
    return quantize_decoder(step.program, model, LENGTH, windows, default_target("ethos-u55-128"))


@pytest.mark.parametrize(
    "family",
    [
        "llama-gqa-untied",
        "gpt2",
        *(pytest.param(family, marks=pytest.mark.slow) for family in ("qwen3", "gemma")),
    ],
)
def test_step_computes_what_the_model_computes(family: str, tmp_path: Path) -> None:
    """Token by token with the step's own cache, whose scales are its weights' where a linear gives the rows (of GPT-2 one gives
    all three, Qwen 3 has norms in between); 1e-4 of the greatest logit is float32's reordering of sums."""
    model, step, windows = fused_step(family, tmp_path)
    assert fold_cache_scales(step, {}) == {}
    folded = {"llama-gqa-untied": (True, True), "gemma": (True, True), "qwen3": (False, True)}
    for attention in step.attentions:
        wanted = folded.get(family, (False, False))
        assert (attention.keys_are_scaled, attention.values_are_scaled) == wanted
    batch = len(windows)
    keys, values = step.example_inputs(batch)[-2:]
    with torch.no_grad():
        wanted = model(input_ids=windows).logits
        for position in range(LENGTH):
            where = torch.full((batch,), position)
            rows = step_inputs(step, windows[:, position], where, -1e4)
            logits, new_keys, new_values = step(*rows, keys, values)
            keys[:, :, position], values[..., position] = new_keys[:, :, 0], new_values[:, :, 0]
            limit = 1e-4 * float(wanted.abs().max())
            assert (logits[:, 0] - wanted[:, position]).abs().max() < limit
    assert keys.abs().max() <= 127.001  # divided by their calibrated scales


def test_one_token_and_many_give_the_same_integers(llama: Fused, quantized: QuantizedStep) -> None:
    """What is lowered is what is measured: caches equal, logits within one step of their scale."""
    model, step, windows = llama
    inputs = next(iter(batches(step, model, windows, quantized.masked, quantized.batch)))
    with torch.no_grad():
        many = quantized.many(*inputs)
        scale = _output_scale(quantized)
        for index in range(3):
            one = quantized.one(*(value[index : index + 1] for value in inputs))
            assert (many[0][index] - one[0][0]).abs().max() <= scale * 1.01
            assert torch.equal(many[1][index], one[1][0]) and torch.equal(many[2][index], one[2][0])


def test_scales_of_rounded_weights_follow_the_cache_s(llama: Fused) -> None:
    """The integers of a weight with a scale for each row stay when the rows are multiplied."""
    _, step, _ = llama
    step = NpuStep(step.program, LENGTH)
    integers, scales = {}, {}
    for name, weight in step.linear_weights().items():
        rows = weight.abs().amax(1) / 7
        integers[name] = (weight / rows[:, None]).round()
        setattr(step, name, integers[name] * rows[:, None])
        scales[weight_digest(step.get_buffer(name))] = rows
    before = set(scales)
    after = fold_cache_scales(step, scales)
    assert (
        len(after) == len(before) > len(before & set(after))
    )  # keys, values and queries of each layer have others
    for name, weight in step.linear_weights().items():
        assert torch.equal((weight / after[weight_digest(weight)][:, None]).round(), integers[name])


def _output_scale(quantized: QuantizedStep) -> float:
    logits = quantized.one.graph.output_node().args[0][0]  # type: ignore[index,union-attr]
    return float(logits.args[1])  # type: ignore[union-attr,arg-type]


def test_new_rows_are_the_integers_of_the_cache(llama: Fused, quantized: QuantizedStep) -> None:
    model, step, windows = llama
    inputs = next(iter(batches(step, model, windows, quantized.masked, quantized.batch)))
    with torch.no_grad():
        _, keys, values = quantized.many(*inputs)
    for rows in (keys, values):
        assert torch.equal(rows, rows.round()) and rows.abs().max() <= 127


@pytest.mark.parametrize(("batch", "count", "found"), [(7, 20, 3), (7, 21, 3), (500, 512, 1)])
def test_batches_are_whole_and_have_each_position_once_before_any_twice(
    llama: Fused, batch: int, count: int, found: int
) -> None:
    model, step, windows = llama
    rows = [inputs[0] for inputs in batches(step, model, windows, -1e4, batch, count)]
    assert len(rows) == found and all(len(each) == batch for each in rows)
    caches = [inputs[-2] for inputs in batches(step, model, windows, -1e4, batch, count)]
    distinct = {each.numpy().tobytes() for each in torch.cat(caches)}
    # Positions 0 have one cache, an empty one, in common.
    assert len(distinct) >= min(found * batch, windows.numel()) - len(windows) + 1


def test_caches_of_the_positions_that_are_observed_together_have_room() -> None:
    small, large = (SimpleNamespace(cache_rows=r, cache_length=512, head_dim=64) for r in (2, 60))
    assert positions_at_once(small) == AT_ONCE  # type: ignore[arg-type]
    assert positions_at_once(large) == CACHE_BYTES // (2 * 4 * 60 * 512 * 64) > 0  # type: ignore[arg-type]


def test_mask_hides_every_score(llama: Fused) -> None:
    """e^(masked - max) rounds to 0 in 16 bits for every score seen, so a masked position counts for nothing."""
    model, step, windows = llama
    seen: list[torch.Tensor] = []
    masked = bounded_mask(step, model, windows)
    step.observe_scores = seen.append
    for inputs in batches(step, model, windows, masked, 16):
        step(*inputs)
    step.observe_scores = None
    greatest = max(float(scores.abs().max()) for scores in seen)
    hidden = torch.exp(torch.tensor(masked + greatest - (-greatest)))
    assert hidden * 32767 < 0.5


def test_masked_rows_of_the_cache_change_nothing(llama: Fused, quantized: QuantizedStep) -> None:
    """What an earlier text left behind the position in the cache must not show."""
    _, step, windows = llama
    tokens, where = windows[:, 0], torch.zeros(len(windows), dtype=torch.long)
    rows = step_inputs(step, tokens, where, quantized.masked)
    filled = [torch.cat([row, row])[: quantized.batch] for row in rows]
    keys, values = step.example_inputs(quantized.batch)[-2:]
    noise = torch.randint(-127, 128, keys.shape, generator=torch.Generator().manual_seed(1)).float() * 0.25
    with torch.no_grad():
        clean = quantized.many(*filled, keys, values)[0]
        dirty = quantized.many(*filled, noise.round(), noise.round().transpose(2, 3))[0]
    assert (clean - dirty).abs().max() <= _output_scale(quantized) * 1.01


def test_loss_stays_near_the_float_model(llama: Fused, quantized: QuantizedStep) -> None:
    """Through the NPU's tables. 2 %: a model of random weights is harder on 8 bits than a trained one (under 1 %)."""
    model, _, windows = llama
    with torch.no_grad():
        logits = model(input_ids=windows).logits[:, :-1]
        wanted = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), windows[:, 1:].flatten(), reduction="sum"
        ).item()
    assert total_loss(quantized, windows) == pytest.approx(wanted, rel=0.02)


def test_tables_replace_every_16_bit_function(quantized: QuantizedStep) -> None:
    import copy

    module = copy.deepcopy(quantized.many)
    names = ("exp", "rsqrt", "reciprocal", "silu")
    before = [n for n in module.graph.nodes if any(f"aten.{name}." in str(n.target) for name in names)]
    assert use_tables(module) == len(before) > 0
    assert not [n for n in module.graph.nodes if any(f"aten.{name}." in str(n.target) for name in names)]


@pytest.mark.slow
def test_the_layers_that_the_npus_integers_hurt_are_named() -> None:
    """One weight in each row of a linear is far greater than the others, which int8 loses; it multiplies zeros."""
    model, hurt = small_model("llama"), "model.layers.0.mlp.down_proj"
    with torch.no_grad():
        model.get_parameter("model.layers.0.mlp.gate_proj.weight")[3] = 0
        model.get_parameter(f"{hurt}.weight")[:, 3] = 3000
    model, step, windows = step_of(model)
    quantized = quantize_decoder(step.program, model, LENGTH, windows, default_target("ethos-u55-128"))
    accuracy = accuracy_of({"accuracy": DecoderGuard(model, windows, LENGTH).npu_accuracy(quantized)})
    assert accuracy is not None and accuracy.poor
    (first, greatest), *others = accuracy.layers.items()
    assert first == hurt and greatest > 0.5
    assert others and all(0 < error < 0.1 for _, error in others)
    assert accuracy.warning is not None and f"most of it in {hurt} (" in accuracy.warning


def test_a_good_step_names_none(llama: Fused) -> None:
    """In 16 bits: of twelve positions of random weights int8 chooses two otherwise, which is not good."""
    model, step, windows = llama
    target = default_target("ethos-u55-128", 16)
    quantized = quantize_decoder(step.program, model, LENGTH, windows, target)
    assert "layers" not in DecoderGuard(model, windows, LENGTH).npu_accuracy(quantized)
