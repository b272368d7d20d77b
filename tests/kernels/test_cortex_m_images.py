"""cortex_m:: convolutions and pools, and elementwise operators on images with channels last."""

from __future__ import annotations

import ctypes
import random
from dataclasses import replace
from typing import Any

import executorch.backends.cortex_m.passes  # noqa: F401  registers cortex_m
import numpy as np
import pytest
import torch
from executorch.backends.cortex_m.passes.passes_utils import quantize_multiplier_aot
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.planning.instruction import Instruction, Tensor
from mcu_sdk.planning.registry import emit
from tests.kernels.call import assert_same_bits, int8, normal
from tests.kernels.cases import MODEL
from tests.kernels.instructions import Machine, instruction
from tests.kernels.test_emitters import _corruptions, _in_child, _shortened

M = torch.ops.cortex_m
SEEDS = st.integers(0, 2**32 - 1)
LAST = (0, 2, 3, 1)
SCRATCH = np.zeros(0, np.uint8)


def _image(machine: Machine, x: np.ndarray[Any, Any]) -> Tensor:
    """x[batch, channels, height, width] with channels last in memory."""
    placed = machine.place(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    return replace(placed, shape=x.shape, dim_order=LAST)


def _read(machine: Machine, out: Tensor) -> np.ndarray[Any, Any]:
    stored = replace(out, shape=tuple(out.shape[axis] for axis in LAST), dim_order=())
    return machine.read(stored).transpose(0, 3, 1, 2)


def _torch(x: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(x).contiguous(memory_format=torch.channels_last)


def _spread(arguments: list[Any]) -> list[Any]:
    """A dilated convolution as one with zeros between the taps: PyTorch has no dilated one of integers."""
    weight, (y, x) = arguments[0], arguments[4]
    _, rows, columns, _ = weight.shape
    wide = np.zeros((weight.shape[0], y * (rows - 1) + 1, x * (columns - 1) + 1, weight.shape[3]), np.int8)
    wide[:, ::y, ::x] = weight
    return [wide, *arguments[1:4], [1, 1], *arguments[5:]]


def _expected(operator: str, x: Any, arguments: list[Any], scratch: bool) -> np.ndarray[Any, Any]:
    if "conv" in operator:
        arguments = _spread(arguments)
    values = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments]
    rest = [torch.empty(0)] if scratch else []
    return np.asarray(getattr(M, operator)(_torch(x), *values, *rest).contiguous().numpy())


def _check(
    library: ctypes.CDLL, operator: str, x: np.ndarray[Any, Any], arguments: list[Any], scratch: bool = True
) -> None:
    """The instruction gives what the operator's definition does for a batch of images."""
    expected = _expected(operator, x, arguments, scratch)
    machine = Machine()
    wrong = _placed(machine, operator, x, arguments, expected, scratch)
    machine.run(library, wrong)
    out = wrong.arguments[-1]
    assert isinstance(out, Tensor)
    assert not machine.changed_outside([out])
    assert_same_bits(_read(machine, out), expected)


def _placed(
    machine: Machine, operator: str, x: Any, arguments: list[Any], expected: Any, scratch: bool
) -> Instruction:
    placed = [machine.place(a, MODEL) if isinstance(a, np.ndarray) else a for a in arguments]
    rest = [machine.place(SCRATCH)] if scratch else []
    out = _image(machine, np.zeros_like(expected))
    return instruction(f"cortex_m::{operator}", _image(machine, x), *placed, *rest, out)


@st.composite
def _convolutions(draw: st.DrawFn, depthwise: bool) -> tuple[Any, list[Any]]:
    """(image, arguments behind it) of a convolution whose output is not empty."""
    rng = np.random.default_rng(draw(SEEDS))
    groups, per_group = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 3, 4, 17]))
    outputs = groups * draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in "yx"]
    dilation = [draw(st.integers(1, 2)) for _ in "yx"]
    stride, padding = [draw(st.integers(1, 3)) for _ in "yx"], [draw(st.integers(0, 2)) for _ in "yx"]
    size = [
        draw(st.integers(d * (k - 1) + 1, d * (k - 1) + 5)) for d, k in zip(dilation, kernel, strict=True)
    ]
    inputs = groups if depthwise else groups * per_group
    shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, per_group)
    factors = [quantize_multiplier_aot(factor) for factor in rng.uniform(1e-4, 0.05, outputs)]
    multipliers, shifts = (np.array(column, np.int32) for column in zip(*factors, strict=True))
    bias = rng.integers(-9999, 9999, outputs).astype(np.int32) if draw(st.booleans()) else None
    point, out_point = draw(st.integers(-127, 128)), draw(st.integers(-128, 127))
    depth = [outputs // groups] if depthwise else []
    head = [int8(rng, *shape), bias, stride, padding, dilation, *depth]
    return int8(rng, draw(st.integers(1, 2)), inputs, *size), [
        *head,
        point,
        out_point,
        multipliers,
        shifts,
        draw(st.integers(-128, -50)),
        draw(st.integers(50, 127)),
    ]


@settings(max_examples=60, deadline=None)
@given(case=_convolutions(depthwise=False))
def test_conv2d(kernel_library: ctypes.CDLL, case: tuple[Any, list[Any]]) -> None:
    _check(kernel_library, "quantized_conv2d", *case)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, channels=st.tuples(st.integers(1, 20), st.integers(1, 9)), with_bias=st.booleans())
