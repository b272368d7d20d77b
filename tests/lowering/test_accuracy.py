"""The error of a quantized step: its three numbers, and the layer that it comes from."""

from __future__ import annotations

import pytest
import torch

from mcu_sdk.lowering.accuracy import Accuracy, layer_errors, measure
from mcu_sdk.lowering.calibrate import cache_ranges
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.guard import DecoderGuard
from mcu_sdk.lowering.quantize import quantize
from tests.lowering.test_guard import small_model, windows


def test_the_numbers_are_those_of_their_definitions() -> None:
    reference = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]]))
    found = reference.clone()
    assert measure(found, reference, logits=True) == Accuracy(0.0, 1.0, 0.0)
    found[0, 1] = torch.log(torch.tensor([0.125, 0.75, 0.125]))
    result = measure(found, reference, logits=True)
    assert result.top1_agreement == 0.5
    log6 = torch.tensor(6.0).log()
    assert result.mean_kl_divergence == pytest.approx(float((0.75 - 0.125) * log6 / 2), rel=1e-6)
    wanted = (2 * log6.square() / reference.square().sum()).sqrt()
    assert result.relative_rms_error == pytest.approx(float(wanted), rel=1e-6)
    assert measure(found, reference, logits=False).facts().keys() == {"relative_rms_error", "poor"}


@pytest.mark.parametrize(
    ("accuracy", "poor"),
    [
        (Accuracy(0.09, 0.95), False),
        (Accuracy(0.11, 0.95), True),
        (Accuracy(0.09, 0.89), True),
        (Accuracy(float("nan")), True),
        (Accuracy(0.05), False),
    ],
)
def test_what_is_poor(accuracy: Accuracy, poor: bool) -> None:
    assert accuracy.poor == poor


def test_the_layer_that_quantization_hurts_is_named() -> None:
    """One input of one linear is a thousand times the others, and one weight of each row: int8 rows lose the rest."""
    model = small_model("llama", num_hidden_layers=2)
    with torch.no_grad():
        layer = model.model.layers[1]
        layer.post_attention_layernorm.weight[3] = 1000.0
        layer.mlp.up_proj.weight[:, 3] /= 1000.0
        layer.mlp.gate_proj.weight[:, 3] /= 1000.0
    tokens = windows(20)
    program = export_decoder(model, 20)
    guard = DecoderGuard(model, tokens, 20)
    fuse(program, 20, cache_ranges(model, tokens))

    def calibrate(prepared: torch.fx.GraphModule) -> None:
        prepared(input_ids=torch.tensor([[1]]), cache_position=torch.tensor([0]))

    quantized = quantize(program, "dynamic", calibrate)
    errors = layer_errors(program, quantized, tokens[0])
    assert set(list(errors)[:2]) == {"model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj"}
    assert list(errors.values()) == sorted(errors.values(), reverse=True)
    facts = guard.accuracy(program, quantized)
    assert facts["relative_rms_error"] > 0.1
    assert facts["layers"] == errors
    assert facts["positions"] == 40
