"""The quantized step over text in PyTorch, with the NPU's integers: its logits, its loss, the tokens it chooses."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mcu_sdk.lowering.accuracy import LAYER_POSITIONS, errors_by_module, float_step
from mcu_sdk.lowering.ethos_u.arithmetic import NpuArithmetic
from mcu_sdk.lowering.ethos_u.calibrate import step_inputs
from mcu_sdk.lowering.ethos_u.compile import QuantizedStep
from mcu_sdk.lowering.run_step import Observe


class Sequences:
    """`batch` sequences side by side, token by token from empty caches; batch is 1 or `quantized.batch`.

    `observe(node, value)` sees every value of every step; what it returns takes the value's place.
    """

    def __init__(self, quantized: QuantizedStep, batch: int, observe: Observe | None = None) -> None:
        assert batch in (1, quantized.batch)
        self._quantized, self._batch = quantized, batch
        self._graph = NpuArithmetic(quantized.one if batch == 1 else quantized.many, observe)
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


def logits_of(quantized: QuantizedStep, window: torch.Tensor, observe: Observe | None = None) -> torch.Tensor:
    """Tokens int64[L] -> logits float64[L, V]; `observe` as in `Sequences`."""
    sequences = Sequences(quantized, 1, observe)
    return torch.cat([sequences.step(token[None]) for token in window])


def npu_layer_errors(quantized: QuantizedStep, window: torch.Tensor) -> dict[str, float]:
    """`errors_by_module` of the step in float and with the NPU's integers, over the first tokens of the window int64[L]."""
    tokens = window[:LAYER_POSITIONS]

    def run_quantized(observe: Observe, steps: int | None = None) -> None:
        logits_of(quantized, tokens[:steps], observe)

    return errors_by_module(float_step(quantized.step.program, tokens[None]), run_quantized)


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
