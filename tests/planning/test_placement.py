"""The cheapest placement: against trying everything, and that it never overfills a region."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.board.board import load_board
from mcu_sdk.planning.fit import Sizes, check_fit
from mcu_sdk.planning.placement import Assignment, Item, Room, assign, explain

NAMES = ("a", "b", "c")
rooms = st.fixed_dictionaries(
    {name: st.builds(Room, st.integers(0, 60), st.sampled_from([1.0, 2.0, 4.0])) for name in NAMES}
)
items = st.lists(
    st.tuples(
        st.integers(0, 40), st.integers(0, 9), st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
    ),
    max_size=4,
).map(
    lambda rows: [Item(str(i), size, traffic, tuple(names)) for i, (size, traffic, names) in enumerate(rows)]
)


def by_trying_everything(items: list[Item], rooms: dict[str, Room]) -> Assignment | None:
    best: Assignment | None = None
    for choice in product(*(item.regions for item in items)):
        used = dict.fromkeys(rooms, 0)
        for item, name in zip(items, choice, strict=True):
            used[name] += item.size
        if any(used[name] > room.free for name, room in rooms.items()):
            continue
        cost = sum(item.traffic * rooms[name].speed for item, name in zip(items, choice, strict=True))
        if best is None or cost < best.cost:  # product() goes by preference: the first of equals stays
            best = Assignment({item.name: name for item, name in zip(items, choice, strict=True)}, cost)
    return best


@given(items, rooms)
@settings(max_examples=400, deadline=None)
def test_nothing_is_cheaper(items: list[Item], rooms: dict[str, Room]) -> None:
    assert assign(items, rooms) == by_trying_everything(items, rooms)


def test_taking_the_first_with_room_for_each_is_not_enough() -> None:
    """The cache alone fills the fast memory; weights and arena together are worth more there."""
    rooms = {"fast": Room(100, 1), "slow": Room(1000, 4)}
    both = ("fast", "slow")
    items = [Item("cache", 90, 45, both), Item("arena", 20, 60, both), Item("weights", 80, 80, both)]
    found = assign(items, rooms)
    assert found is not None and found.regions == {"cache": "slow", "arena": "fast", "weights": "fast"}
    assert found.cost == 45 * 4 + 60 + 80


@pytest.mark.parametrize(
    ("weights", "region"), [(1_000_000, "sram"), (3_400_000, "isram"), (5_000_000, "ddr")]
)
def test_weights_lie_in_the_fastest_memory_that_holds_them(weights: int, region: str) -> None:
    layout = check_fit(load_board("corstone-300"), Sizes(arena=9_000, kv_cache=262_144, weights=weights))
    assert layout.regions["weights"] == region
    assert (layout.regions["arena"], layout.regions["kv_cache"]) == ("dtcm", "dtcm")
    fastest = "the fastest memory that the board gives it"  # sram and isram are equally fast
    assert layout.reasons["weights"] == ("larger than sram, isram" if region == "ddr" else fastest)


def test_the_part_that_moves_more_bytes_gets_the_fast_memory() -> None:
    board = load_board("corstone-300")
    sizes = Sizes(arena=300_000, kv_cache=300_000, weights=1000)
    arena = check_fit(board, sizes, traffic={"arena": 900, "kv_cache": 100, "weights": 1})
    cache = check_fit(board, sizes, traffic={"arena": 100, "kv_cache": 900, "weights": 1})
    assert (arena.regions["arena"], arena.regions["kv_cache"]) == ("dtcm", "isram")
    assert (cache.regions["arena"], cache.regions["kv_cache"]) == ("isram", "dtcm")
    assert "took dtcm" in arena.reasons["kv_cache"] and "fastest" in arena.reasons["arena"]


def test_what_is_explained() -> None:
    rooms = {"fast": Room(10, 1), "slow": Room(1000, 4)}
    sizes = {"fast": 50, "slow": 1000}
    assert (
        explain(Item("x", 5, 1, ("slow",)), "slow", rooms, sizes) == "the only memory that the board gives it"
    )
    assert explain(Item("x", 60, 1, ("fast", "slow")), "slow", rooms, sizes) == "larger than fast"
