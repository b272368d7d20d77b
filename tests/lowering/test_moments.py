"""Second moments of linears' inputs, and what weights are found by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mcu_sdk.lowering.moments import head_digest, linear_moments, weight_digest
from mcu_sdk.model.load import find_checkpoint, load_model

TOKENS = torch.tensor([[1, 5, 7, 3, 2], [4, 4, 9, 0, 8]])


@pytest.mark.parametrize("family", ["llama-gqa-untied", "gpt2"])
def test_moments_of_every_linear_but_the_head(family: str, checkpoint: Callable[[str], Path]) -> None:
    """The inputs of the first layer, worked out from the embeddings, give that layer's moments."""
    model = load_model(find_checkpoint(str(checkpoint(family))))
    moments = linear_moments(model, TOKENS)
    linears = [m for m in model.modules() if type(m).__name__ in ("Linear", "Conv1D")]
    assert len(moments) == len(linears) - 1
    assert head_digest(model) not in moments
    with torch.no_grad():
        if family == "gpt2":
            positions = torch.arange(TOKENS.shape[1])
            block = model.transformer.h[0]
            x = block.ln_1(model.transformer.wte(TOKENS) + model.transformer.wpe(positions))
            weights = [block.attn.c_attn.weight.T]
        else:
            layer = model.model.layers[0]
            x = layer.input_layernorm(model.model.embed_tokens(TOKENS))
            weights = [getattr(layer.self_attn, name).weight for name in ("q_proj", "k_proj", "v_proj")]
    rows = x.reshape(-1, x.shape[-1]).double()
    for weight in weights:
        found = moments[weight_digest(weight)]
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, rows.T @ rows, rtol=1e-6, atol=1e-9)  # the model's float32 sums


def test_a_model_is_left_as_it_was(checkpoint: Callable[[str], Path]) -> None:
    model = load_model(find_checkpoint(str(checkpoint("llama-odd"))))
    linear_moments(model, TOKENS)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_digest_is_of_the_content() -> None:
    weight = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    assert weight_digest(weight) == weight_digest(weight.T.contiguous().T)
    assert weight_digest(weight) != weight_digest(weight + 1)
    assert weight_digest(torch.zeros(2, 3)) != weight_digest(torch.zeros(3, 2))


def test_weights_that_are_zero_throughout(checkpoint: Callable[[str], Path]) -> None:
    """Layers that a pruning has emptied: of as many bytes, they are still two weights."""
    model = load_model(find_checkpoint(str(checkpoint("llama-gqa-untied"))))
    with torch.no_grad():
        for layer in model.model.layers:
            for module in layer.modules():
                if isinstance(module, torch.nn.Linear):
                    module.weight.zero_()
    sides = {moment.shape[0] for moment in linear_moments(model, TOKENS).values()}
    assert sides == {model.config.hidden_size, model.config.intermediate_size}
