"""A step whose cache slides computes what the checkpoint computes for the sinks and the last positions, at the positions
within the cache, or is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.sliding import rotation_by
from mcu_sdk.lowering.guard import DecoderGuard, difference, tolerance
from mcu_sdk.lowering.run_step import StepRunner
from mcu_sdk.lowering.sliding_guard import SlidingTrial, sliding_logits
from mcu_sdk.lowering.ways import WAYS
from tests.decoders import small_decoder
from tests.lowering.test_guard import gpt_neo, small_model, windows

WINDOWED: dict[str, Any] = {
    "num_hidden_layers": 2,
    "head_dim": 16,
    "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention"],
}


def test_rotations_go_on_where_angles_grow_with_the_position() -> None:
    angles = torch.arange(24)[:, None] * torch.tensor([1.0, 0.3])
    table = 1.3 * torch.polar(torch.ones(24, 2), angles).to(torch.complex64)
    for count in (0, 7, 24):
        found = rotation_by(table.to(torch.complex128), count)
        assert found is not None
        wanted = torch.polar(torch.ones(2), count * torch.tensor([1.0, 0.3]))
        assert float((found - wanted).abs().max()) < 1e-5
    for changed in (table.clone(), table.clone()):
        changed[17] = changed[16]
        assert rotation_by(changed.to(torch.complex128), 7) is None


def test_a_token_beyond_the_end_sees_the_sinks_and_the_last_ones() -> None:
    """The reference for a model of one layer, whose keys and values depend on their own token alone, is the model on these
    tokens; before the end, it is the model."""
    model, tokens = small_model("llama"), windows(22)
    found = sliding_logits(model, tokens, 10, 3)
    with torch.no_grad():
        plain = model(tokens[:, :10]).logits
        later = [
            model(torch.cat([tokens[:, :3], tokens[:, p - 6 : p + 1]], 1)).logits[:, -1] for p in (10, 21)
        ]
    allowed = tolerance(list(model.parameters()))
    assert difference(found[:, :10], plain, allowed).first is None
    assert difference(found[:, [10, 21]], torch.stack(later, 1), allowed).first is None


def test_a_ring_and_a_window_are_what_the_checkpoint_computes() -> None:
    model = small_model("gemma3_text", **WINDOWED)
    trial, tokens = SlidingTrial(model, 64, 3), windows(28)
    step = trial.step(WAYS[0], None)
    targets = [str(node.target) for node in step.graph.nodes]
    assert targets.count("mcu.ring_slot.default") == 2  # of the window, and of the whole cache
    allowed = tolerance(list(model.parameters()))
    wanted = trial.logits(tokens)
    assert trial.positions == 31 and difference(trial.found(step, tokens), wanted, allowed).first is None
    other = sliding_logits(
        trial.model, tokens, trial.length, 4
    )  # another number of sinks is seen from the end on
    assert difference(trial.found(step, tokens), other, allowed).first == trial.length


@pytest.mark.slow
def test_a_step_that_slides_computes_the_same_before_the_end() -> None:
    model, tokens = small_model("llama", num_hidden_layers=2), windows(20)
    sliding, stopping = (export_decoder(model, 20) for _ in range(2))
    fuse(sliding, 20, None, sinks=4)
    fuse(stopping, 20, None)
    assert torch.equal(StepRunner(sliding).run(tokens), StepRunner(stopping).run(tokens))


def test_learned_positions_are_refused_by_name() -> None:
    program = export_decoder(gpt_neo(32), 12)
    with pytest.raises(ModelError, match="reads the position itself, as learned positions do") as error:
        fuse(program, 12, None, sinks=4)
    assert "transformer.wpe" in error.value.message and "Leave --when-full out" in error.value.hint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("opt", "reads the position itself, as learned positions do"),
        ("bloom", "by distance, as ALiBi does"),
        ("gptj", "attention is code of its own"),
    ],
)
def test_what_cannot_slide_is_refused_by_name(name: str, message: str) -> None:
    guard = DecoderGuard(small_decoder(name), windows(12) % 40, 12, 4)
    program = guard.faithful_step()
    with pytest.raises(ModelError, match=message) as error:
        fuse(program, 12, None, sinks=4)
        guard.check_fused(program, None)
    assert "Leave --when-full out" in error.value.hint
