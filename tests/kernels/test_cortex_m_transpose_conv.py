"""cortex_m::quantized_transpose_conv2d gives the integers of ExecuTorch's Python definition."""

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
from tests.kernels.call import assert_same_bits, int8
from tests.kernels.cases import MODEL
from tests.kernels.instructions import Machine, instruction
from tests.kernels.test_emitters import _corruptions, _in_child, _shortened

OPERATOR = "cortex_m::quantized_transpose_conv2d"
LAST = (0, 2, 3, 1)
SCRATCH = np.zeros(0, np.uint8)
Arguments = tuple[np.ndarray[Any, Any], list[Any]]


def _image(machine: Machine, x: np.ndarray[Any, Any]) -> Tensor:
    """x[batch, channels, height, width] with channels last in memory."""
    return replace(machine.place(np.ascontiguousarray(x.transpose(LAST))), shape=x.shape, dim_order=LAST)


def _expected(x: np.ndarray[Any, Any], arguments: list[Any]) -> np.ndarray[Any, Any]:
    values = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments]
    image = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
    result = torch.ops.cortex_m.quantized_transpose_conv2d(image, *values, torch.empty(0), torch.empty(0))
    return np.asarray(result.contiguous().numpy())


def _placed(machine: Machine, x: Any, arguments: list[Any], expected: Any) -> Instruction:
    placed = [machine.place(a, MODEL) if isinstance(a, np.ndarray) else a for a in arguments]
    scratch = [machine.place(SCRATCH), machine.place(SCRATCH)]
    out = _image(machine, np.zeros_like(expected))
    return instruction(OPERATOR, _image(machine, x), *placed, *scratch, out)


@st.composite
def _convolutions(draw: st.DrawFn) -> Arguments:
    """(image, arguments behind it) of a transposed convolution whose output is not empty.

    At most 3 * 3 * 4 products of up to 255 * 128 and a bias: sums stay within 2^24, where the definition's float32
    arithmetic is exact.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inputs, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    size = [draw(st.integers(1, 3)) for _ in "yx"]
    stride, dilation = [draw(st.integers(1, 3)) for _ in "yx"], [draw(st.integers(1, 2)) for _ in "yx"]
    image = [draw(st.integers(1, 5)) for _ in "yx"]
    whole = [(i - 1) * s + d * (k - 1) + 1 for i, s, d, k in zip(image, stride, dilation, size, strict=True)]
    padding = [draw(st.integers(0, (w - 1) // 2)) for w in whole]
    more = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    factors = [quantize_multiplier_aot(factor) for factor in rng.uniform(1e-4, 0.05, outputs)]
    multipliers, shifts = (np.array(column, np.int32) for column in zip(*factors, strict=True))
    bias = rng.integers(-9999, 9999, outputs).astype(np.int32) if draw(st.booleans()) else None
    limits = draw(st.integers(-128, -50)), draw(st.integers(50, 127))
    points = draw(st.integers(-127, 128)), draw(st.integers(-128, 127))
    head = [int8(rng, outputs, *size, inputs), bias, stride, padding, more, dilation]
    x = int8(rng, draw(st.integers(1, 2)), inputs, *image)
    return x, [*head, *points, multipliers, shifts, *limits]


@settings(max_examples=80, deadline=None)
@given(case=_convolutions())
def test_is_the_definition(kernel_library: ctypes.CDLL, case: Arguments) -> None:
    machine, expected = Machine(), _expected(*case)
    right = _placed(machine, *case, expected)
    machine.run(kernel_library, right)
    out = right.arguments[-1]
    assert isinstance(out, Tensor)
    assert not machine.changed_outside([out])
    in_memory = replace(out, shape=tuple(out.shape[axis] for axis in LAST), dim_order=())
    assert_same_bits(machine.read(in_memory), np.ascontiguousarray(expected.transpose(LAST)))


@settings(max_examples=20, deadline=None)
@given(case=_convolutions(), seed=st.integers(0, 2**32 - 1))
def test_corrupt_arguments_do_no_harm(kernel_library: ctypes.CDLL, case: Arguments, seed: int) -> None:
    rng, expected = random.Random(seed), _expected(*case)

    def work() -> None:  # nothing of torch here: its threads are not in the child
        machine = Machine()
        right = list(_placed(machine, *case, expected).arguments)
        for wrong in [*_shortened(right), *(_corruptions(right, rng) for _ in range(60))]:
            try:
                machine.run(kernel_library, instruction(OPERATOR, *wrong))
            except UnsupportedOperatorError:
                continue
            assert not machine.changed_outside([a for a in wrong[-1:] if isinstance(a, Tensor)])

    assert _in_child(work) == 0


@pytest.mark.parametrize(
    ("index", "value", "why"),
    [
        (3, [0, 1], "two numbers"),
        (4, [1, 1], "output's size"),
        (5, [1, 0], "output's size"),
        (7, 129, "zero point"),
        (12, -128, "is empty"),
    ],
    ids=["stride", "padding", "output-padding", "offset", "limits"],
)
def test_refused(index: int, value: Any, why: str) -> None:
    """One argument wrong, the others right: each check is on its own."""
    machine = Machine()
    rng = np.random.default_rng(0)
    factors = np.full(2, 2**30, np.int32), np.full(2, -8, np.int32)
    arguments = [int8(rng, 2, 3, 3, 3), None, [2, 2], [0, 0], [0, 0], [1, 1], 5, 7, *factors, -100, 90]
    x = int8(rng, 1, 3, 2, 2)
    right = _placed(machine, x, arguments, _expected(x, arguments))
    assert len(emit(right)) == 1
    wrong = [*right.arguments]
    wrong[index] = value
    with pytest.raises(UnsupportedOperatorError, match=why):
        emit(replace(right, arguments=tuple(wrong)))
