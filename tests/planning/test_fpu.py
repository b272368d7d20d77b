"""A core without FPU takes plans of integers only."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.board.core import lacks_fpu
from mcu_sdk.errors import BoardError, UnsupportedOperatorError
from mcu_sdk.planning.fpu import check_checkpoint, check_integers_only, needs_fpu
from mcu_sdk.planning.instruction import (
    Argument,
    ConstantArray,
    DType,
    KernelCall,
    Parameters,
    Pointer,
    Scratch,
    Space,
    Tensor,
)
from mcu_sdk.planning.plan import PlannedCall, compile_plan
from mcu_sdk.planning.pte.read import read_pte

FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"
BOARD = load_board("mps2-an385")


def tensor(dtype: DType) -> Tensor:
    return Tensor(dtype, (4,), Space.ARENA, 0)


@pytest.mark.parametrize(
    ("argument", "is_float"),
    [
        (tensor(DType.S8), False),
        (tensor(DType.BOOL), False),
        (tensor(DType.F16), True),
        (tensor(DType.F32), True),
        (tensor(DType.F64), True),
        (Pointer(tensor(DType.F32)), True),
        (Pointer(tensor(DType.F32), c_type="uint8_t"), False),
        (Pointer(tensor(DType.S32), c_type="float"), True),
        (ConstantArray("int32_t", (1,)), False),
        (ConstantArray("float", (1.0,)), True),
        (ConstantArray("double", (1.0,)), True),
        (Parameters("McuWindow", (("n", 1),)), False),
        (Scratch(4), False),
        (1, False),
        (True, False),
        (None, False),
        (1.0, True),
    ],
)
def test_what_makes_a_call_float(argument: Argument, is_float: bool) -> None:
    assert KernelCall("mcu_x", (tensor(DType.S8), argument), "x.h").is_float is is_float


def calls(name: str) -> tuple[PlannedCall, ...]:
    return compile_plan(read_pte((FIXTURES / name).read_bytes())).calls


def test_float_operators_are_named() -> None:
    """The stock flow's file takes and gives float, and its average is one of floats; its convolutions are integers."""
    plan = calls("stock-convolutions.pte")
    assert needs_fpu(plan)
    with pytest.raises(UnsupportedOperatorError) as caught:
        check_integers_only(plan, BOARD)
    message = caught.value.message
    assert "'mps2-an385', cortex-m3, has no FPU" in message and f"of the {len(plan)} kernel calls" in message
    assert "cortex_m::quantize_per_tensor.out (2 times)" in message
    assert "cortex_m::quantized_avg_pool2d.out" in message and "quantized_conv2d" not in message
    assert 'border="int8"' in caught.value.hint and caught.value.exit_code == 3


def test_integers_pass() -> None:
    plan = [call for call in calls("stock-convolutions.pte") if not call.call.is_float]
    assert len(plan) > 4 and not needs_fpu(plan)
    check_integers_only(plan, BOARD)


@pytest.mark.parametrize("board", ["host", "mps2-an386"])
def test_with_an_fpu_everything_passes(board: str) -> None:
    check_integers_only(calls("stock-mlp.pte"), load_board(board))
    check_checkpoint(load_board(board))
    assert not lacks_fpu(load_board(board))


def test_checkpoints_are_refused_before_they_are_read() -> None:
    with pytest.raises(BoardError, match="has no FPU, and a checkpoint's norms") as caught:
        check_checkpoint(BOARD)
    assert 'border="int8"' in caught.value.hint and caught.value.exit_code == 3
