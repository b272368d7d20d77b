"""The constants of an int8 linear with an int8 result, and the clamps that become its bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.fx import Graph

from mcu_sdk.lowering.requantize import clamp_bounds, requantization
from mcu_sdk.operators.reference.linear import requantize

aten = torch.ops.aten


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 300),
    x_zero_point=st.integers(-128, 127),
    x_scale=st.floats(1e-4, 10),
    spread=st.floats(0.01, 100),
    with_bias=st.booleans(),
)
def test_the_integers_are_the_real_result_within_one_step(
    seed: int, k: int, x_zero_point: int, x_scale: float, spread: float, with_bias: bool
) -> None:
    """Half a step from rounding, half a step at most from the bias rounded to the products' unit (the unit is never
    larger than the step here) and 2^-30 of the value from the multiplier."""
    draw = np.random.default_rng(seed)
    weight = torch.tensor(draw.integers(-127, 128, (5, k)), dtype=torch.int8)
    weight_scale = torch.tensor(draw.uniform(1e-3, 1e-1, 5), dtype=torch.float32)
    x = draw.integers(-128, 128, k)
    unit = weight_scale.double().numpy() * x_scale
    bias = torch.tensor(draw.normal(size=5) * unit * 1000, dtype=torch.float32) if with_bias else None
    real = (weight.double().numpy() @ (x - x_zero_point)) * unit
    if bias is not None:
        real = real + bias.double().numpy()
    out_scale = max(float(unit.max()), spread * float(np.abs(real).max()) / 128)
    constants = requantization(weight, weight_scale, bias, x_scale, x_zero_point, out_scale)
    assert constants is not None
    accumulated = (weight.long().numpy() @ x + constants.bias.long().numpy()).astype(np.int32)
    found = requantize(accumulated, constants.multiplier.numpy(), constants.shift.numpy())
    assert np.abs(found - real / out_scale).max() <= 1.0 + 1e-6


def test_a_factor_too_large_for_32_bits_is_refused() -> None:
    """Shifted left before the multiplication, a sum of 1000 products of 127 * 128 would leave int32."""
    weight = torch.full((1, 1000), 127, dtype=torch.int8)
    scale = torch.ones(1)
    assert requantization(weight, scale, None, 1.0, 0, 1.0) is not None
    assert requantization(weight, scale, None, 1.0, 0, 2.0**-12) is None
    assert requantization(weight, scale, torch.tensor([1e30]), 1.0, 0, 1.0) is None


def test_a_factor_too_small_to_matter_is_zero() -> None:
    constants = requantization(torch.ones((1, 4), dtype=torch.int8), torch.ones(1), None, 1e-12, 0, 1.0)
    assert constants is not None
    assert (constants.multiplier.tolist(), constants.shift.tolist()) == ([0], [0])


@pytest.mark.parametrize(
    ("target", "arguments", "keywords", "bounds"),
    [
        (aten.relu.default, (), {}, (0.0, math.inf)),
        (aten.hardtanh.default, (), {}, (-1.0, 1.0)),
        (aten.hardtanh.default, (0.0, 6.0), {}, (0.0, 6.0)),
        (aten.hardtanh.default, (-2.0,), {}, (-2.0, 1.0)),
        (aten.clamp.default, (), {"max": 3}, (-math.inf, 3.0)),
        (aten.clamp.default, (-0.5,), {}, (-0.5, math.inf)),
        (aten.clamp.default, (2, 1), {}, (1.0, 1.0)),
        (aten.sigmoid.default, (), {}, None),
    ],
)
def test_clamps_are_read_however_they_are_written(
    target: object, arguments: tuple, keywords: dict, bounds: tuple[float, float] | None
) -> None:
    graph = Graph()
    node = graph.call_function(target, (graph.placeholder("x"), *arguments), keywords)
    assert clamp_bounds(node) == bounds
