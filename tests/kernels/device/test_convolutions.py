"""On Helium the convolutions are what this computer's plain kernel gives, bit for bit, and cost what they are to cost."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from mcu_sdk.planning.emitters.cortex_m_images import depthwise_scratch
from tests.kernels.call import Guarded, assert_same_bits, call, int8
from tests.kernels.conftest import sources_of
from tests.kernels.device.simulated import Simulated, build

Shape = tuple[int, int, int, int, tuple[int, int], tuple[int, int], tuple[int, int]]
"""(height, width, channels, outputs, window, strides, paddings)"""

DENSE: list[Shape] = [
    (1, 1, 1, 1, (1, 1), (1, 1), (0, 0)),
    (5, 4, 3, 8, (3, 3), (1, 1), (1, 1)),
    (5, 4, 3, 7, (3, 3), (2, 2), (1, 1)),
    (6, 7, 17, 5, (2, 3), (1, 2), (0, 2)),
    (13, 6, 1, 12, (10, 4), (2, 2), (5, 1)),
    (3, 3, 40, 16, (1, 1), (2, 2), (0, 0)),
    (2, 2, 16, 4, (5, 5), (1, 1), (4, 4)),
    (9, 40, 3, 8, (3, 3), (2, 2), (1, 1)),
    (5, 30, 4, 4, (3, 3), (1, 1), (0, 0)),
    (4, 20, 1, 4, (3, 3), (1, 1), (1, 1)),
]
DEPTHWISE: list[Shape] = [
    (height, width, channels, channels, window, (stride, stride), (pad, pad))
    for height, width, channels in (
        *((1, 1, 2), (5, 5, 3), (25, 5, 20), (4, 19, 16), (3, 9, 33), (9, 8, 64)),
        *((24, 23, 18), (4, 6, 9), (6, 4, 17), (4, 12, 5), (5, 6, 16)),
        *((3, 3, 17), (2, 4, 16), (6, 6, 5), (4, 4, 32), (8, 8, 3), (12, 12, 18), (6, 14, 7), (7, 3, 16)),
        *((2, 83, 5), (1, 165, 3), (84, 3, 2)),
    )
    for window, stride, pad in (((3, 3), 1, 1), ((3, 3), 2, 1), ((2, 3), 1, 1), ((3, 1), 2, 2))
]


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    sources = sources_of(
        "conv2d_s8", "conv2d_rows_s8", "depthwise_conv2d_s8", "avg_pool2d_s8", "max_pool2d_s8"
    )
    return build(sources, tmp_path_factory.mktemp("device"))


def _outputs(shape: Shape) -> tuple[int, int]:
    sizes = zip(shape[:2], *shape[4:], strict=True)
    height, width = ((size + 2 * pad - taps) // stride + 1 for size, taps, stride, pad in sizes)
    return height, width


def _window(shape: Shape, batch: int) -> Any:
    height, width, channels, outputs, window, stride, pad = shape
    out = _outputs(shape)
    return np.array([batch, height, width, channels, *out, outputs, *window, *stride, *pad, 1, 1], np.int32)


def _operands(
    rng: np.random.Generator, shape: Shape, batch: int, depthwise: bool
) -> tuple[list[Any], Any, Any]:
    """x, weight, bias, multiplier and shift; the window; the convolution."""
    height, width, channels, outputs, window, *_ = shape
    taps = window[0] * window[1]
    x = int8(rng, batch, height, width, channels)
    weight = int8(rng, taps, outputs) if depthwise else int8(rng, outputs, taps * channels)
    bias = rng.integers(-9999, 9999, outputs).astype(np.int32)
    multiplier = rng.integers(2**30, 2**31, outputs).astype(np.int32)
    shift = rng.integers(-9, -4, outputs).astype(np.int32)
    steps = [1, 1, 1, outputs] if depthwise else [channels, outputs, taps * channels, channels]
    low, high = sorted(rng.integers(-128, 128, 2).tolist()) if outputs % 2 else (-128, 127)
    numbers = [*steps, int(rng.integers(-127, 129)), int(rng.integers(-128, 128)), low, high]
    return (
        [Guarded(v.shape, v.dtype, v) for v in (x, weight, bias, multiplier, shift)],
        _window(shape, batch),
        np.array(numbers, np.int32),
    )


def _folded(weight: Any, bias: Any, offset: int) -> Any:
    return (bias + offset * weight.astype(np.int32).sum(axis=1)).astype(np.int32)


def _dense_scratch(shape: Shape) -> Guarded:
    blocks = -(-shape[2] * shape[4][0] * shape[4][1] // 16)
    return Guarded((32 + 64 * max(1, min(8, 16 // blocks))) * blocks + 32, np.uint8, aligned=True)


def _depthwise_scratch(shape: Shape) -> Guarded:
    return Guarded(depthwise_scratch((1, *_outputs(shape), shape[3]), shape[5]), np.uint8, aligned=True)


@pytest.mark.parametrize("depthwise", [False, True])
def test_is_the_plain_kernel(convolutions: Simulated, kernel_library: ctypes.CDLL, depthwise: bool) -> None:
    rng = np.random.default_rng(30 + depthwise)
    results = []
    for shape in DEPTHWISE if depthwise else DENSE:
        if min(_outputs(shape)) < 1:
            continue
        batch = int(rng.integers(1, 3))
        operands, window, numbers = _operands(rng, shape, batch, depthwise)
        out = Guarded((batch, *_outputs(shape), shape[3]), np.int8)
        expected = Guarded(out.array.shape, np.int8)
        call(kernel_library, "conv2d_s8", *operands, expected, window, numbers)
        if depthwise:
            name, scratch = "depthwise_conv2d_s8", _depthwise_scratch(shape)
        else:
            name, scratch = "conv2d_rows_s8", _dense_scratch(shape)
            folded = _folded(operands[1].array, operands[2].array, int(numbers[4]))
            operands[2] = Guarded(folded.shape, np.int32, folded)
        convolutions.call(name, *operands, out, window, numbers, scratch)
        results.append((shape, out, expected))
    convolutions.run()
    assert len(results) >= (20 if depthwise else 7)
    for _, out, expected in results:
        assert_same_bits(out.array, expected.array)


@pytest.mark.parametrize(
    ("depthwise", "shape", "least"),
    [
        (False, (25, 5, 64, 64, (3, 3), (1, 1), (1, 1)), 7.0),
        (False, (49, 10, 1, 64, (10, 4), (2, 2), (5, 1)), 2.9),
        (True, (48, 48, 8, 8, (3, 3), (1, 1), (1, 1)), 1.4),
        (True, (48, 48, 16, 16, (3, 3), (2, 2), (1, 1)), 1.25),
        (True, (24, 24, 32, 32, (3, 3), (1, 1), (1, 1)), 1.7),
        (True, (12, 12, 64, 64, (3, 3), (1, 1), (1, 1)), 1.6),
        (True, (12, 12, 64, 64, (3, 3), (2, 2), (1, 1)), 1.1),
        (True, (25, 5, 64, 64, (3, 3), (1, 1), (1, 1)), 1.5),
        (True, (6, 6, 128, 128, (3, 3), (1, 1), (1, 1)), 1.35),
        (True, (3, 3, 256, 256, (3, 3), (1, 1), (1, 1)), 0.74),
    ],
)
def test_instructions(convolutions: Simulated, depthwise: bool, shape: Shape, least: float) -> None:
    """Products an instruction, requantization included; a channel of a small image costs as much to begin with as one of
    a large one, and windows two pixels apart share no words."""
    operands, window, numbers = _operands(np.random.default_rng(0), shape, 1, depthwise)
    out = Guarded((1, *_outputs(shape), shape[3]), np.int8)
    scratch = _depthwise_scratch(shape) if depthwise else _dense_scratch(shape)
    name = "depthwise_conv2d_s8" if depthwise else "conv2d_rows_s8"
    done = convolutions.call(name, *operands, out, window, numbers, scratch)
    convolutions.run()
    products = out.array.size * shape[4][0] * shape[4][1] * (1 if depthwise else shape[2])
    assert products / done.instructions >= least


POOLS: list[Shape] = [
    (height, width, channels, channels, window, (stride, stride), (pad, pad))
    for height, width, channels in ((4, 5, 1), (6, 3, 15), (5, 5, 16), (3, 4, 37))
    for window, stride, pad in (((2, 2), 2, 0), ((3, 3), 1, 1), ((3, 2), 2, 1))
]


def _pool(shape: Shape) -> tuple[Any, Any, Guarded]:
    rng = np.random.default_rng(sum(shape[:3]))
    x = int8(rng, 2, *shape[:3])
    return (
        Guarded(x.shape, np.int8, x),
        _window(shape, 2),
        Guarded((2, *_outputs(shape), shape[3]), np.int8),
    )


@pytest.mark.parametrize(("name", "numbers"), [("max_pool2d_s8", (-90, 100)), ("avg_pool2d_s8", (-7, 0.037))])
def test_pools(
    convolutions: Simulated, kernel_library: ctypes.CDLL, name: str, numbers: tuple[Any, ...]
) -> None:
    results = []
    for shape in POOLS:
        x, window, out = _pool(shape)
        expected = Guarded(out.array.shape, np.int8)
        call(kernel_library, name, x, expected, window, *numbers)
        convolutions.call(name, x, out, window, *numbers)
        results.append((out, expected))
    convolutions.run()
    for out, expected in results:
        assert_same_bits(out.array, expected.array)


@pytest.mark.parametrize(
    ("name", "numbers", "most"), [("max_pool2d_s8", (-128, 127), 20), ("avg_pool2d_s8", (0, 0.1), 60)]
)
def test_pools_cost(convolutions: Simulated, name: str, numbers: tuple[Any, ...], most: int) -> None:
    """Instructions for a tap of 16 channels, all included."""
    shape: Shape = (25, 5, 64, 64, (25, 5), (25, 5), (0, 0))
    x, window, out = _pool(shape)
    done = convolutions.call(name, x, out, window, *numbers)
    convolutions.run()
    assert done.instructions <= most * 2 * 125 * 4
