"""The U85 on the simulator against the TOSA reference model: random inputs over the whole range, every element equal."""

from __future__ import annotations

import pytest

from mcu_sdk.npu.accelerator import accelerators
from tests.npu.comparison import count_mismatches, make_simulator
from tests.npu.graphs import graphs as common_graphs
from tests.npu.lowering import Lowered, compile_tosa, lower
from tests.npu.models import cases
from tests.npu.u85.graphs import graphs

CASES = cases()
GRAPHS = common_graphs() | graphs()
SEEDS = range(4)
EVERY = [name for name in accelerators() if "u85" in name]
LARGE = EVERY[:3]
QUICK = {"conv_3x3": "ethos-u85-256", "product": "ethos-u85-128", "select_greater": "ethos-u85-512"}


def _compare(lowered: Lowered, accelerator: str) -> None:
    differing, total = count_mismatches(lowered, make_simulator(accelerator), SEEDS)
    assert total > 0
    assert differing == 0, f"{differing} of {total} elements differ"


def _by_hand(name: str, accelerator: str) -> None:
    tosa = GRAPHS[name]()
    _compare(Lowered(compile_tosa(tosa, accelerator), tosa), accelerator)


@pytest.mark.parametrize("name", QUICK)
def test_matches_the_reference_model(name: str) -> None:
    _by_hand(name, QUICK[name])


@pytest.mark.slow
@pytest.mark.parametrize("accelerator", EVERY)
@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_by_hand(name: str, accelerator: str) -> None:
    _by_hand(name, accelerator)


@pytest.mark.slow
@pytest.mark.parametrize("accelerator", LARGE)
@pytest.mark.parametrize("name", CASES)
def test_matrix(name: str, accelerator: str) -> None:
    _compare(lower(CASES[name], accelerator), accelerator)
