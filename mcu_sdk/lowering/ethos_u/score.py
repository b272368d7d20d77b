"""The quantized step over text in PyTorch, with the NPU's integers: its logits, its loss, the tokens it chooses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Interpreter

from mcu_sdk.lowering.accuracy import LAYER_POSITIONS, errors_by_module
from mcu_sdk.lowering.ethos_u.arithmetic import NpuArithmetic
from mcu_sdk.lowering.ethos_u.cache_scales import fold_cache_scales
from mcu_sdk.lowering.ethos_u.calibrate import step_inputs
from mcu_sdk.lowering.ethos_u.compile import QuantizedStep
from mcu_sdk.lowering.ethos_u.step import NpuStep
from mcu_sdk.lowering.module_path import traced
from mcu_sdk.lowering.run_step import Observe, Observed


class Sequences:
    """`batch` sequences side by side, token by token from empty caches; batch is 1 or `quantized.batch`.

    `graph` takes the quantized step's place.
    """

    def __init__(self, quantized: QuantizedStep, batch: int, graph: Interpreter | None = None) -> None:
        assert batch in (1, quantized.batch)
        self._quantized, self._batch = quantized, batch
        self._graph = graph or NpuArithmetic(quantized.one if batch == 1 else quantized.many)
        self._keys, self._values = quantized.step.example_inputs(batch)[-2:]
        self._position = 0

    def reset(self) -> None:
        """Forget all tokens. What lies in the caches is masked."""
        self._position = 0

    @torch.no_grad()
    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """The next tokens int64[B] -> logits float64[B, V]."""
        position, step = self._position, self._quantized.step
        where = torch.full((self._batch,), position)
        rows = step_inputs(step, tokens, where, self._quantized.masked)
        logits, keys, values = self._graph.run(*rows, self._keys, self._values)
        self._keys[:, :, position], self._values[..., position] = keys[:, :, 0], values[:, :, 0]
        self._position += 1
        found: torch.Tensor = logits[:, 0]
        return found


def logits_of(
    quantized: QuantizedStep, window: torch.Tensor, graph: Interpreter | None = None
) -> torch.Tensor:
    """Tokens int64[L] -> logits float64[L, V]; `graph` as in `Sequences`."""
    sequences = Sequences(quantized, 1, graph)
    return torch.cat([sequences.step(token[None]) for token in window])


def npu_layer_errors(quantized: QuantizedStep, window: torch.Tensor) -> dict[str, float]:
    """`errors_by_module` of the step in float and with the NPU's integers, over the first tokens of the window int64[L].

    In float its weights are not rounded to few levels, but have the caches' scales as those of the integers do.
    """
    tokens, step = window[:LAYER_POSITIONS], quantized.step
    in_float = NpuStep(step.program, step.cache_length, step.attend)
    fold_cache_scales(in_float, {})
    graph = traced(in_float, in_float.example_inputs())

    def run_float(observe: Observe) -> None:
        logits_of(quantized, tokens, Observed(graph, observe))

    def run_quantized(observe: Observe, steps: int | None = None) -> None:
        logits_of(quantized, tokens[:steps], NpuArithmetic(quantized.one, observe))

    return errors_by_module(run_float, run_quantized)


def total_loss(quantized: QuantizedStep, windows: torch.Tensor) -> float:
    """Sum over windows int64[n, L] of the nats of each token but the first, given those before it.

    `quantized.batch` windows run side by side; the last batch is filled up with copies that do not count.
    """
    sequences = Sequences(quantized, quantized.batch)
    return sum(
        _batch_loss(sequences, quantized.batch, windows[begin : begin + quantized.batch])
        for begin in range(0, len(windows), quantized.batch)
    )


def greedy_tokens(quantized: QuantizedStep, prompt: Sequence[int], count: int) -> list[int]:
    """`count` tokens after the prompt, each the most likely one."""
    sequences, tokens = Sequences(quantized, 1), list(prompt)
    for position in range(len(prompt) + count - 1):
        logits = sequences.step(torch.tensor([tokens[position]]))
        if position + 1 == len(tokens):
            tokens.append(int(logits.argmax()))
    return tokens[len(prompt) :]


def _batch_loss(sequences: Sequences, batch: int, windows: torch.Tensor) -> float:
    count = len(windows)
    filled = windows[torch.arange(batch) % count]
    sequences.reset()
    total = 0.0
    for position in range(windows.shape[1] - 1):
        logits = sequences.step(filled[:, position])[:count]
        targets = windows[:, position + 1]
        total += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
    return total
