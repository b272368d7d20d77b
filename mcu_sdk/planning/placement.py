"""What should lie in the fast memories: the cheapest assignment of a model's parts to a board's regions.

A knapsack with several sacks, solved exactly: a part costs the bytes that a step moves in or out of it times the cost
of an access in its region, and the parts of a region may not be more than it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A part to place: `size` bytes, `traffic` bytes that a step reads and writes of it, and the regions that it may
    lie in, most wanted first. `in_image`: whether its bytes are in the image."""

    name: str
    size: int
    traffic: int
    regions: tuple[str, ...]
    in_image: bool = False

    def takes(self, region: str, rooms: Mapping[str, Room]) -> tuple[str, ...]:
        """The regions that it takes room of if it lies in `region`."""
        stored = rooms[region].stored
        return (region, stored) if self.in_image and stored else (region,)


@dataclass(frozen=True)
class Room:
    """What is left of a region, in bytes, and the cost of an access to it.

    `stored`: the region where the image keeps what start-up copies to here, and which it takes room of, too; "" where
    the image is loaded to here.
    """

    free: int
    speed: float
    stored: str = ""


@dataclass(frozen=True)
class Assignment:
    """The region of each item, and the sum of traffic x speed."""

    regions: dict[str, str]
    cost: float


def assign(items: Sequence[Item], rooms: Mapping[str, Room]) -> Assignment | None:
    """The cheapest assignment, or None if there is none.

    Among equally cheap ones the first in the items' orders of preference, the first item's counting most. Depth-first
    with a bound: what is still to place costs at least what it would if it were alone. Exponential in the number of
    items, of which a firmware has three.
    """
    least = [0.0] * (len(items) + 1)
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        speeds = [rooms[name].speed for name in item.regions if rooms[name].free >= item.size]
        if not speeds:
            return None
        least[index] = least[index + 1] + item.traffic * min(speeds)
    free = {name: room.free for name, room in rooms.items()}
    best: Assignment | None = None
    chosen: list[str] = []

    def search(index: int, cost: float) -> None:
        nonlocal best
        if best is not None and cost + least[index] >= best.cost:
            return
        if index == len(items):
            best = Assignment({item.name: name for item, name in zip(items, chosen, strict=True)}, cost)
            return
        item = items[index]
        for name in item.regions:
            taken = item.takes(name, rooms)
            if any(free[region] < item.size for region in taken):
                continue
            for region in taken:
                free[region] -= item.size
            chosen.append(name)
            search(index + 1, cost + item.traffic * rooms[name].speed)
            chosen.pop()
            for region in taken:
                free[region] += item.size

    search(0, 0.0)
    return best


def explain(item: Item, region: str, rooms: Mapping[str, Room], sizes: Mapping[str, int]) -> str:
    """Why `item` lies in `region`: one line for the report. `rooms` is what was free before, `sizes` what is in all."""
    chosen = rooms[region].speed
    faster = [name for name in item.regions if rooms[name].speed < chosen]
    if not faster:
        same = "the fastest" if len(item.regions) > 1 else "the only"
        return f"{same} memory that the board gives it"
    small = [name for name in faster if sizes[name] < item.size]
    taken = [name for name in faster if name not in small]
    why = [f"larger than {', '.join(small)}"] if small else []
    why += [f"what moves more bytes a step, or has no other place, took {', '.join(taken)}"] if taken else []
    return "; ".join(why)
