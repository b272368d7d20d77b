"""A decoder's step over an encoder's keys and values: what transformers computes, before and after fusion."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import (
    AutoConfig,
    MoonshineForConditionalGeneration,
    T5ForConditionalGeneration,
    WhisperForConditionalGeneration,
)

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.cross_caches import require_caches
from mcu_sdk.lowering.encoder_decoder import Heads, attended, check_answers, export_encoder_step
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.left import left_in_float
from mcu_sdk.lowering.pair_guard import PairGuard, sampled_tokens
from mcu_sdk.model.encoder import FEATURES, Encoder
from mcu_sdk.model.made_up_sounds import made_up_sounds
from mcu_sdk.operators.reference.sound_front import SoundFront

LENGTH, CACHE = 7, 10


@pytest.fixture(scope="module")
def heads() -> Heads:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 40}
    buckets = {"relative_attention_num_buckets": 4, "relative_attention_max_distance": 6}
    model = T5ForConditionalGeneration(AutoConfig.for_model("t5", **sizes, **buckets)).eval()
    model.requires_grad_(False)
    return Heads(model, Encoder(model.get_encoder(), FEATURES, None))


SIZES = {
    "whisper": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "num_mel_bins": 4, "max_source_positions": 5}
    | {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    | {"vocab_size": 40, "max_target_positions": CACHE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    "moonshine": {"hidden_size": 16, "intermediate_size": 16, "vocab_size": 40, "max_position_embeddings": 20}
    | {"encoder_num_hidden_layers": 1, "decoder_num_hidden_layers": 1, "pad_head_dim_to_multiple_of": 3}
    | {"encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2, "initializer_range": 0.15},
}  # fmt: skip
KINDS = {"whisper": WhisperForConditionalGeneration, "moonshine": MoonshineForConditionalGeneration}


@pytest.mark.parametrize("name", SIZES)
def test_the_step_attends_to_a_sound(name: str) -> None:
    """A whole one, and one of which some rows are padding, where the model says which; heads that are padded with zeros."""
    torch.manual_seed(0)
    model = KINDS[name](AutoConfig.for_model(name, **SIZES[name])).eval()
    model.requires_grad_(False)
    sound = torch.randn(2, 4, 10) if name == "whisper" else torch.zeros(2, 2000, dtype=torch.int16)
    calls: list[tuple[torch.Tensor, ...]] = [(each[None],) for each in sound]
    front = None
    if name == "moonshine":
        front = SoundFront({"kind": "waveform", "samples": 2000, "counted": True, "normalizes": False})
    encoder = Encoder(model.get_encoder(), FEATURES, None, front=front, for_decoder=front is not None)
    if front is not None:
        encoder.take_sound((1, 2000))
        calls = [
            encoder.sound_call(each[:count])
            for each, count in zip(made_up_sounds(2000, 3), (2000, 700), strict=False)
        ]
        assert encoder.input_names == ("samples", "sample_count", "attention_mask")
        assert calls[1][2].tolist() == [[1, 1, 0]]
    listening = Heads(model, encoder)
    tokens = sampled_tokens(model, listening, calls, [3], CACHE)
    guard = PairGuard(model, listening, calls, tokens)
    step = export_encoder_step(model, listening, calls[0], CACHE)
    guard.check(step, "exported")
    counts = fuse(step, CACHE, None)
    assert (counts.attention, counts.cross_attention) == (1, 1)
    assert left_in_float(step) == []
    guard.check(step, "fused")


def test_the_step_attends_to_the_encoder_as_transformers_does(heads: Heads) -> None:
    """With all of the encoder's rows, and with some of them padding."""
    model = heads.model
    ids = torch.randint(1, 40, (1, LENGTH), generator=torch.Generator().manual_seed(2))
    calls = [(ids, (torch.arange(LENGTH) < count)[None].long()) for count in (LENGTH, 3)]
    tokens = sampled_tokens(model, heads, calls, [0], CACHE)
    assert tokens.shape == (2, CACHE) and not tokens[:, 0].any()
    guard = PairGuard(model, heads, calls, tokens)
    step = export_encoder_step(model, heads, calls[0], CACHE)
    guard.check(step, "exported")
    with pytest.raises(ModelError, match="a softmax over scaled products"):
        require_caches(step, model)
    counts = fuse(step, CACHE, None)
    assert (counts.attention, counts.cross_attention) == (1, 1)
    require_caches(step, model)
    guard.check(step, "fused")
    wrong = copy.copy(guard)
    wrong._rows = [[rows.flip(0) for rows in each] for each in guard._rows]
    with pytest.raises(ModelError, match=r"fused step was expected to compute .* from position 0 on"):
        wrong.check(step, "fused")


def test_code_that_decides_by_values_is_named(heads: Heads) -> None:
    """As MVP's decoder does; not by what torch.export says of it."""

    def decide(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if given[0].sum() > 0:
            given[0].abs()

    ids = torch.ones(1, LENGTH, dtype=torch.int64)
    hook = heads.model.decoder.block[0].register_forward_pre_hook(decide)
    with pytest.raises(
        ModelError, match="the code of T5ForConditionalGeneration decides by the values of tensors"
    ):
        export_encoder_step(heads.model, heads, (ids, ids), CACHE)
    hook.remove()


def test_a_decoder_that_takes_no_single_token_is_refused_before_anything_is_exported(heads: Heads) -> None:
    """As that of a model which reads several codes of a sound at a step."""
    ids = torch.ones(1, LENGTH, dtype=torch.int64)
    check_answers(heads, (ids, ids))

    def split(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        given[0].view(1, 9, -1)

    hook = heads.model.lm_head.register_forward_pre_hook(split)
    with pytest.raises(
        ModelError, match=r"answers token by token was expected; T5ForCond.* does not: RuntimeError"
    ):
        check_answers(heads, (ids, ids))
    hook.remove()


def test_what_an_encoder_may_give_beside_its_hidden_states_is_none() -> None:
    """NLLB-MoE's class hands its routers' logits on, whoever asks."""
    given = attended(torch.ones(1, 2, 4), torch.ones(1, 2, dtype=torch.int64))["encoder_outputs"]
    assert given.router_logits is None and given.hidden_states is None
    assert given[0] is given.last_hidden_state and given.attention_mask.shape == (1, 2)
    copied = copy.deepcopy(given)
    assert torch.equal(copied[0], given[0])
