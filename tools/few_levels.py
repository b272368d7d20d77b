#!/usr/bin/env python3
"""What weights of few levels for an NPU cost, in PyTorch with float activations, and the bytes that Vela's encoder makes of them: a
table of docs/npu_lowering.md.

python tools/few_levels.py TEXT --begin 0.9
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from mcu_sdk.evaluate import Text, model_score, read_text
from mcu_sdk.lowering.calibrate import LONGEST_WINDOW, sample_windows
from mcu_sdk.lowering.ethos_u.packed import packed_bytes
from mcu_sdk.lowering.export import choose_cache_length
from mcu_sdk.lowering.gptq import Grouped, few_levels, quantize_groups
from mcu_sdk.lowering.in_order import round_in_order
from mcu_sdk.lowering.int4 import FloatLinear
from mcu_sdk.lowering.levels_by_cost import FEWEST, MOST, divergence, entropy, nearest
from mcu_sdk.lowering.linears import Linears
from mcu_sdk.lowering.moments import is_linear, linear_moments, rows_of, weight_digest
from mcu_sdk.lowering.output_moments import output_moments
from mcu_sdk.lowering.two_sided import row_steps
from mcu_sdk.model.load import find_checkpoint, load_model
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.few_levels import levels_of
from mcu_sdk.recipes.windows import ROUNDING_WINDOWS

COMPARED = 16
"""Windows of the text that the divergence is measured on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--begin", type=float, default=0.0)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    checkpoint = find_checkpoint(arguments.model)
    model = load_model(checkpoint)
    length = choose_cache_length(model.config, type(model).__name__, None)
    text = read_text(arguments.text, checkpoint, length, arguments.begin)
    windows = sample_windows(model, min(length, LONGEST_WINDOW), count=ROUNDING_WINDOWS)
    modules = {weight_digest(rows_of(m)): (name, m) for name, m in model.named_modules() if is_linear(m)}
    linears = [FloatLinear(name, rows_of(module).detach()) for name, module in modules.values()]
    weights = {digest: rows_of(module).detach() for digest, (_, module) in modules.items()}
    reference = model_score(model, text)
    print(f"{'float':30} {reference:.5f}")

    def tell(name: str, rounded: Mapping[str, Grouped]) -> None:
        print(f"{name:30} {_measured(model, text, rounded, reference)}", flush=True)

    tell("int8", {digest: _nearest(weight) for digest, weight in weights.items()})
    moments = linear_moments(model, windows, head=True)
    tell(
        "15 levels, GPTQ",
        {digest: quantize_groups(weights[digest], moments[digest], few_levels()) for digest in moments},
    )
    tell("levels by need", levels_of(model, windows, linears, CompileOptions(weights="int4")).rounded)
    outputs = output_moments(model, windows)
    steps = {digest: row_steps(weights[digest], outputs[digest], FEWEST) for digest in outputs}
    tell("7 levels", round_in_order(model, windows, steps, outputs))


def _nearest(weight: torch.Tensor) -> Grouped:
    """As int8 without more ado."""
    return nearest(weight, MOST), weight.abs().amax(1, keepdim=True) / MOST


def _measured(model: torch.nn.Module, text: Text, rounded: Mapping[str, Grouped], reference: float) -> str:
    """Bits a weight, bytes, divergence and bits per byte of a model with these weights."""
    linears = Linears(model, rounded)  # type: ignore[arg-type]
    full = [torch.from_numpy(part) for part in text.windows() if len(part) == text.window]
    tokens = torch.stack(full[:: max(1, len(full) // COMPARED)])
    wanted = linears.probabilities(tokens)
    for digest, (values, scales) in rounded.items():
        linears.use(digest, values.float() * scales)
    apart, found = divergence(wanted, linears.probabilities(tokens)), model_score(model, text)  # type: ignore[arg-type]
    linears.restore()
    count = sum(values.numel() for values, _ in rounded.values())
    bits = sum(entropy(values) * values.numel() for values, _ in rounded.values()) / count
    size = sum(packed_bytes(values) for values, _ in rounded.values())
    percent = (found / reference - 1) * 100
    return f"{bits:.2f} bits  {size:9,} bytes  KL {apart:.5f}  {found:.5f} {percent:+.3f} %"


if __name__ == "__main__":
    main()
