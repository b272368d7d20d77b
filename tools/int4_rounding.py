#!/usr/bin/env python3
"""What each way of rounding weights to int4 costs, in PyTorch with float activations: the table of docs/int4.md.

python tools/int4_rounding.py TEXT --begin 0.9
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mcu_sdk.evaluate import model_score, read_text
from mcu_sdk.lowering.calibrate import LONGEST_WINDOW, sample_windows
from mcu_sdk.lowering.export import choose_cache_length
from mcu_sdk.lowering.gptq import dequantize_groups, quantize_groups
from mcu_sdk.lowering.moments import linear_moments, weight_digest
from mcu_sdk.model.load import find_checkpoint, load_model


def int8_rows(weight: torch.Tensor) -> torch.Tensor:
    """The weights that int8 with a scale for each row means."""
    scale = weight.abs().amax(1, keepdim=True) / 127
    return (weight / scale).round() * scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--begin", type=float, default=0.0)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    checkpoint = find_checkpoint(arguments.model)
    model = load_model(checkpoint)
    length = choose_cache_length(model, None)
    text = read_text(arguments.text, checkpoint, length, arguments.begin)
    moments = linear_moments(model, sample_windows(model, min(length, LONGEST_WINDOW)))
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    blocks = [m for m in linears if weight_digest(m.weight) in moments]
    table = model.get_input_embeddings()
    reference = model_score(model, text)
    print(f"float                          {reference:.5f}")

    def gptq(weight: torch.Tensor) -> torch.Tensor:
        return dequantize_groups(*quantize_groups(weight, moments[weight_digest(weight)]))

    def weighted(weight: torch.Tensor) -> torch.Tensor:
        diagonal = moments[weight_digest(weight)].diagonal()
        return dequantize_groups(*quantize_groups(weight, torch.diag(diagonal)))

    def nearest(weight: torch.Tensor) -> torch.Tensor:
        return dequantize_groups(*quantize_groups(weight, None))

    for name, modules, rounding in (
        ("blocks int8", blocks, int8_rows),
        ("blocks int4, nearest", blocks, nearest),
        ("blocks int4, weighted scales", blocks, weighted),
        ("blocks int4, GPTQ", blocks, gptq),
        ("embedding and head int8", [table], int8_rows),
        ("embedding and head int4", [table], nearest),
    ):
        kept = [module.weight.data for module in modules]
        for module, weight in zip(modules, kept, strict=True):
            module.weight.data = rounding(weight)
        found = model_score(model, text)
        for module, weight in zip(modules, kept, strict=True):
            module.weight.data = weight
        print(f"{name:30} {found:.5f} {(found / reference - 1) * 100:+.3f} %", flush=True)


if __name__ == "__main__":
    main()
