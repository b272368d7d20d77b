"""Which constants lie in which memory: the cheapest division of a model's weights over a board's regions.

A knapsack with several sacks and some hundred items, most of them alike. Arena, KV cache and the tokenizer's tables are
tried in every place first; then the constants are laid down one by one, the most traffic per byte first, and of all
states that leave the same room only the cheapest goes on. A state whose bound (what is left, cut into bytes, hottest
bytes in the fastest memory) is no better than the best division known is dropped. So the result is the cheapest; only
where more than `STATES` states would have to be kept the least promising are dropped too, and the result says by how
much it can be off at most. All numbers are integers: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm

import numpy as np
from numpy.typing import NDArray

from mcu_sdk.planning.placement import Item, Room

STATES = 4096
"""States that are kept at each constant at most."""

FIRST = 64
"""States of the first pass, whose division is what the second has to beat."""

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A constant: `size` bytes of which a step reads `traffic`."""

    size: int
    traffic: int


@dataclass(frozen=True)
class Division:
    """The regions of the items by name, and of each part; `cost`: the sum of traffic x speed, and `least`: what no
    division can go below. They are equal, unless the search was cut short."""

    regions: dict[str, str]
    parts: tuple[str, ...]
    cost: Fraction
    least: Fraction

    @property
    def proved(self) -> bool:
        """Whether nothing is cheaper."""
        return self.cost == self.least


def divide(
    items: Sequence[Item],
    parts: Sequence[Part],
    names: Sequence[str],
    rooms: Mapping[str, Room],
    *,
    states: int = STATES,
) -> Division | None:
    """The cheapest places for `items` and for `parts`, which may lie in the regions `names`; None if there is no room.

    Among equally cheap ones it is always the same one.
    """
    speeds = {name: Fraction(repr(float(room.speed))) for name, room in rooms.items()}
    unit = lcm(*(speed.denominator for speed in speeds.values()))
    costs = {name: int(speed * unit) for name, speed in speeds.items()}
    search = _Search.of(parts, names, rooms, costs)
    candidates = sorted(
        (start + search.bound(free), number, start, places, free)
        for number, (places, free, start) in enumerate(_starts(items, rooms, costs))
        if search.has_room(free)
    )
    best: tuple[int, tuple[str, ...], tuple[int, ...]] | None = None
    least: int | None = None
    for bound, _, start, places, free in candidates:
        if best is not None and bound >= best[0]:
            continue
        limit = None if best is None else best[0] - start
        found, floor = search.run(free, limit, states)
        if floor is not None:
            least = start + floor if least is None else min(least, start + floor)
        if found is not None:
            best = (start + found[0], places, found[1])
    if best is None:
        return None
    cost, places, chosen = best
    return Division(
        {item.name: place for item, place in zip(items, places, strict=True)},
        tuple(search.names[index] for index in chosen),
        Fraction(cost, unit),
        Fraction(cost if least is None else min(least, cost), unit),
    )


def has_room(items: Sequence[Item], size: int, names: Sequence[str], rooms: Mapping[str, Room]) -> bool:
    """Whether there is a way to place the items that leaves `size` bytes in all in the regions `names`."""
    for _, free, _ in _starts(items, rooms, dict.fromkeys(rooms, 0)):
        stored = {rooms[name].stored or name for name in names}
        if size <= min(sum(free[name] for name in names), sum(free[name] for name in stored)):
            return True
    return False


def _starts(
    items: Sequence[Item], rooms: Mapping[str, Room], costs: Mapping[str, int]
) -> Iterator[tuple[tuple[str, ...], dict[str, int], int]]:
    """Every way to place the items that has room: the regions, what is free after, and the cost."""
    for places in product(*(item.regions for item in items)):
        free = {name: room.free for name, room in rooms.items()}
        for item, name in zip(items, places, strict=True):
            for taken in item.takes(name, rooms):
                free[taken] -= item.size
        if all(free[name] >= 0 for name in free):
            yield (
                places,
                free,
                sum(item.traffic * costs[name] for item, name in zip(items, places, strict=True)),
            )


