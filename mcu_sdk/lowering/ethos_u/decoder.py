"""A decoder step around its delegate: what the CPU looks up before it and writes to the cache after it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from mcu_sdk.lowering.ethos_u.delegate import Delegate, Scale
from mcu_sdk.lowering.ethos_u.step import NpuStep


class DecoderStep(nn.Module):
    """`(input_ids int64[1,1], cache_position int64[1]) -> logits float32[1,1,V]`, the caches int8 buffers.

    Tables hold what the delegate reads, already quantized; the only floating-point work is the logits' scale.
    """

    key_cache: torch.Tensor
    value_cache: torch.Tensor

    def __init__(self, step: NpuStep, delegate: Delegate, mask: torch.Tensor) -> None:
        super().__init__()
        self.delegate = delegate.module
        self.order = delegate.arguments
        self.results = delegate.results[:3]  # a fourth is for the NPU alone (held_caches.py)
        self.logits: Scale = delegate.outputs[0]
        self.indices = [lookup.index for lookup in step.lookups] + ["position"]
        tables = [lookup.table for lookup in step.lookups] + [mask]
        for index, (table, scale) in enumerate(zip(tables, delegate.inputs, strict=False)):
            # [rows, 1, n]: a looked-up row then has the delegate's shape
            self.register_buffer(f"table_{index}", scale.quantize(table).unsqueeze(1))
        keys, values = step.example_inputs()[-2:]
        self.register_buffer("key_cache", keys.to(delegate.inputs[-2].dtype))
        self.register_buffer("value_cache", values.to(delegate.inputs[-1].dtype))

    def rows(self, input_ids: torch.Tensor, cache_position: torch.Tensor) -> list[torch.Tensor]:
        """The delegate's inputs before the caches, in the step's order."""
        rows = []
        for index, kind in enumerate(self.indices):
            where = input_ids.reshape(1) if kind == "token" else cache_position
            rows.append(torch.index_select(getattr(self, f"table_{index}"), 0, where))
        return rows

    def forward(self, input_ids: torch.Tensor, cache_position: torch.Tensor) -> torch.Tensor:
        inputs = [*self.rows(input_ids, cache_position), self.key_cache, self.value_cache]
        found: Any = self.delegate(*(inputs[index] for index in self.order))
        logits, keys, values = (found[index] for index in self.results)
        self.key_cache.index_copy_(2, cache_position, keys)
        self.value_cache.index_copy_(3, cache_position, values.reshape(*values.shape[:2], -1, 1))
        return self.logits.dequantize(logits)


def mask_table(length: int, masked: float) -> torch.Tensor:
    """float32[length, length + 1]: row p is 0 before p and `masked` from p on, but 0 at its end, for position p itself."""
    positions = torch.arange(length)
    cached = torch.where(positions[None, :] < positions[:, None], 0.0, masked)
    return torch.nn.functional.pad(cached, (0, 1))


def export_step(step: DecoderStep) -> ExportedProgram:
    """The step as a program whose caches are mutable buffers."""
    example = (torch.tensor([[1]]), torch.tensor([0]))
    with torch.no_grad():
        return torch.export.export(
            step,
            (),
            kwargs={"input_ids": example[0], "cache_position": example[1]},
            strict=False,
        )
