"""Whether a model fits a board, and which section goes into which region: decided before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

from mcu_sdk.board.board import Board
from mcu_sdk.board.memory import Placement, Region, stored_in
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.planning.pieces import Constant, Piece, make_pieces, room_for
from mcu_sdk.planning.placement import Item, Room, assign, explain

if TYPE_CHECKING:
    from mcu_sdk.planning.division import Division  # which needs numpy

CODE_BOUND = 32 * 1024
"""Bytes of code where nothing is known of it."""

DATA_BOUND = 4 * 1024
"""Bytes of variables besides the model's where nothing is known of them: line buffers and the like."""

VECTORS_BYTES = 256
"""The vector table of firmware/platform/cortex_m/startup.cpp: 16 exceptions and 48 interrupts."""

COPY_BYTES = 12
"""What start-up is told of a section that it copies: from where, to where, how many bytes."""

FEW_STATES = 64
"""States of a search that only asks whether something fits."""

_FREE = ("arena", "kv_cache", "weights", "tokenizer")
"""The sections that may have a choice of regions; the others have one."""

_IN_IMAGE = ("weights", "tokenizer")
"""Those of them that the image has the bytes of."""

_ALIGNMENT = {"vectors": 4, "code": 16, "copies": 4, "tokenizer": 4, "weights": 64, "initial": 8, "data": 8, "arena": 64,
              "kv_cache": 64, "bss": 8, "stack": 8}  # fmt: skip
"""Of each section, in the order in which templates/cmake/board.ld.j2 lays them down."""

_BESIDE = {"initial": "code", "copies": "code", "bss": "data"}
"""Whose region a section shares."""

_TITLES = {
    "vectors": "vector table",
    "code": "code",
    "tokenizer": "tokenizer",
    "weights": "model file with its weights",
    "initial": "initial values",
    "data": "variables with initial values",
    "bss": "other variables",
    "arena": "arena (activations)",
    "kv_cache": "KV cache",
    "stack": "stack",
}


@dataclass(frozen=True)
class Sizes:
    """Bytes of the sections that differ from model to model. `data` are the variables that do not begin as zero, which
    are stored beside the code, and `bss` all others but the model's. `code_is_bound`: nothing was compiled, and the
    code is at most this. `constants`: what kernels read of the weights, where these may lie in several regions."""

    code: int = CODE_BOUND
    tokenizer: int = 0
    weights: int = 0
    data: int = 0
    bss: int = DATA_BOUND
    arena: int = 0
    kv_cache: int = 0
    code_is_bound: bool = False
    constants: tuple[Constant, ...] = ()

    def of(self, section: str, board: Board) -> int:
        """Bytes of one section."""
        if section in ("vectors", "stack"):
            return VECTORS_BYTES if section == "vectors" else board.stack_bytes
        if section == "initial":
            placement = board.placement
            return 0 if placement is None or placement.code == placement.data else self.data
        if section == "copies":
            return 0  # a few words, counted where it is known what is copied
        size: int = getattr(self, section)
        return size


