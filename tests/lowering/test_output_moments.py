"""The moments of gradients at linears' outputs: Fisher's information, and nothing left behind in the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mcu_sdk.lowering import output_moments as module
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.lowering.output_moments import output_moments
from tests.lowering.test_in_order import TOKENS, Model


def test_the_last_linear_s_are_the_covariance_of_what_it_chooses() -> None:
    """The gradient of log p at the logits is what was drawn less p: its moments are the mean of diag(p) - p p^T. 10,000 tokens
    are drawn: their own deviation is about 0.1 of the whole."""
    model: Any = Model()
    tokens = torch.randint(0, 40, (200, 50), generator=torch.Generator().manual_seed(4))
    found = output_moments(model, tokens)[weight_digest(model.head.weight)]
    p = model(tokens, use_cache=False).logits.double().softmax(-1).flatten(0, 1)
    wanted = p.mean(0).diag() - p.T @ p / len(p)
    assert float((found - wanted).norm() / wanted.norm()) < 0.2


def test_half_of_them_is_what_a_small_error_costs() -> None:
    """Of one that is the same for all tokens of a linear which no other reads: the divergence of the probabilities, the mean over
    many small errors of all outputs; seeded, and 0.15 is twice what it gives."""
    model: Any = Model()
    found = output_moments(model, TOKENS)[weight_digest(model.head.weight)]
    reference = model(TOKENS, use_cache=False).logits.double().log_softmax(-1)
    measured, told = 0.0, 0.0
    for seed in range(10):
        error = 0.02 * torch.randn(40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        other = (reference + error).log_softmax(-1)
        measured += float((reference.exp() * (reference - other)).sum(-1).mean())
        told += float(error @ found @ error) / 2
    assert told == pytest.approx(measured, rel=0.15)


def test_of_many_outputs_the_diagonal_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = Model()
    whole = output_moments(model, TOKENS)
    monkeypatch.setattr(module, "MOST_ROWS", 50)
    some = output_moments(model, TOKENS)
    assert set(some) == set(whole) and len(whole) == 4
    for digest, moments in whole.items():
        wanted = moments.diagonal() if len(moments) > 50 else moments
        assert torch.allclose(some[digest], wanted, rtol=1e-6)


def test_the_model_is_left_as_it_was() -> None:
    model: Any = Model()
    model.left.weight.requires_grad_(True)
    output_moments(model, TOKENS)
    wanted = [name for name, each in model.named_parameters() if each.requires_grad]
    assert wanted == ["left.weight"] and model.left.weight.grad is None
    assert not any(each._forward_hooks for each in model.modules())


def test_a_model_may_write_to_what_a_linear_gave() -> None:
    model: Any = Model()
    model.left.register_forward_hook(lambda module, inputs, output: output.mul_(1.0))
    assert len(output_moments(model, TOKENS)) == 4
