"""ExecuTorch's operators with int8 weights and float32 activations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.operators.reference.of_executorch.quantized_weights import mixed_linear
from mcu_sdk.planning.registry import emit
from tests.kernels.call import int8, normal
from tests.kernels.cases import ARENA, MODEL, Case, named, place, trials_of
from tests.kernels.instructions import Machine, instruction

RNG = np.random.default_rng(8)
SUM = 2e-5
"""Sums of at most 70 products of numbers up to some 4 and int8, in another order than PyTorch's: 70 roundings of 2^-24 of
sums that are 4 times as large as the result, which is near 1."""


def f(*shape: int, spread: float = 1.0) -> Any:
    return normal(RNG, *shape, spread=spread), ARENA


def rows(n: int, k: int) -> tuple[Any, Any]:
    """(weight, scales)."""
    return (int8(RNG, n, k), MODEL), (RNG.uniform(0.001, 0.01, n).astype(np.float32), MODEL)


def ids(*values: int) -> Any:
    return np.array([values], np.int64), ARENA


def _embedding(weight: torch.Tensor, scales: torch.Tensor, *rest: Any) -> torch.Tensor:
    return torch.nn.functional.embedding(rest[3], weight.float() * scales[:, None])


CASES = named(
    [
        Case("quantized_decomposed::mixed_linear", (f(1, 70), *rows(5, 70), None, None), mixed_linear, SUM),
        Case("quantized_decomposed::mixed_linear", (f(3, 7), *rows(9, 7), None, None), mixed_linear, SUM),
        Case(
            "quantized_decomposed::embedding_byte", (*rows(9, 7), None, -127, 127, ids(3, 0, 8)), _embedding
        ),
    ]
)
test_is_pytorch, test_corrupt_arguments_do_no_harm, test_sharing_memory = trials_of(CASES)


def test_other_weights_are_refused() -> None:
    """Zero points, a scale for each group of columns, halves."""
    case = next(case for case in CASES.values() if case.operator.endswith("mixed_linear"))
    arguments, _ = place(case, case.expected(), Machine())
    scales = arguments[2]
    for at, value, words in (
        (3, scales, "zero points"),
        (2, replace(scales, shape=(1, 5)), "scale has the shape"),
        (4, 5, "output type is number 5"),
    ):
        wrong = [*arguments[:at], value, *arguments[at + 1 :]]
        with pytest.raises(UnsupportedOperatorError, match=words):
            emit(instruction(case.operator, *wrong))
