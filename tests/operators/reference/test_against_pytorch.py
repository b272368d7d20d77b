"""Each `mcu::` operator against plain PyTorch. Bit equality with the C++ kernels is tested in tests/kernels/."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import mcu_sdk.operators.reference  # noqa: F401
from mcu_sdk.operators.reference import exact_math

mcu = torch.ops.mcu
ULP = 2.0**-23
"""Relative rounding of one float32 operation is half of this."""


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_fma_rounds_once() -> None:
    """Against exact rational arithmetic, on values whose product and sum need more than 53 bits."""
    from fractions import Fraction

    draw = np.random.default_rng(1)
    scale = 2.0 ** draw.integers(-30, 30, (3, 4000))
    a, b, c = (draw.standard_normal((3, 4000)) * scale).astype(np.float32)
    c[::3] = -(a[::3] * b[::3])  # cancellation
    found = exact_math.fma(a, b, c)
    for i in range(len(a)):
        exact = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
        neighbours = [np.nextafter(found[i], np.float32(s)) for s in (-np.inf, np.inf)]
        distance = abs(Fraction(float(found[i])) - exact)
        assert all(distance <= abs(Fraction(float(n)) - exact) for n in neighbours)


def test_exp_is_within_its_bound() -> None:
    x = np.linspace(-86, 88, 200_001).astype(np.float32)
    relative = np.abs(exact_math.exp(x) / np.exp(x.astype(np.float64)) - 1)
    assert relative.max() < 2.5e-7  # what its docstring says


def test_exp_clamps() -> None:
    x = np.array([-1e30, -200, 200, np.nan, -np.inf], np.float32)
    low, high = exact_math.exp(np.float32([-86]))[0], exact_math.exp(np.float32([88]))[0]
    assert exact_math.exp(x).tolist() == [low, low, high, low, low]


def test_erf_is_within_its_bound() -> None:
    x = np.linspace(-6, 6, 50_001).astype(np.float32)
    assert max(abs(float(y) - math.erf(v)) for v, y in zip(x.tolist(), exact_math.erf(x), strict=True)) < 5e-7


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (1, 3, 64), (2, 5, 72)])
def test_norms(shape: tuple[int, ...], generator: torch.Generator) -> None:
    x = torch.randn(shape, generator=generator) * 3
    weight, bias = torch.randn(2, shape[-1], generator=generator)
    # n additions in another order, each with half an ulp
    bound = (shape[-1] + 8) * ULP * 4
    rms = functional.rms_norm(x, shape[-1:], weight, 1e-5)
    assert torch.allclose(mcu.rms_norm(x, weight, 1e-5), rms, rtol=bound, atol=bound)
    layer = functional.layer_norm(x, shape[-1:], weight, bias, 1e-5)
    assert torch.allclose(mcu.layer_norm(x, weight, bias, 1e-5), layer, rtol=bound, atol=10 * bound)


def test_activations(generator: torch.Generator) -> None:
    x = torch.cat([torch.randn(500, generator=generator) * 5, torch.tensor([0.0, -100.0, 100.0, -0.0])])
    up = torch.randn(len(x), generator=generator)
    bound = {"rtol": 2e-6, "atol": 1e-6}  # exp's and erf's bounds, times |x|
    assert torch.allclose(mcu.silu(x), functional.silu(x), **bound)
    assert torch.allclose(mcu.gated_silu(x, up), functional.silu(x) * up, **bound)
    for tanh, form in ((True, "tanh"), (False, "none")):
        assert torch.allclose(mcu.gelu(x, tanh), functional.gelu(x, approximate=form), **bound)
        assert torch.allclose(mcu.gated_gelu(x, up, tanh), functional.gelu(x, approximate=form) * up, **bound)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_quantize_rows_is_within_half_a_step(n: int, rows: int, seed: int) -> None:
    x = torch.randn(rows, n, generator=torch.Generator().manual_seed(seed))
    q, scale = mcu.quantize_rows(x)
    assert (
        q.dtype == torch.int8 and int(q.abs().max()) == 127
    )  # the greatest magnitude is representable exactly
    assert ((q * scale[:, None] - x).abs() <= scale[:, None] * 0.5001).all()


def test_quantize_rows_of_zeros() -> None:
    q, scale = mcu.quantize_rows(torch.zeros(2, 5))
    assert not q.any() and torch.isfinite(scale).all()


def test_quantize_agrees_with_quantized_decomposed(generator: torch.Generator) -> None:
    import torch.ao.quantization.fx._decomposed

    x = torch.randn(3000, generator=generator) * 4
    wanted = torch.ops.quantized_decomposed.quantize_per_tensor(x, 0.0317, -5, -128, 127, torch.int8)
    assert torch.equal(mcu.quantize(x, 0.0317, -5), wanted)


def test_linears(generator: torch.Generator) -> None:
    x = torch.randint(-128, 128, (3, 40), generator=generator).to(torch.int8)
    weight = torch.randint(-127, 128, (9, 40), generator=generator).to(torch.int8)
    weight_scale, bias = torch.rand(9, generator=generator) / 100, torch.randn(9, generator=generator)
    row_scale = torch.rand(3, generator=generator) / 10
    wanted = functional.linear(
        x.double() * row_scale[:, None], weight.double() * weight_scale[:, None], bias.double()
    )
    found = mcu.linear_s8(x, row_scale, weight, weight_scale, bias)
    assert torch.allclose(found.double(), wanted, rtol=4 * ULP, atol=1e-6)
    zero_point = 11
    offset = -zero_point * weight.int().sum(1, dtype=torch.int32)
    wanted = functional.linear((x.double() - zero_point) * 0.05, weight.double() * weight_scale[:, None])
    found = mcu.linear_s8_static(x, weight, offset, weight_scale * 0.05, None)
    assert torch.allclose(found.double(), wanted, rtol=4 * ULP, atol=1e-6)


def test_requantizing_linear_rounds_half_away_from_zero(generator: torch.Generator) -> None:
    x = torch.randint(-128, 128, (4, 33), generator=generator).to(torch.int8)
    weight = torch.randint(-127, 128, (6, 33), generator=generator).to(torch.int8)
    bias = torch.randint(-5000, 5000, (6,), generator=generator).int()
    multiplier = torch.randint(2**30, 2**31 - 1, (6,), generator=generator).int()
    shift = torch.tensor([-8, -9, -10, -7, -11, 1]).int()
    found = mcu.linear_s8_requantize(x, weight, bias, multiplier, shift, 3, -128, 127)
    real = (x.double() @ weight.double().T + bias) * multiplier * 2.0 ** (shift.double() - 31) + 3
    # two roundings of at most one half each
    assert (found.double() - real.clamp(-128, 127)).abs().max() <= 1.0


def test_embedding_and_its_range() -> None:
    weight = torch.randint(-127, 128, (5, 8)).to(torch.int8)
    scale = torch.rand(5)
    found = mcu.embedding_s8(weight, scale, torch.tensor([[3, 5], [-1, 0]]))
    assert torch.equal(found[0, 0], weight[3] * scale[3]) and torch.equal(found[1, 1], weight[0] * scale[0])
    assert not found[0, 1].any() and not found[1, 0].any()


@pytest.mark.parametrize("rotary", [8, 4])
def test_rope(rotary: int, generator: torch.Generator) -> None:
    x = torch.randn(1, 3, 1, 8, generator=generator)
    angles = torch.rand(6, rotary // 2, generator=generator) * 6
    found = mcu.rope(x, angles.cos(), angles.sin(), torch.tensor([4]))
    half, c, s = rotary // 2, angles[4].cos(), angles[4].sin()
    a, b = x[..., :half], x[..., half:rotary]
    wanted = torch.cat([a * c - b * s, b * c + a * s, x[..., rotary:]], -1)
    assert torch.allclose(found, wanted, rtol=4 * ULP, atol=4 * ULP)


def _cache(generator: torch.Generator, heads: int, length: int, n: int) -> torch.Tensor:
    return torch.randn(1, heads, length, n, generator=generator)


@pytest.mark.parametrize(("heads", "groups", "n", "position"), [(4, 2, 16, 0), (4, 4, 18, 9), (6, 1, 5, 15)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_attention(
    heads: int, groups: int, n: int, position: int, dynamic: bool, generator: torch.Generator
) -> None:
    """Writing step by step and attending: close to scaled_dot_product_attention on what was written."""
    length = 16
    keys, values = _cache(generator, groups, length, n), _cache(generator, groups, length, n)
    query = torch.randn(1, heads, 1, n, generator=generator)
    k_cache = torch.zeros(1, groups, length, n, dtype=torch.int8)
    v_cache = torch.zeros(1, groups, n, length, dtype=torch.int8)
    k_scales, v_scales = (torch.zeros(1, groups, length, dtype=torch.float16) for _ in range(2))
    k_scale, v_scale = (t[0].abs().amax(1) / 127 for t in (keys, values))
    for p in range(position + 1):
        step, at = (slice(None), slice(None), slice(p, p + 1)), torch.tensor([p])
        if dynamic:
            mcu.cache_scale_write_(k_scales, keys[step], at)
            mcu.cache_scale_write_(v_scales, values[step], at)
            mcu.cache_write_dynamic_(k_cache, keys[step], at)
            mcu.cache_write_columns_dynamic_(v_cache, values[step], at)
        else:
            mcu.cache_write_(k_cache, keys[step], 1 / k_scale, at)
            mcu.cache_write_columns_(v_cache, values[step], 1 / v_scale, at)
    assert not k_cache[:, :, position + 1 :].any() and not v_cache[..., position + 1 :].any()
    at, scale = torch.tensor([position]), n**-0.5
    if dynamic:
        found, _ = mcu.attention_s8_dynamic(query, k_cache, v_cache, k_scales, v_scales, at, scale)
    else:
        found, _ = mcu.attention_s8(query, k_cache, v_cache, k_scale, v_scale, at, scale)
    repeated = [t[:, :, : position + 1].repeat_interleave(heads // groups, 1) for t in (keys, values)]
    wanted = functional.scaled_dot_product_attention(query, *repeated)
    # int8 keys, queries and values and 7-bit probabilities: 1/254 of the greatest magnitude each, and the scores'
    # error grows with the width.
    assert (found - wanted).abs().max() < 0.06 * values.abs().max()


def test_a_position_outside_the_cache_changes_nothing(generator: torch.Generator) -> None:
    cache = torch.ones(1, 2, 4, 3, dtype=torch.int8)
    x = torch.randn(1, 2, 1, 3, generator=generator)
    for position in (-1, 4, 1 << 40):
        written = mcu.cache_write(cache, x, torch.ones(2, 3), torch.tensor([position]))
        assert torch.equal(written, cache)
        columns = cache.transpose(2, 3).contiguous()
        written = mcu.cache_write_columns(columns, x, torch.ones(2, 3), torch.tensor([position]))
        assert torch.equal(written, columns)