@dataclass(frozen=True)
class _Search:
    """The parts, the most traffic per byte first, and the regions, the cheapest first.

    `sizes_before[i]`, `traffic_before[i]`: of the first i parts. `stored[r]`: the region where the image keeps what
    lies in region r, itself as a rule. `order`: the parts' places in the sequence that was given.
    """

    names: tuple[str, ...]
    costs: tuple[int, ...]
    stored: tuple[str, ...]
    all_names: tuple[str, ...]
    sizes: tuple[int, ...]
    traffic: tuple[int, ...]
    order: tuple[int, ...]
    sizes_before: Integers
    traffic_before: Integers

    @classmethod
    def of(
        cls, parts: Sequence[Part], names: Sequence[str], rooms: Mapping[str, Room], costs: Mapping[str, int]
    ) -> _Search:
        order = sorted(
            range(len(parts)),
            key=lambda index: (-Fraction(parts[index].traffic, parts[index].size), -parts[index].size, index),
        )
        regions = sorted(names, key=lambda name: (costs[name], names.index(name)))
        sizes, traffic = [parts[i].size for i in order], [parts[i].traffic for i in order]
        return cls(
            tuple(regions),
            tuple(costs[name] for name in regions),
            tuple(rooms[name].stored or name for name in regions),
            tuple(dict.fromkeys([*regions, *(rooms[name].stored or name for name in regions)])),
            tuple(sizes),
            tuple(traffic),
            tuple(order),
            np.cumsum([0, *sizes], dtype=np.int64),
            np.cumsum([0, *traffic], dtype=np.int64),
        )

    def has_room(self, free: Mapping[str, int]) -> bool:
        """Whether the parts, cut into bytes, have room."""
        return int(self.sizes_before[-1]) <= sum(free[name] for name in self.names)

    def bound(self, free: Mapping[str, int]) -> int:
        """No way to place all parts costs less."""
        return int(self._bounds(np.array([[free[name] for name in self.all_names]], np.int64), 0)[0])

    def _bounds(self, free: Integers, done: int) -> Integers:
        """The same for each row of `free` when `done` parts are placed: the rest, cut into bytes, the hottest in the
        cheapest region. Where a byte's traffic is no integer it is rounded so that the bound stays one."""
        total = self.traffic_before[-1] - self.traffic_before[done]
        bounds = np.full(len(free), self.costs[-1] * total, np.int64)
        filled = np.zeros(len(free), np.int64)
        for index in range(len(self.names) - 1):
            filled = np.minimum(filled + free[:, index], self.sizes_before[-1] - self.sizes_before[done])
            bounds -= (self.costs[index + 1] - self.costs[index]) * self._traffic_up_to(filled, done)
        return bounds

    def _traffic_up_to(self, sizes: Integers, done: int) -> Integers:
        """The traffic of the first `sizes` bytes behind the first `done` parts, rounded up."""
        if done == len(self.sizes):
            return np.zeros_like(sizes)
        at = self.sizes_before[done] + sizes
        index = np.minimum(np.searchsorted(self.sizes_before, at, side="right") - 1, len(self.sizes) - 1)
        rest = at - self.sizes_before[index]
        size, traffic = np.asarray(self.sizes, np.int64)[index], np.asarray(self.traffic, np.int64)[index]
        result: Integers = self.traffic_before[index] - self.traffic_before[done] - (-rest * traffic // size)
        return result

    def run(
        self, free: Mapping[str, int], limit: int | None, states: int
    ) -> tuple[tuple[int, tuple[int, ...]] | None, int | None]:
        """(cost and regions' numbers of the cheapest division below `limit`, or None; what none goes below, or None if
        nothing below `limit` was left out)."""
        start = np.array([[free[name] for name in self.all_names]], np.int64)
        best, floor = self._pass(start, limit, min(FIRST, states))
        if floor is None or states <= FIRST:
            return best, floor
        better, floor = self._pass(start, limit if best is None else best[0], states)
        return better or best, floor

    def _pass(
        self, start: Integers, limit: int | None, states: int
    ) -> tuple[tuple[int, tuple[int, ...]] | None, int | None]:
        free, costs = start, np.zeros(1, np.int64)
        trail: list[tuple[Integers, Integers]] = []
        floor: int | None = None
        for done, (size, traffic) in enumerate(zip(self.sizes, self.traffic, strict=True), start=1):
            free, costs, parents, chosen = self._placed(free, costs, size, traffic)
            left = self.sizes_before[-1] - self.sizes_before[done]
            free = np.minimum(free, left)  # more room than all that is left is as good as that
            keep = np.flatnonzero(free[:, : len(self.names)].sum(axis=1) >= left)
            bounds = costs[keep] + self._bounds(free[keep], done)
            if limit is not None:
                keep, bounds = keep[bounds < limit], bounds[bounds < limit]
            order = np.lexsort((keep, costs[keep], bounds))
            keep, bounds = keep[order], bounds[order]
            _, first = np.unique(free[keep], axis=0, return_index=True)
            # Of the states with the same room the bounds differ as the costs do, so the first is the cheapest.
            first.sort()
            keep, bounds = keep[first], bounds[first]
            if len(keep) > states:
                dropped = int(bounds[states])
                floor = dropped if floor is None else min(floor, dropped)
                keep = keep[:states]
            if not len(keep):
                return None, floor
            free, costs = free[keep], costs[keep]
            trail.append((parents[keep], chosen[keep]))
        index = int(np.argmin(costs))
        cost = int(costs[index])
        regions = [0] * len(self.order)
        for part, (parents, chosen) in zip(reversed(self.order), reversed(trail), strict=True):
            regions[part] = int(chosen[index])
            index = int(parents[index])
        if floor is not None and floor >= cost:
            floor = None
        return (cost, tuple(regions)), floor

    def _placed(
        self, free: Integers, costs: Integers, size: int, traffic: int
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """Every state with the next part in every region that has room: free, costs, from which state, which region."""
        results = []
        for region, name in enumerate(self.names):
            columns = [region]
            if self.stored[region] != name:
                columns.append(self.all_names.index(self.stored[region]))
            parents = np.flatnonzero((free[:, columns] >= size).all(axis=1))
            after = free[parents]
            after[:, columns] -= size
            cost = costs[parents] + self.costs[region] * traffic
            results.append((after, cost, parents, np.full(len(parents), region, np.int64)))
        frees, all_costs, all_parents, regions = zip(*results, strict=True)
        return (
            np.concatenate(frees),
            np.concatenate(all_costs),
            np.concatenate(all_parents),
            np.concatenate(regions),
        )
