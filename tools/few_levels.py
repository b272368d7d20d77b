#!/usr/bin/env python3
"""What weights of few levels for an NPU cost, in PyTorch with float activations: a table of docs/npu_lowering.md.

python tools/few_levels.py TEXT --begin 0.9
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from mcu_sdk.evaluate import Text, model_score, read_text
from mcu_sdk.lowering.calibrate import LONGEST_WINDOW, sample_windows
from mcu_sdk.lowering.export import choose_cache_length
from mcu_sdk.lowering.gptq import Grouped, few_levels, quantize_groups
from mcu_sdk.lowering.int4 import FloatLinear
from mcu_sdk.lowering.levels_by_cost import divergence, entropy
from mcu_sdk.lowering.linears import Linears
from mcu_sdk.lowering.moments import is_linear, linear_moments, rows_of, weight_digest
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
    windows = min(length, LONGEST_WINDOW)
    moments = linear_moments(model, sample_windows(model, windows))
    modules = {weight_digest(rows_of(m)): (name, m) for name, m in model.named_modules() if is_linear(m)}
    fifteen = {
        digest: quantize_groups(rows_of(modules[digest][1]), moments[digest], few_levels())
        for digest in moments
    }
    linears = [FloatLinear(name, rows_of(module).detach()) for name, module in modules.values()]
    needed = levels_of(
        model,
        sample_windows(model, windows, count=ROUNDING_WINDOWS),
        linears,
        CompileOptions(weights="int4"),
    )
    reference = model_score(model, text)
    print(f"{'float':42} {reference:.5f}")
    for name, rounded in (("15 levels, GPTQ", fifteen), ("levels by need, in order", needed.rounded)):
        print(f"{name:42} {_measured(model, text, rounded, reference)}", flush=True)


def _measured(model: torch.nn.Module, text: Text, rounded: Mapping[str, Grouped], reference: float) -> str:
    """Bits a weight, divergence and bits per byte of a model with these weights."""
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
    return f"{bits:.2f} bits  KL {apart:.5f}  {found:.5f} {(found / reference - 1) * 100:+.3f} %"


if __name__ == "__main__":
    main()
