"""The simulator's answer beside the TOSA reference model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.simulator import Simulator
from tests.npu.lowering import Array, Lowered, random_inputs, reference

_FAST_BYTES = 384 * 1024
"""Region 2, where a memory mode has one: the size in Vela's Dedicated_Sram_384KB, ExecuTorch's default for the U65."""


def simulate(simulator: Any, blob: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The outputs' bytes, uint8 each. The scratch is filled with noise first: what is read before it is written
    shows."""
    parts = read_blob(blob)
    weights = np.frombuffer(parts.weights, np.uint8).copy()
    scratch = np.random.default_rng(5).integers(0, 256, parts.scratch_size, np.uint8)
    for tensor, values in zip(parts.inputs, inputs, strict=True):
        raw = np.frombuffer(values.tobytes(), np.uint8)
        assert raw.size == tensor.size_bytes
        scratch[tensor.offset : tensor.offset + raw.size] = raw
    fast = np.random.default_rng(6).integers(0, 256, _FAST_BYTES, np.uint8)
    simulator.run(parts.commands, [weights, scratch, fast])
    assert weights.tobytes() == parts.weights  # flash on a microcontroller
    return [scratch[t.offset : t.offset + t.size_bytes].copy() for t in parts.outputs]


def count_mismatches(lowered: Lowered, simulator: Any, seeds: Sequence[int]) -> tuple[int, int]:
    """How many elements differ, and how many there are, over inputs from each seed."""
    differing = total = 0
    for seed in seeds:
        inputs = random_inputs(lowered.tosa, seed)
        expected = reference(lowered.tosa, inputs)
        for wanted, found in zip(expected, simulate(simulator, lowered.blob, inputs), strict=True):
            differing += int((wanted.ravel() != found.view(wanted.dtype)).sum())
            total += wanted.size
    return differing, total


def make_simulator(name: str) -> Simulator:
    return Simulator(accelerator(name))
