"""The simulator against the TOSA reference model: random inputs over the whole range, every element equal."""

from __future__ import annotations

import pytest

from mcu_sdk.npu.accelerator import accelerators
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.decode import decode
from mcu_sdk.npu.opcodes import Elementwise
from mcu_sdk.npu.operations import ElementwiseOperation
from mcu_sdk.npu.stream import read_stream
from tests.npu.comparison import count_mismatches, make_simulator
from tests.npu.graphs import graphs
from tests.npu.lowering import Lowered, compile_tosa, lower
from tests.npu.models import FUNCTION_BETWEEN, MISCOMPILED_SLICE, cases

CASES = cases()
GRAPHS = graphs()
SEEDS = range(4)
EVERY = [name for name in accelerators() if "u55" in name or "u65" in name]
QUICK = [
    "conv_3x3",
    "depthwise_dilated",
    "average_pool_uncounted",
    "gelu",
    "sub_column",
    "slice",
    "tanh_a16w8",
]
QUICK_ELSEWHERE = "conv_3x3"


def _compare(name: str, accelerator: str) -> None:
    differing, total = count_mismatches(lower(CASES[name], accelerator), make_simulator(accelerator), SEEDS)
    assert total > 0
    assert differing == 0, f"{differing} of {total} elements differ"


@pytest.mark.parametrize("name", QUICK)
def test_matches_the_reference_model(name: str) -> None:
    _compare(name, "ethos-u55-128")


@pytest.mark.parametrize("accelerator", [name for name in EVERY if name != "ethos-u55-128"])
def test_matches_on_every_accelerator(accelerator: str) -> None:
    _compare(QUICK_ELSEWHERE, accelerator)


@pytest.mark.parametrize("name", GRAPHS)
def test_matches_on_graphs_by_hand(name: str) -> None:
    tosa = GRAPHS[name]()
    lowered = Lowered(compile_tosa(tosa, "ethos-u55-128"), tosa)
    differing, total = count_mismatches(lowered, make_simulator("ethos-u55-128"), SEEDS)
    assert total > 0
    assert differing == 0, f"{differing} of {total} elements differ"


@pytest.mark.slow
@pytest.mark.parametrize("accelerator", EVERY)
@pytest.mark.parametrize("name", CASES)
def test_matrix(name: str, accelerator: str) -> None:
    _compare(name, accelerator)


@pytest.mark.slow
def test_a_function_between_products_over_rows_is_compiled_rightly() -> None:
    """ExecuTorch 1.4.1's graph of it was not: tests/lowering/ethos_u/test_module.py has a file that is refused."""
    lowered = lower(FUNCTION_BETWEEN, "ethos-u55-128")
    wrong, compared = count_mismatches(lowered, make_simulator("ethos-u55-128"), [0])
    assert wrong == 0 and compared == 7 * 32


@pytest.mark.slow
def test_vela_reads_one_sliced_matrix_for_all() -> None:
    """What docs/npu_simulator.md says of slices: it is the stream that differs from the graph, not the simulator."""
    lowered = lower(MISCOMPILED_SLICE, "ethos-u55-128")
    operations = decode(read_stream(read_blob(lowered.blob).commands))
    products = [o for o in operations if isinstance(o, ElementwiseOperation) and o.mode is Elementwise.MUL]
    assert len(products) == 4  # two matrices times two columns
    assert len({product.first.bases[0] for product in products}) == 1
    assert count_mismatches(lowered, make_simulator("ethos-u55-128"), [0])[0] > 0
