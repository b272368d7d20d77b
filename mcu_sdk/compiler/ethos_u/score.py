"""The loss of a quantized NPU step on text, in PyTorch: the integers' scales, the look-up tables, the int8 cache."""

from __future__ import annotations

import copy

import torch

from mcu_sdk.compiler.ethos_u.calibrate import step_inputs
from mcu_sdk.compiler.ethos_u.compile import QuantizedStep
from mcu_sdk.compiler.ethos_u.tables import use_tables


def total_loss(quantized: QuantizedStep, windows: torch.Tensor) -> float:
    """Sum over windows int64[n, L] of the nats of each token but the first, given those before it.

    `quantized.batch` windows run side by side, token by token from empty caches; the last batch is filled up with
    copies that do not count. The graph is the one that is lowered, for a batch; 16-bit functions go through the NPU's
    tables. What differs from the NPU is float32's rounding of the products' sums.
    """
    module = copy.deepcopy(quantized.many)
    use_tables(module)
    return sum(
        _batch_loss(quantized, module, windows[begin : begin + quantized.batch])
        for begin in range(0, len(windows), quantized.batch)
    )


def _batch_loss(quantized: QuantizedStep, module: torch.fx.GraphModule, windows: torch.Tensor) -> float:
    step, count = quantized.step, len(windows)
    filled = windows[torch.arange(quantized.batch) % count]
    keys, values = step.example_inputs(quantized.batch)[-2:]
    total = 0.0
    with torch.no_grad():
        for position in range(windows.shape[1] - 1):
            tokens, where = filled[:, position], torch.full((quantized.batch,), position)
            rows = step_inputs(step, tokens, where, quantized.masked)
            logits, new_keys, new_values = module(*rows, keys, values)
            keys[:, :, position], values[..., position] = new_keys[:, :, 0], new_values[:, :, 0]
            targets = windows[:, position + 1]
            total += torch.nn.functional.cross_entropy(
                logits[:count, 0].double(), targets, reduction="sum"
            ).item()
    return total
