"""Reductions and matrix products are PyTorch's, up to the order in which float32 is added."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch

from tests.kernels.call import normal
from tests.kernels.cases import ARENA, MODEL, Case, check, named, trials_of

RNG = np.random.default_rng(3)
SUM = 2e-6
"""Sums of up to 70 numbers around 1, in two orders: each within 70 / 4 half ulps of a running total of about 10."""


def f(*shape: int, space: Any = ARENA) -> Any:
    return normal(RNG, *shape), space


def i64(*shape: int) -> Any:
    return RNG.integers(-9, 9, shape), ARENA


def b(*shape: int) -> Any:
    return RNG.random(shape) < 0.3, ARENA


def _norm(x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    return torch.native_layer_norm(x, shape, weight, bias, eps)


def _cases() -> list[Case]:
    ties = np.array([[1, 5, 5, 2], [np.nan, 1, np.nan, 0], [-np.inf] * 4], np.float32), ARENA
    masked = np.array([[0, -np.inf, 1], [3e38, -3e38, 0], [-np.inf, -np.inf, 5]], np.float32), ARENA
    return [
        Case("aten::mean", (f(2, 3, 70), [-1], True, None), lambda x, d, k, _: x.mean(d, k), SUM),
        Case("aten::mean", (f(2, 3, 7), [1], False, None), lambda x, d, k, _: x.mean(d, k), SUM),
        Case("aten::mean", (f(2, 3, 7), [2, 1], False, None), lambda x, d, k, _: x.mean(d, k), SUM),
        Case("aten::mean", (f(2, 1, 7), [0, 2], False, None), lambda x, d, k, _: x.mean(d, k), SUM),
        Case("aten::mean", (f(2, 1, 7), [1], False, None), lambda x, d, k, _: x.mean(d, k)),
        Case("aten::mean", (f(2, 7), None), lambda x, _: x.mean(), SUM),
        Case("aten::sum", (f(2, 3, 7), [1], False, None), lambda x, d, k, _: x.sum(d, k), SUM),
        Case("aten::sum", (f(2, 3, 7), [], False, None), lambda x, *_: x.sum(), SUM),
        Case("aten::sum", (i64(2, 3, 7), [0], True, None), lambda x, d, k, _: x.sum(d, k)),
        Case("aten::amax", (f(2, 3, 7), [1], False), torch.amax),
        Case("aten::amax", (ties, [-1], False), torch.amax),
        Case("aten::amin", (ties, [0], True), torch.amin),
        Case("aten::argmax", (ties, -1, False), torch.argmax),
        Case("aten::argmax", (f(3, 9, 2), 1, True), torch.argmax),
        Case("aten::argmax", (f(3, 9, 2), None, False), lambda x, *_: x.argmax()),
        Case("aten::topk", (f(2, 3, 7), 3, -1, True, True), torch.topk),
        Case("aten::topk", (f(1, 4), 4, 1, True, True), torch.topk),
        Case(
            "aten::topk",
            ((np.array([[1, 5, -np.inf, np.nan]], np.float32), ARENA), 3, 1, True, True),
            torch.topk,
        ),
        Case("aten::any", (b(2, 3, 7), -1, True), torch.any),
        Case("aten::any", (b(2, 3, 7), [0, 1], False), torch.any),
        Case("aten::any", (b(2, 3),), torch.any),
        Case("aten::all", (b(2, 2, 5), 1, False), torch.all),
        Case("aten::cumsum", (f(2, 5, 3), 1, None), lambda x, d, _: x.cumsum(d), SUM),
        Case("aten::cumsum", (i64(2, 5), -1, None), lambda x, d, _: x.cumsum(d)),
        Case("aten::cumsum", ((i64(2, 5)[0].astype(np.int32), ARENA), 0, None), lambda x, d, _: x.cumsum(d)),
        Case("aten::cumsum", (b(2, 5), -1, None), lambda x, d, _: x.cumsum(d)),
        Case("aten::_softmax", (f(2, 3, 70), -1, False), torch._softmax, 1e-6),
        Case("aten::_softmax", (masked, 1, False), torch._softmax, 1e-6),
        Case("aten::_log_softmax", (f(2, 70), 1, False), torch._log_softmax, 2e-6),
        Case("aten::native_layer_norm", (f(2, 3, 33), [33], f(33), f(33, space=MODEL), 1e-5), _norm, 3e-6),
        Case("aten::native_layer_norm", (f(2, 3, 5), [3, 5], f(3, 5), None, 1e-5), _norm, 3e-6),
        Case("aten::native_layer_norm", (f(4, 9), [9], None, None, 1e-5), _norm, 3e-6),
        Case("aten::mm", (f(3, 70), f(70, 5)), torch.mm, SUM * 10),
        Case("aten::bmm", (f(4, 3, 7), f(4, 7, 5)), torch.bmm, SUM),
        Case("aten::bmm", (f(1, 3, 7), f(1, 7, 5)), torch.bmm, SUM),
        Case("aten::addmm", (f(5), f(3, 7), f(7, 5), 1, 1), lambda c, x, y, *_: torch.addmm(c, x, y), SUM),
        Case("aten::linear", (f(2, 3, 7), f(5, 7, space=MODEL), f(5)), torch.nn.functional.linear, SUM),
        Case("aten::linear", (f(7), f(5, 7), None), torch.nn.functional.linear, SUM),
    ]


CASES = named(_cases())
test_is_pytorch, test_corrupt_arguments_do_no_harm, test_sharing_memory = trials_of(CASES)


def test_softmax_of_a_row_that_is_masked_everywhere(kernel_library: ctypes.CDLL) -> None:
    """No number, as in PyTorch: exported attention replaces such rows afterwards."""
    x = np.full((1, 5), -np.inf, np.float32)
    case = Case("aten::_softmax", ((x, ARENA), -1, False), torch._softmax)
    check(kernel_library, case)


def test_layer_norm_is_the_fused_one(kernel_library: ctypes.CDLL) -> None:
    """aten's and mcu's LayerNorm agree bit for bit, so that fusing does not change what LayerNorm gives."""
    from mcu_sdk.operators.reference import norms

    case = Case(
        "aten::native_layer_norm",
        (f(3, 33), [33], f(33), f(33), 1e-5),
        lambda x, _, w, c, eps: (norms.layer_norm(x, w, c, eps), *_norm(x, [33], w, c, eps)[1:]),
        2e-7,
    )
    check(kernel_library, case)
