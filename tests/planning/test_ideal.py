"""The bounds of planning/ideal.py, worked out by hand for one call of each kind."""

from __future__ import annotations

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.planning.ideal import DSP, HELIUM, SCALAR, ideal_instructions, linear_macs, rates_of
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value

F32, S8, S32, S64, U8 = DType.F32, DType.S8, DType.S32, DType.S64, DType.U8


def t(dtype: DType, *shape: int, space: Space = Space.ARENA) -> Tensor:
    return Tensor(dtype, shape, space, 0)


def cache(*shape: int) -> Tensor:
    return t(S8, *shape, space=Space.KV_CACHE)


def make(operator: str, *arguments: Value) -> Instruction:
    return Instruction(0, operator, "out", arguments, "#0")


LINEAR = make(
    "mcu::linear_s8", t(S8, 1, 1, 256), t(F32, 1, 1), t(S8, 688, 256), t(F32, 688), None, t(F32, 1, 1, 688)
)
INT4 = make("mcu::linear_s4", t(S8, 1, 256), t(F32, 1), t(S8, 86, 8, 144), None, 688, t(F32, 1, 688))
HEADS = (t(F32, 1, 8, 1, 32), cache(1, 8, 128, 32), cache(1, 8, 128, 32), t(F32, 8, 32), t(F32, 8, 32))
ATTENTION = make("mcu::attention_s8", *HEADS, t(S64, 1), 0.1, t(F32, 1, 8, 1, 32), t(U8, 800))
ADD = make("aten::add", t(F32, 1, 256), t(F32, 1, 256), 1, t(F32, 1, 256))
NORM = make("mcu::rms_norm", t(F32, 1, 256), t(F32, 256), 1e-5, t(F32, 1, 256))
ROPE = make(
    "mcu::rope", t(F32, 1, 8, 1, 32), t(F32, 128, 16), t(F32, 128, 16), t(S64, 1), t(F32, 1, 8, 1, 32)
)
ROWS = make("mcu::quantize_rows", t(F32, 1, 256), t(S8, 1, 256), t(F32, 1))
WRITE = make("mcu::cache_write_", cache(1, 8, 128, 32), t(F32, 1, 8, 1, 32), t(F32, 8, 32), t(S64, 1))
EMBEDDING = make("mcu::embedding_s8", t(S8, 512, 256), t(F32, 512), t(S64, 1, 1), t(F32, 1, 1, 256))


@pytest.mark.parametrize(
    ("instruction", "position", "wanted"),
    [
        (LINEAR, 0, 256 * 688 // 16 * 2),
        (INT4, 0, 256 * 688 // 32 * 5),
        # 8 heads of 32: 2 products of 256 channels a position, a softmax of 12 a vector of four, q in and out.
        (ATTENTION, 0, 2 * 256 // 8 + 8 * 12 + 64 + 64),
        (ATTENTION, 127, 2 * 256 * 128 // 8 + 8 * 12 * 32 + 64 + 64),
        (ADD, 0, 64 + 64 + 64 + 64),  # two loads, an addition and a store for each of 64 vectors
        (NORM, 0, 128 + 64 + 3 * 64),
        (ROPE, 0, 64 + 8 + 64 + 2 * 64),  # one row of two tables, 16 wide
        (ROWS, 0, 64 + 16 + 1 + 20 * 16),
        (WRITE, 5, 64 + 64 + 16 + 12 * 16),  # the row and its scales; one row, whatever the cache's length
        (EMBEDDING, 0, 16 + 64 + 64),  # one row of the table
        (make("aten::full", 1), 0, 0),
    ],
)
def test_bounds(instruction: Instruction, position: int, wanted: int) -> None:
    # rows: the scales are one vector store more; the integer tensors' bytes are within one vector each
    assert wanted <= ideal_instructions(instruction, HELIUM, position) <= wanted + 2


def test_macs_are_those_of_products_with_weights() -> None:
    assert linear_macs(LINEAR) == linear_macs(INT4) == 256 * 688
    assert linear_macs(ATTENTION) == linear_macs(ADD) == 0
    channels = [t(S32, 10)] * 3
    requantize = make(
        "mcu::linear_s8_requantize", t(S8, 3, 64), t(S8, 10, 64), *channels, 0, -128, 127, t(S8, 3, 10)
    )
    assert linear_macs(requantize) == 3 * 64 * 10


def test_the_bound_is_the_cores_own() -> None:
    macs = 256 * 688
    assert [ideal_instructions(LINEAR, rates) for rates in (HELIUM, DSP, SCALAR)] == [
        macs // 8,
        macs * 5 // 4,
        macs * 2,
    ]
    assert ideal_instructions(INT4, DSP) == macs * 10 // 8
    assert ideal_instructions(ADD, SCALAR) == 4 * 256  # a float at a time
    cores = [load_board(name).core for name in ("corstone-300", "mps2-an386", "host")]
    assert [rates_of(core) for core in cores] == [HELIUM, DSP, SCALAR]


def test_several_rows_share_their_weights() -> None:
    """Two rows by four channels, six loads for eight multiply-accumulates; convolutions and batches likewise."""
    weights = t(S8, 10, 64), t(F32, 10)
    rows = make("mcu::linear_s8", t(S8, 3, 64), t(F32, 3), *weights, None, t(F32, 3, 10))
    image, pixels = t(S8, 1, 8, 5, 5), t(S8, 1, 16, 5, 5)
    convolution = make("cortex_m::quantized_conv2d", image, t(S8, 16, 3, 3, 8), None, pixels)
    for instruction, macs in ((rows, 3 * 64 * 10), (convolution, 25 * 16 * 72)):
        assert ideal_instructions(instruction, HELIUM) == -(-macs * 14 // 128)
        assert ideal_instructions(instruction, DSP) == macs * 15 // 16


@pytest.mark.parametrize(
    ("operator", "shape", "others"),
    [
        ("cortex_m::quantized_depthwise_conv2d", (1, 8, 5, 5), 1),
        ("mcu::depthwise_conv2d_s8", (1, 5, 5, 8), 10),
    ],
)
def test_a_depthwise_convolution_multiplies_its_own_channel_only(
    operator: str, shape: tuple[int, ...], others: int
) -> None:
    depthwise = make(operator, t(S8, *shape), t(S8, 1, 3, 3, 8), *[None] * others, t(S8, *shape))
    macs = 25 * 8 * 9
    assert linear_macs(depthwise) == macs
    assert ideal_instructions(depthwise, HELIUM) == macs // 8  # a load for each multiply-accumulate


def test_a_product_of_floats_takes_a_load_for_four() -> None:
    x, weight = t(F32, 2, 64), t(F32, 10, 64)
    assert (
        ideal_instructions(make("aten::linear", x, weight, None, t(F32, 2, 10)), HELIUM) == 2 * 64 * 10 // 2
    )
    # addmm's first argument is what is added.
    addmm = make("aten::addmm", t(F32, 10), x, t(F32, 64, 10), 1, 1, t(F32, 2, 10))
    assert linear_macs(addmm) == 2 * 64 * 10
