"""The cheapest division of constants over regions: against trying everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.planning.division import Part, divide, has_room
from mcu_sdk.planning.placement import Item, Room

NAMES = ("a", "b", "flash")
SPEEDS = (1.0, 1.5, 2.0, 4.0)
rooms = st.builds(
    lambda a, b, flash, copied: {
        "a": Room(a[0], a[1], "flash" if copied else ""),
        "b": Room(b[0], b[1], "flash" if copied else ""),
        "flash": Room(flash, 8.0),
    },
    *[st.tuples(st.integers(0, 60), st.sampled_from(SPEEDS))] * 2,
    st.integers(0, 160),
    st.booleans(),
)
parts = st.lists(st.builds(Part, st.integers(1, 24), st.integers(0, 40)), max_size=6)
items = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 60),
        st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
        st.booleans(),
    ),
    max_size=2,
).map(lambda rows: [Item(f"i{n}", size, t, tuple(r), kept) for n, (size, t, r, kept) in enumerate(rows)])


def every_way(
    items: Sequence[Item], parts: Sequence[Part], rooms: Mapping[str, Room]
) -> Iterator[tuple[Fraction, dict[str, int]]]:
    """The cost of each division that has room, and what it leaves free."""
    choices = [item.regions for item in items] + [NAMES] * len(parts)
    for places in product(*choices):
        free = {name: room.free for name, room in rooms.items()}
        cost = Fraction(0)
        for thing, name in zip([*items, *parts], places, strict=True):
            free[name] -= thing.size
            if rooms[name].stored and (isinstance(thing, Part) or thing.in_image):
                free[rooms[name].stored] -= thing.size
            cost += thing.traffic * Fraction(rooms[name].speed)
        if min(free.values()) >= 0:
            yield cost, free


def cost_of(
    found_items: Mapping[str, str],
    found_parts: Sequence[str],
    items: Sequence[Item],
    parts: Sequence[Part],
    rooms: Mapping[str, Room],
) -> Fraction | None:
    """The cost of one division; None if it has no room."""
    free = {name: room.free for name, room in rooms.items()}
    cost = Fraction(0)
    placed = [(item, found_items[item.name], item.in_image) for item in items]
    for thing, name, in_image in [
        *placed,
        *((part, name, True) for part, name in zip(parts, found_parts, strict=True)),
    ]:
        for region in (name, *([rooms[name].stored] if in_image and rooms[name].stored else [])):
            free[region] -= thing.size
        cost += thing.traffic * Fraction(rooms[name].speed)
    return cost if min(free.values()) >= 0 else None


@given(items, parts, rooms)
@settings(max_examples=80, deadline=None)
def test_nothing_is_cheaper(items: list[Item], parts: list[Part], rooms: dict[str, Room]) -> None:
    found = divide(items, parts, NAMES, rooms)
    best = min((cost for cost, _ in every_way(items, parts, rooms)), default=None)
    if best is None:
        assert found is None
        return
    assert found is not None and found.proved
    assert found.cost == best == cost_of(found.regions, found.parts, items, parts, rooms)
    assert divide(items, parts, NAMES, rooms) == found


@given(items, parts, rooms, st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_a_search_that_is_cut_short_says_how_far_it_can_be_off(
    items: list[Item], parts: list[Part], rooms: dict[str, Room], states: int
) -> None:
    found = divide(items, parts, NAMES, rooms, states=states)
    best = min((cost for cost, _ in every_way(items, parts, rooms)), default=None)
    if found is None:
        return
    assert best is not None
    assert found.least <= best <= found.cost == cost_of(found.regions, found.parts, items, parts, rooms)
    assert not found.proved or found.cost == best


@given(items, rooms, st.integers(0, 300))
@settings(max_examples=150, deadline=None)
def test_room_for_bytes_that_can_be_cut_anywhere(
    items: list[Item], rooms: dict[str, Room], size: int
) -> None:
    """What cannot be cut has no room where even single bytes have none."""
    assert has_room(items, 0, NAMES, rooms) == any(True for _ in every_way(items, [], rooms))
    if size <= 6 and any(True for _ in every_way(items, [Part(1, 0)] * size, rooms)):
        assert has_room(items, size, NAMES, rooms)


def test_a_hot_part_beats_a_large_one() -> None:
    rooms = {"fast": Room(100, 1), "slow": Room(1000, 8)}
    hot, cold, large = Part(60, 60), Part(50, 1), Part(90, 80)
    found = divide([], [cold, large, hot], ["fast", "slow"], rooms)
    assert found is not None and found.parts == ("slow", "fast", "slow")
    found = divide([], [cold, large, hot, Part(40, 40)], ["fast", "slow"], rooms)
    assert found is not None and found.parts == ("slow", "slow", "fast", "fast")


def test_what_is_copied_takes_room_in_the_image_too() -> None:
    rooms = {"ram": Room(1000, 1, "flash"), "qspi": Room(1000, 8), "flash": Room(100, 4)}
    found = divide([], [Part(80, 80), Part(80, 79)], ["ram", "qspi", "flash"], rooms)
    assert found is not None and found.parts == ("ram", "qspi")
    assert not has_room([], 150, ["ram", "flash"], rooms) and has_room([], 150, ["ram", "qspi"], rooms)


def test_hundreds_of_parts_end_with_a_small_gap() -> None:
    """As many as a decoder of ten layers has, most of them alike."""
    parts = [Part(size, size) for size in (16384, 16384, 16384, 16384, 49152, 49152, 49152, 512, 512)] * 12
    rooms = {
        "itcm": Room(100_000, 1),
        "dtcm": Room(300_000, 1),
        "ocram": Room(520_000, 4),
        "flash": Room(1 << 23, 72),
    }
    found = divide([], parts, list(rooms), rooms)
    assert found is not None and found.cost <= found.least * Fraction(1001, 1000)
    for name, room in rooms.items():
        assert sum(p.size for p, where in zip(parts, found.parts, strict=True) if where == name) <= room.free
