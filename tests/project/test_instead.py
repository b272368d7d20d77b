"""Where ours stand in the place of ExecuTorch's own operators: in files all of whose calls they take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcu_sdk.operators.table import OPERATORS
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.project.instead import takes

F, ROW = Tensor(DType.F32, (2, 3), Space.ARENA, 0), Tensor(DType.F32, (3,), Space.ARENA, 64)
IDS, ONE = Tensor(DType.S64, (2, 3), Space.ARENA, 128), Tensor(DType.F32, (), Space.ARENA, 192)
OUT = Tensor(DType.F32, (2, 2), Space.ARENA, 512)
IMAGE = Tensor(DType.F32, (1, 2, 4, 3), Space.ARENA, 256)
LAST = replace(IMAGE, dim_order=(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("name", "arguments", "taken"),
    [
        ("aten::add.Tensor", (F, ROW, 1, F), True),
        ("aten::add.Tensor", (F, ROW, 1.0, F), True),
        ("aten::add.Tensor", (F, ROW, 2, F), False),  # times two is theirs
        ("aten::add.Tensor", (IDS, IDS, 1, IDS), True),
        ("aten::add.Tensor", (F, IDS, 1, F), False),  # of two types
        ("aten::add.Tensor", (F, 3.0, 1, F), False),
        ("aten::add.Scalar", (F, 3.0, 1, F), True),
        ("aten::add.Scalar", (IDS, 3, 1, IDS), False),
        ("aten::mul.Tensor", (LAST, LAST, LAST), True),
        ("aten::mul.Tensor", (LAST, IMAGE, LAST), False),  # in two orders
        ("aten::mul.Tensor", (LAST, ONE, LAST), False),
        ("aten::tanh", (F,), False),
        ("aten::tanh", (replace(F, shape=(0, 3)), F), False),
        ("aten::_softmax", (ONE, -1, False, ONE), False),  # which has no rows
        ("aten::linear", (F, F, None, OUT), True),
        ("aten::linear", (F, F, IDS, OUT), False),
        ("quantized_decomposed::embedding_byte", (replace(F, dtype=DType.S8), ROW, ROW, 0, 9, IDS, F), False),
    ],
)
def test_a_wrapper_stands_in_the_place_of_a_library_s_where_it_takes_the_call(
    name: str, arguments: tuple[Value, ...], taken: bool
) -> None:
    assert takes(OPERATORS[name], Instruction(0, name.partition(".")[0], "out", arguments, "")) == taken
