"""Every family fuses, and computes what it computed before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from mcu_sdk.lowering.calibrate import cache_ranges
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.model.load import find_checkpoint, load_model
from tests.checkpoints import FAMILIES

STEPS = 12
LENGTH = 16


def run(module: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of each step, float32[len(tokens), vocabulary]."""
    with torch.no_grad():
        steps = [
            module(input_ids=token.view(1, 1), cache_position=torch.tensor([position]))
            for position, token in enumerate(tokens)
        ]
    return torch.cat(steps, 1)[0]


EXPECTED = {  # rope, attention, rms_norm, layer_norm, activation
    "gpt2": (0, 2, 0, 5, 2),
    "gemma": (4, 2, 5, 0, 2),
    "qwen3": (4, 2, 9, 0, 2),
    "llama-vocab-1000": (6, 3, 7, 0, 3),
}


QUICK = {
    ("llama-odd", "calibrated"),
    ("gpt2", "calibrated"),
    ("gpt2", "dynamic"),
    ("gemma", "calibrated"),
    ("qwen2-window", "dynamic"),
}
"""What every run fuses; the rest is behind the marker `slow`."""


@pytest.mark.parametrize(
    ("family", "scales"),
    [
        pytest.param(family, scales, marks=[] if (family, scales) in QUICK else [pytest.mark.slow])
        for family in FAMILIES
        for scales in ("calibrated", "dynamic")
    ],
)
def test_family_fuses_and_stays_close(family: str, scales: str, checkpoint: Callable[[str], Path]) -> None:
    model = load_model(find_checkpoint(str(checkpoint(family))))
    program = export_decoder(model, LENGTH)
    tokens = torch.randint(0, 257, (STEPS,), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = model(input_ids=tokens[None]).logits[0]
    ranges = cache_ranges(model, tokens[None]) if scales == "calibrated" else None
    counts = asdict(fuse(program, LENGTH, ranges))
    assert tuple(counts.values()) == (*EXPECTED.get(family, (4, 2, 5, 0, 2)), 0, 0)  # no experts, no encoder
    targets = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert not any(
        name in t for t in targets for name in ("sin", "cos", "softmax", "attention.default", "rsqrt")
    )
    buffers = {name: value.dtype for name, value in [*program.state_dict.items(), *program.constants.items()]}
    assert all(
        t == torch.int8
        for name, t in buffers.items()
        if name.startswith(("key_cache", "value_cache")) and not name.endswith(("scale", "scales"))
    )
    found = run(program.module(check_guards=False), tokens)
    # int8 keys, values and queries (half a step of 1/127 each) and 7-bit probabilities are all that differs: a few
    # percent of the logits' range for random weights.
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
