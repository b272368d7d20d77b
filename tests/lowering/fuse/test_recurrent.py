"""LSTM and GRU, of several layers and both directions, become one call each, and compute what PyTorch's do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import export

import mcu_sdk
from mcu_sdk.lowering.fuse.graph import tidy
from mcu_sdk.lowering.fuse.recurrent import fuse_recurrent
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter

STEPS, INPUTS, N = 4, 5, 6


class Read(nn.Module):
    """A recurrent layer that begins with given states, or with zeros; gives all that it does."""

    def __init__(self, kind: Any, begins: bool = True, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.begins = kind(INPUTS, N, **options), begins

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        begin: Any = (states if len(states) > 1 else states[0]) if self.begins else None
        out, last = self.layer(x, begin)
        return (out, *last) if isinstance(last, tuple) else (out, last)


def call_of(layer: nn.RNNBase, sequences: int, seed: int, begins: bool = True) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shape = (sequences, STEPS) if layer.batch_first else (STEPS, sequences)
    count = (2 if isinstance(layer, nn.LSTM) else 1) if begins else 0
    directions = 2 if layer.bidirectional else 1
    begin = [
        torch.randn(layer.num_layers * directions, sequences, N, generator=generator) for _ in range(count)
    ]
    return torch.randn(*shape, INPUTS, generator=generator), *(value.clamp(-1, 1) for value in begin)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    ("sequences", "options"),
    [
        (1, {"batch_first": True}),
        (3, {"num_layers": 2, "bidirectional": True, "bias": False}),
    ],
)
def test_fused(kind: Any, sequences: int, options: dict[str, Any]) -> None:
    module = Read(kind, **options).eval()
    call = call_of(module.layer, sequences, 1)
    program = export(module, call, strict=False).run_decompositions({})
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    assert fuse_recurrent(program) == layers
    tidy(program)
    for found, wanted in zip(program.module()(*call), module(*call), strict=True):
        torch.testing.assert_close(found, wanted)


def test_projections_stay() -> None:
    module = Read(nn.LSTM, begins=False, proj_size=3).eval()
    program = export(module, call_of(module.layer, 1, 1, False), strict=False).run_decompositions({})
    assert fuse_recurrent(program) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "begins"),
    [
        (nn.LSTM, {"batch_first": True, "bidirectional": True, "num_layers": 2}, False),
        (nn.LSTM, {"num_layers": 2}, True),
        (nn.GRU, {"bidirectional": True}, True),
    ],
)
def test_int8_from_layer_to_layer(kind: Any, options: dict[str, Any], begins: bool) -> None:
    """Only what comes in and goes out is converted, and the file computes what PyTorch does."""
    module = Read(kind, begins, **options).eval()
    calls = [call_of(module.layer, 1, seed, begins) for seed in range(4)]
    made = mcu_sdk.compile_module(module, calls[0], calibration=calls)
    assert made.facts["accuracy"]["relative_rms_error"] < 0.02
    program = read_pte(made.pte)
    counts = Counter(instruction.operator for instruction in program.instructions)
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    assert counts[f"mcu::{kind.__name__.lower()}_s8"] == layers
    assert counts["cortex_m::quantize_per_tensor"] == 1 + (len(calls[0]) - 1) * layers
    assert not any("linear" in operator for operator in counts)
    found = Interpreter(program).run(*calls[1])
    for result, wanted in zip(found, module(*calls[1]), strict=True):
        torch.testing.assert_close(result, wanted, atol=0.03, rtol=0)
