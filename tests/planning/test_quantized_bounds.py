"""A relu or hardtanh of int8 numbers that stand for others is refused: the file is not what its model computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.planning.instruction import DType, Space, Tensor
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.planning.quantized_bounds import check_quantized_bounds
from tests.models.stock.lowering import export, quantized
from tests.planning.test_plan import a_pte

Call = tuple[str, tuple[Any, ...], tuple[Tensor, ...]]


def tensor(offset: int, dtype: DType = DType.S8) -> Tensor:
    return Tensor(dtype, (4, 8), Space.ARENA, offset)


X, A, B, C = tensor(512, DType.F32), tensor(0), tensor(32), tensor(64)


def quantize(zero_point: int) -> Call:
    return "cortex_m::quantize_per_tensor", (X, 0.1, zero_point, -128, 127, 1, A), (A,)


def divide(zero_point: int) -> Call:
    return "cortex_m::quantized_div", (A, 0, A, 0, zero_point, 1.0, B), (B,)


def relu(x: Tensor, out: Tensor) -> Call:
    return "aten::relu", (x, out), (out,)


def hardtanh(x: Tensor, out: Tensor) -> Call:
    return "aten::hardtanh", (x, -1.0, 1.0, out), (out,)


PERMUTE: Call = ("aten::permute_copy", (B, [1, 0], C), (C,))
UNKNOWN: Call = ("cortex_m::quantized_linear", (A, A, B), (B,))


@pytest.mark.parametrize(
    ("calls", "point"),
    [
        ([quantize(-3), relu(A, B)], "is -3"),
        ([quantize(0), divide(5), relu(B, C)], "is 5"),
        ([quantize(0), divide(5), PERMUTE, relu(C, A)], "is 5"),
        ([quantize(0), UNKNOWN, relu(B, C)], "is not known"),
        ([quantize(0), hardtanh(A, B)], "is 0"),
        ([quantize(7), hardtanh(A, B)], "is 7"),
    ],
)
def test_a_real_bound_on_quantized_numbers_is_refused(calls: list[Call], point: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=f"{calls[-1][0]}.*whose zero point {point}"):
        check_quantized_bounds(a_pte(*calls))


@pytest.mark.parametrize(
    "calls",
    [
        [relu(A, B), hardtanh(B, C)],  # plain integers
        [quantize(0), relu(A, B)],
        [quantize(9), ("aten::clamp", (A, 9, None, B), (B,))],  # its bounds are quantized
        [quantize(9), ("aten::full", ([4, 8], 1, A), (A,)), relu(A, B)],  # other numbers lie there now
    ],
)
def test_other_bounds_are_taken(calls: list[Call]) -> None:
    check_quantized_bounds(a_pte(*calls))


class Behind(torch.nn.Module):
    """A function of the product or quotient of two inputs."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], *, divides: bool) -> None:
        super().__init__()
        self.function, self.divides = function, divides

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.function(x / (y.abs() + 1) if self.divides else x * y)


def lowered(function: Callable[[torch.Tensor], torch.Tensor], *, divides: bool) -> Pte:
    torch.manual_seed(0)
    calls = [(torch.randn(1, 32), torch.randn(1, 32)) for _ in range(4)]
    data, _, _ = quantized(export(Behind(function, divides=divides), calls[0]), calls, calls[:1])
    return read_pte(data)


@pytest.mark.parametrize("function", [torch.relu, torch.nn.functional.hardtanh])
def test_what_executorchs_quantizer_leaves_behind_a_division(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    with pytest.raises(UnsupportedOperatorError, match="behind a division"):
        compile_plan(lowered(function, divides=True))


def test_behind_a_product_it_is_a_clamp_and_the_file_has_no_constants() -> None:
    pte = lowered(torch.relu, divides=False)
    assert not pte.constants
    assert [i.operator for i in pte.instructions][-2:] == ["aten::clamp", "cortex_m::dequantize_per_tensor"]
    assert compile_plan(pte).calls
