"""What operations ask of the parts, against counts by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.cycles.schedule import Start
from mcu_sdk.npu.cycles.work import Moved, over_blocks, pieces, sub_kernels, transferred
from mcu_sdk.npu.cycles.work_u55 import work
from mcu_sdk.npu.opcodes import Accumulator, Elementwise, IfmScale, Pooling, Rounding, Upscale
from mcu_sdk.npu.operations import (
    Convolution,
    ElementType,
    ElementwiseOperation,
    FeatureMap,
    Kernel,
    Output,
    PoolingOperation,
    Scale,
    Stretch,
    Window,
)

S8, S16, S32 = (ElementType(bits, signed=True) for bits in (8, 16, 32))
Shape = tuple[int, int, int]


def dense(shape: Shape, kind: ElementType = S8, bricks: bool = False, region: int = 1) -> FeatureMap:
    """A map without gaps, in one tile."""
    height, width, depth = shape
    size = kind.size
    return FeatureMap(
        shape,
        kind,
        region,
        (0, 0, 0, 0),
        height,
        height,
        width,
        width * depth * size,
        depth * size,
        size,
        bricks,
        0,
    )


def output(shape: Shape, kind: ElementType = S8, table: int | None = None, bricks: bool = False) -> Output:
    return Output(dense(shape, kind, bricks), Scale(1, 0), Rounding.NATURAL, *kind.range, table)


def window(
    shape: Shape, kernel: tuple[int, int] = (1, 1), kind: ElementType = S8, part: bool = False
) -> Window:
    return Window(dense(shape, kind), Kernel(*kernel, 1, 1, 1, 1, part), Upscale.NONE, 0, 0, 0, 0)


def start(block: Shape) -> Start:
    return Start(0, 4, block, (1, 1), overlaps=True, kernels=None, transfers=None)


def linear(rows: int, inputs: int, outputs: int, kind: ElementType = S8) -> Convolution:
    return Convolution(
        0,
        depthwise=False,
        window=window((1, rows, inputs), kind=kind),
        weights=(Stretch(0, 0, inputs * outputs),),
        scales=(Stretch(0, 0, 10 * outputs),),
        block_depth=outputs,
        accumulator=Accumulator.I32,
        output=output((1, rows, outputs)),
    )


U55 = accelerator("ethos-u55-128")


def test_a_linear_over_one_row_waits_for_its_weights() -> None:
    found = work(linear(1, 64, 32), start((1, 2, 32)), U55, 8)
    # 2 blocks of 32 inputs, 4 ublocks of 8 outputs, 32 cycles to decode the weights of each pair
    assert found.array == 2 * 4 * 32
    assert found.macs == 64 * 32 and found.output == 32 * 0.5
    assert Moved(0, 64 * 32) in found.moved and Moved(0, 320) in found.moved


def test_a_linear_over_many_rows_uses_the_whole_array() -> None:
    found = work(linear(64, 64, 32), start((1, 64, 32)), U55, 8)
    assert found.array == found.macs / 128
    halved = work(linear(64, 64, 32, S16), start((1, 64, 32)), U55, 8)
    assert halved.array == 2 * found.array  # inputs of 16 bits


def test_weights_are_read_for_each_block_of_rows() -> None:
    found = work(linear(64, 64, 32), start((1, 16, 32)), U55, 8)
    assert found.blocks == 4
    assert Moved(0, 4 * 64 * 32) in found.moved


@pytest.mark.parametrize(
    ("name", "macs"), [("ethos-u55-32", 32), ("ethos-u55-64", 64), ("ethos-u55-256", 256)]
)
def test_the_array_makes_as_many_products_a_cycle_as_it_is_called_after(name: str, macs: int) -> None:
    found = work(linear(128, 64, 32), start((1, 128, 32)), accelerator(name), 8)
    assert found.array == found.macs / macs


def test_two_cores_share_a_products_work() -> None:
    alone = work(linear(128, 64, 32), start((1, 128, 32)), accelerator("ethos-u65-256"), 16)
    both = work(linear(128, 64, 32), start((1, 128, 32)), accelerator("ethos-u65-512"), 16)
    assert both.array == alone.array / 2


def test_kernels_cost_their_weights() -> None:
    image = Convolution(
        0,
        depthwise=False,
        window=window((18, 18, 32), (3, 3)),
        weights=(Stretch(0, 0, 9 * 32 * 16),),
        scales=(Stretch(0, 0, 160),),
        block_depth=16,
        accumulator=Accumulator.I32,
        output=output((16, 16, 16)),
    )
    found = work(image, start((16, 16, 16)), U55, 8)
    assert found.macs == 9 * 32 * 16 * 16 * 16 and found.array == found.macs / 128
    # Depthwise: four weights of the kernel at once, 9 of them in three steps
    single = replace(image, depthwise=True, output=output((16, 16, 32)))
    assert work(single, start((16, 16, 32)), U55, 8).array == 3 * 4 * (16 * 16 / 2) * (32 / 8)


def elementwise(
    mode: Elementwise, first: FeatureMap, second: FeatureMap | int | None, out: Output
) -> ElementwiseOperation:
    one = Scale(1, 0)
    return ElementwiseOperation(
        0, mode, first, second, 0, False, IfmScale.BOTH, Rounding.NATURAL, one, one, out
    )


@pytest.mark.parametrize(
    ("mode", "kind", "result", "scaling", "table", "cycles"),
    [
        (Elementwise.ADD, S8, S8, IfmScale.BOTH, None, 1.0),
        (Elementwise.ADD, S8, S8, IfmScale.FIRST, None, 1.5),
        (Elementwise.MUL, S16, S16, IfmScale.BOTH, None, 0.75),
        (Elementwise.MUL, S32, S32, IfmScale.BOTH, None, 1.25),
        (Elementwise.MUL, S16, S16, IfmScale.BOTH, 2, 1.0),
        (Elementwise.MAX, S8, S8, IfmScale.BOTH, None, 0.5),
    ],
)
def test_elements_cost_by_what_is_done(
    mode: Elementwise,
    kind: ElementType,
    result: ElementType,
    scaling: IfmScale,
    table: int | None,
    cycles: float,
) -> None:
    shape = (1, 4, 32)
    operation = elementwise(mode, dense(shape, kind), dense(shape, kind), output(shape, result, table))
    found = work(replace(operation, scaling=scaling), start(shape), U55, 8)
    assert found.output == 128 * cycles and found.array == 0 and found.macs == 0
    assert [each.count for each in found.moved] == [128 * kind.size] * 2 + [128 * result.size]


def test_a_number_is_not_read_and_bricks_are_filled() -> None:
    shape = (1, 4, 20)
    found = work(
        elementwise(Elementwise.MAX, dense(shape), 3, output(shape, bricks=True)), start(shape), U55, 8
    )
    assert len(found.moved) == 2
    assert found.output == 4 * 32 * 0.5 and found.moved[1].count == 4 * 32


def test_pools_take_their_kernel_and_sums_their_channels() -> None:
    pool = PoolingOperation(0, Pooling.AVERAGE, window((4, 4, 8), (2, 2)), Accumulator.I32, output((2, 2, 8)))
    found = work(pool, start((2, 2, 8)), U55, 8)
    assert found.array == 4 * 4 * 2  # four cycles, twice for each byte half, of two ublocks
    assert found.macs == 4 * 32
    total = PoolingOperation(0, Pooling.REDUCE_SUM, window((4, 4, 64)), Accumulator.I32, output((4, 4, 1)))
    assert work(total, start((4, 4, 1)), U55, 8).macs == 16 * 64


def test_bytes_are_counted_as_transfers_of_stretches_without_a_gap() -> None:
    assert transferred(dense((2, 3, 5)), (2, 3, 5), 8) == 32  # 30 bytes at once
    assert transferred(dense((2, 3, 5)), (2, 3, 4), 8) == 6 * 8  # four of five channels: six stretches
    assert transferred(dense((2, 3, 5)), (2, 2, 5), 8) == 2 * 16  # two of three columns: two stretches
    assert transferred(dense((2, 3, 20), bricks=True), (2, 3, 20), 16) == 2 * 2 * 3 * 16


def test_blocks_at_the_end_are_cut_off() -> None:
    assert pieces(10, 4) == [(4, 2), (2, 1)] and pieces(3, 4) == [(3, 1)] and pieces(8, 4) == [(4, 2)]
    assert over_blocks((3, 5, 7), (2, 2, 4), lambda part: part[0] * part[1] * part[2]) == 3 * 5 * 7
    assert sorted(sub_kernels(Kernel(9, 1, 1, 1, 1, 1, False))) == [1, 8]
    assert sub_kernels(Kernel(5, 5, 1, 1, 2, 2, False)) == [9]  # three by three, apart