@dataclass(frozen=True)
class Layout:
    """The region of every section, and the bytes that are taken in every region. Empty for a host.

    `reasons`: for each section that could lie in several regions, why it lies where it does. `pieces`: the weights by
    region, where they are divided; `regions["weights"]` then names all of these.
    """

    regions: dict[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()


def check_fit(
    board: Board, sizes: Sizes, traffic: Mapping[str, int] | None = None, *, advice: str = ""
) -> Layout:
    """Place every section: what has one place only there, then arena, KV cache, weights and tokenizer where it is cheapest.

    `traffic` is the bytes that a step reads and writes of arena, kv_cache, weights and tokenizer; without it, all of
    each once. Raises DoesNotFitError, which names each region that is over and by how much; `advice` is its hint.
    """
    layout = place(board, sizes, traffic)
    require_fit(board, sizes, layout, advice)
    return layout


def require_fit(
    board: Board,
    sizes: Sizes,
    layout: Layout,
    advice: str = "",
    changes: Sequence[Mapping[str, object]] = (),
) -> None:
    """Raise DoesNotFitError for a layout that is over in any region, with `advice` in words and as `changes`."""
    over = bytes_over(board, layout)
    if over:
        message = _refusal(board, sizes, layout, over)
        raise DoesNotFitError(message, hint=advice, changes=changes, over=sum(over.values()))


def fits(board: Board, sizes: Sizes) -> bool:
    """Whether there is room for every section; of divided weights only what a short search finds counts."""
    return not bytes_over(board, place(board, sizes, states=FEW_STATES))


def bytes_over(board: Board, layout: Layout) -> dict[str, int]:
    """The regions that hold more than they have, and how many bytes too many."""
    return {
        name: used - board.regions[name].size
        for name, used in layout.used.items()
        if used > board.regions[name].size
    }


def place(
    board: Board, sizes: Sizes, traffic: Mapping[str, int] | None = None, *, states: int | None = None
) -> Layout:
    """The cheapest layout; where nothing fits, the one that is over by the fewest bytes in all.

    The weights lie in one region; or, where that is cheaper or the only way, their constants in several. `states`: how
    many states the search for that keeps (planning/division.py).
    """
    if board.placement is None:
        return Layout()
    traffic = traffic or {}
    fixed = {section: board.placement.of(section)[0] for section in ("vectors", "code", "data", "stack")}
    rooms = _rooms(board, sizes, fixed)
    items = [
        Item(
            name,
            _rounded(sizes.of(name, board)),
            traffic.get(name, sizes.of(name, board)),
            board.placement.of(name),
            name in _IN_IMAGE,
        )
        for name in _FREE
    ]
    whole = {name: region.size for name, region in board.regions.items()}
    found = assign(items, _less(rooms, _rounded(1)))
    divided = _divided(board, board.placement, sizes, items, rooms, found.regions if found else None, states)
    if divided is not None:
        return _in_pieces(board, sizes, fixed, items, rooms, divided)
    if found is not None:
        regions = {**fixed, **found.regions}
        reasons = {item.name: explain(item, regions[item.name], rooms, whole) for item in items}
        return Layout(regions, _used(board, sizes, regions), reasons)

    # Rounding may have been all that was too much: look at every assignment, to the byte.
    def worth(layout: Layout) -> tuple[int, float]:
        cost = sum(item.traffic * board.regions[layout.regions[item.name]].speed for item in items)
        return sum(bytes_over(board, layout).values()), cost

    best = min(_layouts(board, board.placement, sizes, fixed), key=worth)
    return replace(best, reasons=dict.fromkeys(_FREE, "the only place with room"))


def image_bytes(board: Board, sizes: Sizes, layout: Layout) -> int:
    """Bytes of flash that the image takes at most: vectors, code, tokenizer, weights and initial values, each with what
    aligns it. On a host the weights alone."""
    if not layout.regions:
        return sizes.weights
    total = 0
    for section in ("vectors", "code", "copies", *_IN_IMAGE, "initial"):
        for _, size in _lots(board, sizes, layout.regions, layout.pieces, section):
            total = -(-total // _ALIGNMENT[section]) * _ALIGNMENT[section] + size
    copied = sum(len(_lots(board, sizes, layout.regions, layout.pieces, section)) for section in _IN_IMAGE)
    return total + COPY_BYTES * copied


def with_sizes(board: Board, sizes: Sizes, layout: Layout) -> Layout:
    """The same layout for other sizes."""
    return replace(layout, used=_used(board, sizes, layout.regions, layout.pieces))


def could_hold(board: Board, sizes: Sizes) -> bool:
    """Whether there is room for every section if the weights could be cut anywhere: without it nothing fits."""
    from mcu_sdk.planning.division import has_room

    if board.placement is None:
        return True
    fixed = {section: board.placement.of(section)[0] for section in ("vectors", "code", "data", "stack")}
    items = [
        Item(name, sizes.of(name, board), 0, board.placement.of(name), name in _IN_IMAGE)
        for name in _FREE
        if name != "weights"
    ]
    return has_room(items, sizes.weights, board.placement.weights, _rooms(board, sizes, fixed))


def _rooms(board: Board, sizes: Sizes, fixed: Mapping[str, str]) -> dict[str, Room]:
    """What is left of each region behind the sections that have one place only."""
    before = _used(board, sizes, fixed)
    rooms = {}
    for name, region in board.regions.items():
        stored = stored_in(board.regions, fixed["code"], name)
        rooms[name] = Room(region.size - before[name], region.speed, "" if stored == name else stored)
    return rooms


def _less(rooms: Mapping[str, Room], size: int) -> dict[str, Room]:
    return {name: replace(room, free=room.free - size) for name, room in rooms.items()}


def _divided(
    board: Board,
    placement: Placement,
    sizes: Sizes,
    items: list[Item],
    rooms: Mapping[str, Room],
    whole: Mapping[str, str] | None,
    states: int | None,
) -> Division | None:
    """The cheapest division of the weights; None where it is no cheaper than `whole`, or there is none."""
    from mcu_sdk.planning.division import STATES, Part, divide

    if len(placement.weights) < 2 or not sizes.constants:
        return None
    others = [item for item in items if item.name != "weights"]
    parts = [Part(room_for(constant), constant.traffic) for constant in sizes.constants]
    speeds = {name: Fraction(repr(float(room.speed))) for name, room in rooms.items()}
    cost = None
    if whole is not None:
        read = sum(part.traffic for part in parts)
        cost = sum(
            (item.traffic * speeds[whole[item.name]] for item in others), read * speeds[whole["weights"]]
        )
        least = [*((item.traffic, item.regions) for item in others), (read, placement.weights)]
        if cost == sum(amount * min(speeds[name] for name in names) for amount, names in least):
            return None  # everything lies in the best memory that it may lie in
    room = _rounded(1) * 2 + COPY_BYTES * (
        1 + len(board.region)
    )  # what aligns pieces, and the list of copies
    found = divide(others, parts, placement.weights, _less(rooms, room), states=states or STATES)
    return found if found is not None and (cost is None or found.cost < cost) else None


def _in_pieces(
    board: Board,
    sizes: Sizes,
    fixed: Mapping[str, str],
    items: list[Item],
    rooms: Mapping[str, Room],
    division: Division,
) -> Layout:
    """The layout of a division."""
    pieces = make_pieces(sizes.constants, division.parts, list(board.regions))
    whole = {name: region.size for name, region in board.regions.items()}
    names = ", ".join(piece.region for piece in pieces)
    regions = {**fixed, **division.regions, "weights": names}
    reasons = {
        item.name: explain(item, regions[item.name], rooms, whole) for item in items if item.name != "weights"
    }
    reasons["weights"] = "constant by constant, what is read most per byte in the fastest; nothing is cheaper"
    if not division.proved:
        off = float(division.cost / division.least - 1) if division.least else 1.0
        reasons["weights"] = (
            f"constant by constant, what is read most per byte in the fastest; at most {100 * off:.2g} % from the best"
        )
    return Layout(regions, _used(board, sizes, regions, pieces), reasons, pieces)


def _layouts(board: Board, placement: Placement, sizes: Sizes, fixed: Mapping[str, str]) -> Iterator[Layout]:
    """Every assignment of the free sections, the most wanted first."""
    for names in product(*(placement.of(section) for section in _FREE)):
        regions = {**fixed, **dict(zip(_FREE, names, strict=True))}
        yield Layout(regions, _used(board, sizes, regions))


def _used(
    board: Board, sizes: Sizes, regions: Mapping[str, str], pieces: tuple[Piece, ...] = ()
) -> dict[str, int]:
    """Bytes that are taken from each region's origin on, gaps for alignment included, as the linker will.

    What start-up copies takes room where it is stored, too; it is told of an empty section as of any other.
    """
    ends = {name: region.origin for name, region in board.regions.items()}
    lots = {section: _lots(board, sizes, regions, pieces, section) for section in _ALIGNMENT}
    copied = [
        name
        for section in _IN_IMAGE
        for name, _ in lots[section]
        if stored_in(board.regions, regions["code"], name) != name
    ]
    lots["copies"] = [(regions["code"], COPY_BYTES * len(copied))]
    for section, alignment in _ALIGNMENT.items():
        for region, size in lots[section]:
            if not size:
                continue
            stored = stored_in(board.regions, regions["code"], region) if section in _IN_IMAGE else region
            for name in dict.fromkeys((region, stored)):
                ends[name] = -(-ends[name] // alignment) * alignment + size
    return {name: end - board.regions[name].origin for name, end in ends.items()}


def _lots(
    board: Board, sizes: Sizes, regions: Mapping[str, str], pieces: tuple[Piece, ...], section: str
) -> list[tuple[str, int]]:
    """(region, bytes) of a section, of each piece of the weights."""
    if section == "weights" and pieces:
        return [(piece.region, piece.size) for piece in pieces]
    region = regions.get(_BESIDE.get(section, section))
    return [] if region is None else [(region, sizes.of(section, board))]


def _rounded(size: int) -> int:
    return -(-size // 64) * 64


def _refusal(board: Board, sizes: Sizes, layout: Layout, over: Mapping[str, int]) -> str:
    """What is over, where, by how much, and what lies there."""
    told = []
    for name, count in over.items():
        region = board.regions[name]
        told.append(
            f"region '{name}' of {region.size:,} bytes is over by {count:,} bytes ({contents(board, sizes, layout, region)})"
        )
    elsewhere = ""
    assert board.placement is not None
    tried = {
        other for section in _FREE if layout.regions[section] in over for other in board.placement.of(section)
    }
    if tried - set(over):
        names = ", ".join(name for name in board.regions if name in tried - set(over))
        elsewhere = f"; {names} cannot hold what is too much"
    return f"The model does not fit {board.name}: {'; '.join(told)}{elsewhere}."


def contents(board: Board, sizes: Sizes, layout: Layout, region: Region) -> str:
    """ "arena (activations) 5,136, KV cache 327,680"."""
    parts = []
    for section in _ALIGNMENT:
        size, name = sizes.of(section, board), layout.regions[_BESIDE.get(section, section)]
        stored = name
        if section in _IN_IMAGE:
            stored = stored_in(board.regions, layout.regions["code"], name)
        if not size or region.name not in (name, stored):
            continue
        bound = "at most " if section == "code" and sizes.code_is_bound else ""
        where = f" for {name}" if region.name != name else ""
        parts.append(f"{_TITLES[section]}{where} {bound}{size:,}")
    return ", ".join(parts)
