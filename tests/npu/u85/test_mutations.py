"""Faults put into the U85's simulator on purpose: the comparison with the reference model has to notice each of them."""

from __future__ import annotations

import pytest

from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.errors import SimulationError
from tests.npu.comparison import count_mismatches, make_simulator
from tests.npu.faults import Fault, faulty_simulator, source_with
from tests.npu.lowering import Lowered, compile_tosa
from tests.npu.u85.graphs import graphs

NAME = "ethos-u85-512"
"""Two cores: the order of their weights is at stake too."""

FAULTS = {
    "rows of a kernel all go forwards": Fault(
        "u85.weights",
        "found += [(row, column) for column in (columns if number % 2 == 0 else columns[::-1])]",
        "found += [(row, column) for column in columns]",
        "conv_3x3",
    ),
    "the second core's channels are the first one's": Fault(
        "u85.weights",
        "np.arange(core * _FOUR, layout.ublock_depth, _FOUR * layout.cores),",
        "np.arange(0, layout.ublock_depth, _FOUR * layout.cores),",
        "depthwise",
    ),
    "depthwise weights are not padded": Fault(
        "u85.weights", "return 2 if self.macs <= 512 else 6", "return 0", "depthwise"
    ),
    "a palette's signs are turned round": Fault(
        "u85.weights",
        "palette = np.where(entries & 1, -(entries >> 1), entries >> 1)",
        "palette = np.where(entries & 1, entries >> 1, -(entries >> 1))",
        "conv_few_levels",
    ),
    "a bias has one bit less": Fault(
        "u85.weights",
        "bias = np.where(bias >> (8 * split - 1), bias - (1 << 8 * split), bias)",
        "bias = np.where(bias >> (8 * split - 1), bias - (1 << 8 * split - 1), bias)",
        "conv_16",
    ),
    "axes are exchanged the other way": Fault(
        "u85.finish",
        "values = values.transpose(self._axes)",
        "values = values.transpose(np.argsort(self._axes))",
        "transpose_231",
    ),
    "the last axis is turned round, whichever is meant": Fault(
        "u85.finish",
        "values = np.flip(values, self._output.reverse)",
        "values = np.flip(values, 2)",
        "reverse_w",
    ),
    "what is handed on is handed on too high": Fault(
        "u85.finish",
        "internal.chained[self._output.ofm.buffer] = values",
        "internal.chained[self._output.ofm.buffer] = values + 1",
        "select_greater",
    ),
    "a table of 32 bits does not interpolate": Fault(
        "tables",
        "return np.asarray((base << _FRACTION_BITS) + slope * fraction)",
        "return np.asarray(base << _FRACTION_BITS)",
        "table_16",
    ),
    "a value without limits is limited": Fault(
        "u85.finish",
        "values = _wrapped(values, self._kind)",
        "values = self._limited(values)",
        "cast_32_to_8",
    ),
    "true is one": Fault(
        "u85.elementwise",
        "return lambda operation: lambda a, b: -function(a, b).astype(np.int64)",
        "return lambda operation: lambda a, b: function(a, b).astype(np.int64)",
        "select_greater",
    ),
    "a scaled operand keeps its zero point": Fault(
        "u85.elementwise",
        "return scaled(values - zero_point if zero_point else values)",
        "return scaled(values)",
        "add_both_broadcast",
    ),
    "the second feature map of a product keeps its zero point": Fault(
        "u85.convolution",
        "b -= weights.zero_point",
        "b -= 0",
        "product",
    ),
    "accumulators begin with nothing": Fault(
        "u85.convolution", "total += addend.load(regions)", "pass", "conv_3d"
    ),
    "averages round halves up": Fault(
        "arithmetic",
        "return np.asarray(np.sign(total) * ((np.abs(total) + count // 2) // count))",
        "return np.asarray((total + count // 2) // count)",
        "average_pool",
    ),
    "the last of the greatest values counts": Fault(
        "u85.pooling",
        "finish(regions, internal, buffer.taps[:, :, 0].argmax(axis=2))",
        "finish(regions, internal, buffer.taps.shape[3] - 1 - buffer.taps[:, :, 0, ::-1].argmax(axis=2))",
        "argmax_c",
    ),
    "the left neighbour has the right one's weight": Fault(
        "u85.resize",
        "above = total * (scale_x - right) + upper[:, x1] * right",
        "above = total * right + upper[:, x1] * (scale_x - right)",
        "resize_between",
    ),
    "an input is broadcast along its channels too": Fault(
        "u85.decode",
        "sizes = [1 if broadcast >> axis & 1 else size for axis, size in enumerate(shape)]",
        "sizes = [1 if broadcast >> axis & 1 else size for axis, size in enumerate(shape)][:2] + [1]",
        "add_both_broadcast",
    ),
    "rows are gathered in order": Fault(
        "u85.dma",
        "source, target = (number, row) if dma.gathers else (row, number)",
        "source, target = (row, row)",
        "gather",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_has_its_line(name: str) -> None:
    """What the slow test below replaces is there."""
    assert source_with(FAULTS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_noticed(name: str) -> None:
    fault = FAULTS[name]
    tosa = graphs()[fault.case]()
    lowered = Lowered(compile_tosa(tosa, NAME), tosa)
    assert count_mismatches(lowered, make_simulator(NAME), range(2))[0] == 0
    with faulty_simulator(fault) as simulator:
        try:
            differing, _ = count_mismatches(lowered, simulator(accelerator(NAME)), range(2))
        except SimulationError:
            return
    assert differing, f"nothing differs although {name}"
