#!/usr/bin/env python3
"""What two biases of 600 in a Qwen2's k_proj cost, in the int8 cache and kept out of it: the table of docs/quantization.md.

python tools/key_biases.py
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import get_args

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mcu_sdk.lowering.accuracy import measure
from mcu_sdk.lowering.fuse import key_bias
from mcu_sdk.lowering.guard import checkpoint_logits
from mcu_sdk.lowering.run_step import StepRunner
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.options import CacheScales, CompileOptions
from mcu_sdk.recipes.decoder import quantized_step

SIZE, CACHE, STEPS, VOCABULARY, SPREAD = 600.0, 32, 24, 256, 0.1

PLACES = (((0, 3), (0, 17)), ((0, 14), (1, 30)))
"""(layer, channel) of the biases; a channel is one of 2 heads of 16, whose pairs are 8 apart."""


def qwen2(places: tuple[tuple[int, int], ...]) -> PreTrainedModel:
    """Two layers of 64 with seeded random weights."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen2",
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=SPREAD,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    biases = {name: value for name, value in model.named_parameters() if name.endswith("bias")}
    for value in biases.values():
        value.data = SPREAD * torch.randn_like(value)
    for layer, channel in places:
        biases[f"model.layers.{layer}.self_attn.k_proj.bias"].data[channel] = SIZE
    return model


def error(model: PreTrainedModel, scales: CacheScales) -> float:
    """The relative RMS error of the quantized step's logits over random tokens."""
    tokens = torch.randint(0, VOCABULARY, (2, STEPS), generator=torch.Generator().manual_seed(5))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder) / "model")
        options = CompileOptions(CACHE, cache_scales=scales)
        step, _, _ = quantized_step(find_checkpoint(f"{folder}/model"), options)
    found = StepRunner(step).run(tokens)
    return measure(found, checkpoint_logits(model, tokens), logits=True).relative_rms_error


def main() -> None:
    kept_out = key_bias.LARGE
    for places in PLACES:
        for scales in get_args(CacheScales):
            errors = []
            for key_bias.LARGE in (math.inf, kept_out):  # no bias is so large: all stay in
                errors.append(error(qwen2(places), scales))
            where = " and ".join(f"{channel} of layer {layer}" for layer, channel in places)
            print(f"| {where} | {scales} | {errors[0]:.3f} | {errors[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
