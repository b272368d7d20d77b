"""Where a model lies, in groups: each constant counted once, in the region that its piece lies in."""

from __future__ import annotations

from pathlib import Path

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.planning.constants import constants_of
from mcu_sdk.planning.fit import Layout
from mcu_sdk.planning.plan import Plan, compile_plan
from mcu_sdk.planning.pte.read import load_bytes, read_pte
from mcu_sdk.planning.where import groups_of, where
from mcu_sdk.project.fitting import place_uncompiled

FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"


def plan_of(name: str) -> Plan:
    return compile_plan(read_pte(load_bytes(FIXTURES / name)))


def small_teensy() -> Board:
    """One whose fast memories do not hold the fixture's weights."""
    teensy, sizes = load_board("teensy41"), {"dtcm": 12288, "itcm": 2048, "ocram": 4096}
    regions = tuple(
        each.model_copy(update={"size": sizes.get(each.name, each.size)}) for each in teensy.region
    )
    return Board.model_validate(teensy.model_copy(update={"region": regions}).model_dump())


def test_the_groups_are_the_pieces() -> None:
    plan = plan_of("decoder-rows.pte")
    layout, sizes = place_uncompiled(small_teensy(), plan, divided=True)
    assert len(layout.pieces) > 2
    groups = groups_of(plan, layout)
    for piece in layout.pieces:
        here = [group for group in groups if group.region == piece.region]
        assert sum(group.constants for group in here) == len(piece.constants)
        assert sum(group.bytes for group in here) == sum(constant.size for constant in piece.constants)
        assert sum(group.traffic for group in here) == piece.traffic
    found = where(plan, layout, sizes)
    assert found["sections"]["arena"] == {"region": layout.regions["arena"], "bytes": plan.arena_bytes}
    assert [row["operator"] for row in found["constants"]] == [group.operator for group in groups]


def test_undivided_weights_are_all_in_one_region() -> None:
    plan = plan_of("decoder-rows.pte")
    layout, _ = place_uncompiled(load_board("nucleo-h743zi"), plan, divided=True)
    groups = groups_of(plan, layout)
    assert not layout.pieces and {group.region for group in groups} == {"flash"}
    assert sum(group.constants for group in groups) == len(constants_of(plan))


def test_a_host_has_no_memories_to_tell_of() -> None:
    plan = plan_of("decoder-rows.pte")
    layout, sizes = place_uncompiled(load_board("host"), plan, divided=True)
    assert layout == Layout() and where(plan, layout, sizes) == {}
