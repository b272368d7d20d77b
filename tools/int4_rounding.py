#!/usr/bin/env python3
"""What each way of rounding weights to few bits costs, in PyTorch with float activations: the tables of docs/int4.md.

python tools/int4_rounding.py TEXT --begin 0.9
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from mcu_sdk.evaluate import model_score, read_text
from mcu_sdk.lowering.calibrate import LONGEST_WINDOW, sample_windows
from mcu_sdk.lowering.export import choose_cache_length
from mcu_sdk.lowering.gptq import INT4, Grid, dequantize_groups, quantize_groups
from mcu_sdk.lowering.moments import linear_moments, weight_digest
from mcu_sdk.model.load import find_checkpoint, load_model

FEWER = {
    "int3 in groups of 32": Grid(-4, 3, 32, 0.4, 31, torch.bfloat16),
    "15 levels, a scale for each row": Grid(-7, 7, None, 0.3, 71),
    "7 levels, a scale for each row": Grid(-3, 3, None, 0.2, 81),
    "3 levels, a scale for each row": Grid(-1, 1, None, 0.1, 91),
}
"""Of integers below int4's, and of those that an NPU's lossless coder packs."""


def entropy(values: torch.Tensor) -> float:
    """Bits a weight that no coder which looks at one at a time goes below."""
    shares = torch.bincount(values.flatten().long() + 128).double() / values.numel()
    return float(-(shares * shares.clamp_min(1e-300).log2()).sum())


def int8_rows(weight: torch.Tensor) -> torch.Tensor:
    """The weights that int8 with a scale for each row means."""
    scale = weight.abs().amax(1, keepdim=True) / 127
    return (weight / scale).round() * scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--begin", type=float, default=0.0)
    parser.add_argument("--model")
    parser.add_argument("--only", default="", help="the rows with this in their names")
    arguments = parser.parse_args()
    checkpoint = find_checkpoint(arguments.model)
    model = load_model(checkpoint)
    length = choose_cache_length(model.config, type(model).__name__, None)
    text = read_text(arguments.text, checkpoint, length, arguments.begin)
    moments = linear_moments(model, sample_windows(model, min(length, LONGEST_WINDOW)))
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    blocks = [m for m in linears if weight_digest(m.weight) in moments]
    table = model.get_input_embeddings()
    reference = model_score(model, text)
    print(f"{'float':42} {reference:.5f}", flush=True)

    def gptq(weight: torch.Tensor) -> torch.Tensor:
        return dequantize_groups(*quantize_groups(weight, moments[weight_digest(weight)]))

    def weighted(weight: torch.Tensor) -> torch.Tensor:
        diagonal = moments[weight_digest(weight)].diagonal()
        return dequantize_groups(*quantize_groups(weight, torch.diag(diagonal)))

    def nearest(weight: torch.Tensor) -> torch.Tensor:
        return dequantize_groups(*quantize_groups(weight, None))

    def measure(
        name: str, modules: list[torch.nn.Module], rounding: Callable[..., torch.Tensor], note: str = ""
    ) -> None:
        if arguments.only not in name:
            return
        kept = [module.weight.data for module in modules]
        for module, weight in zip(modules, kept, strict=True):
            module.weight.data = rounding(weight)
        found = model_score(model, text)
        for module, weight in zip(modules, kept, strict=True):
            module.weight.data = weight
        print(f"{name:42} {found:.5f} {(found / reference - 1) * 100:+.3f} %{note}", flush=True)

    for name, modules, rounding in (
        ("blocks int8", blocks, int8_rows),
        ("blocks int4, nearest", blocks, nearest),
        ("blocks int4, weighted scales", blocks, weighted),
        ("blocks int4, GPTQ", blocks, gptq),
        ("embedding and head int8", [table], int8_rows),
        ("embedding and head int4", [table], nearest),
    ):
        measure(name, modules, rounding)
    for grid_name, grid in {"int4 in groups of 32": INT4, **FEWER}.items():
        name = f"blocks, {grid_name}"
        if arguments.only not in name:
            continue
        rounded = {
            weight_digest(module.weight): quantize_groups(
                module.weight, moments[weight_digest(module.weight)], grid
            )
            for module in blocks
        }
        bits = [entropy(values) * values.numel() for values, _ in rounded.values()]
        count = sum(values.numel() for values, _ in rounded.values())
        measure(
            name,
            blocks,
            lambda weight: dequantize_groups(*rounded[weight_digest(weight)], grid),  # noqa: B023
            f"  {sum(bits) / count:.2f} bits a weight",
        )


if __name__ == "__main__":
    main()
