"""Our cycles beside Vela's, layer by layer."""

from __future__ import annotations

from mcu_sdk.npu.cycles.compare import by_kind, by_layer, compare
from mcu_sdk.npu.cycles.estimate import OperationCycles, StreamCycles
from mcu_sdk.npu.vela import LayerEstimate, VelaSummary


def operation(index: int, cycles: int) -> OperationCycles:
    return OperationCycles(index, "NPU_OP_POOL", cycles, *[0] * 9)


STREAM = StreamCycles(
    "ethos-u55-128",
    "a",
    "b",
    5e8,
    128,
    tuple(operation(*each) for each in ((5, 10), (9, 20), (30, 5), (41, 100))),
)
LAYERS = (
    LayerEstimate("x", "Rescale", "Mul", 25, 0, 0, (9,)),
    LayerEstimate("table of x", "Table", "LUT", 0, 0, 0),
    LayerEstimate("y", "MatMul", "MatMul", 50, 0, 0, (30, 41)),
)
SUMMARY = VelaSummary("ethos-u55-128", "a", "b", True, 5e8, 75, 0, 0, 0, 0, 0, 0, LAYERS)


def test_operations_belong_to_the_layer_that_starts_next() -> None:
    assert by_layer(SUMMARY, STREAM) == [30, 0, 105]  # the first one's copy of a table; two parts of the last


def test_differences_of_more_than_a_quarter_are_pointed_out() -> None:
    kinds = by_kind(compare(SUMMARY, STREAM))
    assert [(k.npu_operator, k.layers, k.vela, k.ours, k.apart) for k in kinds] == [
        ("MatMul", 1, 50, 105, True),
        ("Mul", 1, 25, 30, False),
    ]


def test_a_summary_without_places_has_nothing_to_compare() -> None:
    bare = VelaSummary(
        "u", "a", "b", True, 1.0, 1, 0, 0, 0, 0, 0, 0, (LayerEstimate("x", "a", "b", 1, 0, 0),)
    )
    assert by_layer(bare, STREAM) == [0] and compare(bare, STREAM) == []
