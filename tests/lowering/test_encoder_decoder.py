"""A decoder's step over an encoder's keys and values: what transformers computes, before and after fusion."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoConfig, T5ForConditionalGeneration

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.cross_caches import require_caches
from mcu_sdk.lowering.encoder_decoder import Heads, export_encoder_step
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.pair_guard import PairGuard, sampled_tokens
from mcu_sdk.model.encoder import FEATURES, Encoder

LENGTH, CACHE = 7, 10


@pytest.fixture(scope="module")
def heads() -> Heads:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 40}
    buckets = {"relative_attention_num_buckets": 4, "relative_attention_max_distance": 6}
    model = T5ForConditionalGeneration(AutoConfig.for_model("t5", **sizes, **buckets)).eval()
    model.requires_grad_(False)
    return Heads(model, Encoder(model.get_encoder(), FEATURES, None))


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