def test_conv2d_of_one_tap(
    kernel_library: ctypes.CDLL, seed: int, channels: tuple[int, int], with_bias: bool
) -> None:
    """It is a linear over the channels of each pixel, and computed as one."""
    rng = np.random.default_rng(seed)
    inputs, outputs = channels
    factors = [quantize_multiplier_aot(factor) for factor in rng.uniform(1e-4, 0.05, outputs)]
    multipliers, shifts = (np.array(column, np.int32) for column in zip(*factors, strict=True))
    bias = rng.integers(-9999, 9999, outputs).astype(np.int32) if with_bias else None
    x, weight = int8(rng, 2, inputs, 3, 2), int8(rng, outputs, 1, 1, inputs)
    arguments = [weight, bias, [1, 1], [0, 0], [1, 1], 5, -3, multipliers, shifts, -120, 110]
    _check(kernel_library, "quantized_conv2d", x, arguments)
    expected = np.zeros((2, outputs, 3, 2), np.int8)
    (one,) = emit(_placed(Machine(), "quantized_conv2d", x, arguments, expected, scratch=True))
    assert one.function == "mcu_linear_rows_s8"


def test_a_shift_to_the_left_has_the_plain_kernels(kernel_library: ctypes.CDLL) -> None:
    """Kernels for two rows at a time shift to the right only."""
    rng = np.random.default_rng(7)
    shifts = np.array([0, -3, 2], np.int32)
    factors = [np.full(3, 1 << 30, np.int32), shifts, -128, 127]
    expected = np.zeros((1, 3, 4, 4), np.int8)
    for size, function in ((3, "conv2d_s8"), (1, "linear_s8_requantize")):
        pad = [size // 2] * 2
        arguments = [int8(rng, 3, size, size, 5), None, [1, 1], pad, [1, 1], 3, 2, *factors]
        x = int8(rng, 1, 5, 4, 4)
        _check(kernel_library, "quantized_conv2d", x, arguments)
        (one,) = emit(_placed(Machine(), "quantized_conv2d", x, arguments, expected, scratch=True))
        assert one.function == f"mcu_{function}"


def test_a_convolution_of_one_channel_is_a_dense_one(kernel_library: ctypes.CDLL) -> None:
    """ExecuTorch lowers it to a depthwise one, with the filters in another order."""
    rng = np.random.default_rng(8)
    factors = [quantize_multiplier_aot(factor) for factor in rng.uniform(1e-4, 0.05, 8)]
    multipliers, shifts = (np.array(column, np.int32) for column in zip(*factors, strict=True))
    x, weight, bias = (
        int8(rng, 1, 1, 13, 6),
        int8(rng, 1, 10, 4, 8),
        rng.integers(-99, 99, 8).astype(np.int32),
    )
    arguments = [weight, bias, [2, 2], [5, 1], [1, 1], 8, 100, -5, multipliers, shifts, -128, 127]
    _check(kernel_library, "quantized_depthwise_conv2d", x, arguments)
    expected = _expected("quantized_depthwise_conv2d", x, arguments, True)
    (one,) = emit(_placed(Machine(), "quantized_depthwise_conv2d", x, arguments, expected, scratch=True))
    assert one.function == "mcu_conv2d_rows_s8"


@settings(max_examples=60, deadline=None)
@given(case=_convolutions(depthwise=True))
def test_depthwise_conv2d(kernel_library: ctypes.CDLL, case: tuple[Any, list[Any]]) -> None:
    _check(kernel_library, "quantized_depthwise_conv2d", *case)


@st.composite
def _pools(draw: st.DrawFn) -> tuple[Any, list[list[int]]]:
    """(image, [size, stride, padding])."""
    rng = np.random.default_rng(draw(SEEDS))
    size = [draw(st.integers(1, 4)) for _ in "yx"]
    padding = [draw(st.integers(0, each // 2)) for each in size]
    image = [each + draw(st.integers(0, 5)) for each in size]
    stride = [draw(st.integers(1, 3)) for _ in "yx"]
    return int8(rng, draw(st.integers(1, 2)), draw(st.integers(1, 5)), *image), [size, stride, padding]


@settings(max_examples=60, deadline=None)
@given(pool=_pools(), point=st.integers(-128, 127))
def test_max_pool2d(kernel_library: ctypes.CDLL, pool: tuple[Any, Any], point: int) -> None:
    x, window = pool
    arguments = [*window, [1, 1], False, point, point, -100, 90]
    _check(kernel_library, "quantized_max_pool2d", x, arguments, scratch=False)


@settings(max_examples=60, deadline=None)
@given(pool=_pools(), round_up=st.booleans(), point=st.integers(-128, 127), scale=st.floats(1e-4, 4.0))
def test_avg_pool2d(
    kernel_library: ctypes.CDLL, pool: tuple[Any, Any], round_up: bool, point: int, scale: float
) -> None:
    x, window = pool
    _check(
        kernel_library, "quantized_avg_pool2d", x, [*window, round_up, point, *quantize_multiplier_aot(scale)]
    )


@settings(max_examples=20, deadline=None)
@given(case=_convolutions(depthwise=False), pool=_pools(), seed=SEEDS)
def test_corrupt_arguments_do_no_harm(
    kernel_library: ctypes.CDLL, case: tuple[Any, Any], pool: tuple[Any, Any], seed: int
) -> None:
    rng = random.Random(seed)
    tried: list[tuple[str, Any, list[Any], bool]] = [
        ("quantized_conv2d", *case, True),
        ("quantized_max_pool2d", pool[0], [*pool[1], [1, 1], False, 3, 3, -128, 127], False),
        ("quantized_avg_pool2d", pool[0], [*pool[1], True, 3, 2**30, 0], True),
    ]

    prepared = [
        (operator, x, a, _expected(operator, x, a, scratch), scratch) for operator, x, a, scratch in tried
    ]

    def work() -> None:  # nothing of torch here: its threads are not in the child
        for operator, x, arguments, expected, scratch in prepared:
            machine = Machine()
            right = list(_placed(machine, operator, x, arguments, expected, scratch).arguments)
            for wrong in [*_shortened(right), *(_corruptions(right, rng) for _ in range(40))]:
                try:
                    machine.run(kernel_library, instruction(f"cortex_m::{operator}", *wrong))
                except UnsupportedOperatorError:
                    continue
                assert not machine.changed_outside([a for a in wrong[-1:] if isinstance(a, Tensor)])

    assert _in_child(work) == 0


@pytest.mark.parametrize("operator", ["aten::relu", "aten::neg"])
def test_elementwise_on_images(kernel_library: ctypes.CDLL, operator: str) -> None:
    x = normal(np.random.default_rng(0), 2, 3, 4, 5)
    machine = Machine()
    given_image, out = _image(machine, x), _image(machine, np.zeros_like(x))
    machine.run(kernel_library, instruction(operator, given_image, out))
    expected = getattr(torch, operator.partition("::")[2])(torch.from_numpy(x)).numpy()
    assert_same_bits(_read(machine, out), expected)


def test_a_broadcast_over_channels_last(kernel_library: ctypes.CDLL) -> None:
    """A bias for each channel is row-major and channels last at once."""
    rng = np.random.default_rng(0)
    x, bias = normal(rng, 2, 3, 4, 5), normal(rng, 1, 3, 1, 1)
    machine = Machine()
    given_image, out = _image(machine, x), _image(machine, np.zeros_like(x))
    machine.run(kernel_library, instruction("aten::add", given_image, machine.place(bias), 1, out))
    assert_same_bits(_read(machine, out), x + bias)


def test_pad_of_an_image(kernel_library: ctypes.CDLL) -> None:
    """The amounts are in the order of memory: batch, height, width, channels."""
    x = int8(np.random.default_rng(0), 1, 3, 4, 5)
    before, after = [0, 1, 2, 0], [0, 0, 1, 0]
    _check(kernel_library, "pad", x, [before, after, -7], scratch=False)


def test_two_orders_are_refused() -> None:
    x = np.zeros((2, 3, 4, 5), np.float32)
    machine = Machine()
    with pytest.raises(UnsupportedOperatorError, match="dim order"):
        emit(instruction("aten::add", _image(machine, x), machine.place(x), 1, _image(machine, x)))
