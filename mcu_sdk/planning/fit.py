"""Whether a model fits a board, and which section goes into which region: decided before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from mcu_sdk.board.board import Board, Placement, Region
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.planning.placement import Item, Room, assign, explain

CODE_BOUND = 32 * 1024
"""Bytes of code where nothing is known of it."""

DATA_BOUND = 4 * 1024
"""Bytes of variables besides the model's where nothing is known of them: line buffers and the like."""

VECTORS_BYTES = 256
"""The vector table of firmware/platform/cortex_m/startup.cpp: 16 exceptions and 48 interrupts."""

_FREE = ("arena", "kv_cache", "weights", "tokenizer")
"""The sections that may have a choice of regions; the others have one."""

_ALIGNMENT = {"vectors": 4, "code": 16, "tokenizer": 4, "weights": 64, "initial": 8, "data": 8, "arena": 64,
              "kv_cache": 64, "bss": 8, "stack": 8}  # fmt: skip
"""Of each section, in the order in which templates/cmake/board.ld.j2 lays them down."""

_BESIDE = {"initial": "code", "bss": "data"}
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
    code is at most this."""

    code: int = CODE_BOUND
    tokenizer: int = 0
    weights: int = 0
    data: int = 0
    bss: int = DATA_BOUND
    arena: int = 0
    kv_cache: int = 0
    code_is_bound: bool = False

    def of(self, section: str, board: Board) -> int:
        """Bytes of one section."""
        if section in ("vectors", "stack"):
            return VECTORS_BYTES if section == "vectors" else board.stack_bytes
        if section == "initial":
            placement = board.placement
            return 0 if placement is None or placement.code == placement.data else self.data
        size: int = getattr(self, section)
        return size


@dataclass(frozen=True)
class Layout:
    """The region of every section, and the bytes that are taken in every region. Empty for a host.

    `reasons`: for each section that could lie in several regions, why it lies where it does.
    """

    regions: dict[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def check_fit(
    board: Board, sizes: Sizes, traffic: Mapping[str, int] | None = None, *, advice: str = ""
) -> Layout:
    """Place every section: what has one place only there, then arena, KV cache, weights and tokenizer where it is cheapest.

    `traffic` is the bytes that a step reads and writes of arena, kv_cache, weights and tokenizer; without it, all of
    each once. Raises DoesNotFitError, which names each region that is over and by how much; `advice` is its hint.
    """
    layout = place(board, sizes, traffic)
    over = bytes_over(board, layout)
    if over:
        raise _refusal(board, sizes, layout, over, advice)
    return layout


def fits(board: Board, sizes: Sizes) -> bool:
    """Whether there is room for every section."""
    return not bytes_over(board, place(board, sizes))


def bytes_over(board: Board, layout: Layout) -> dict[str, int]:
    """The regions that hold more than they have, and how many bytes too many."""
    return {
        name: used - board.regions[name].size
        for name, used in layout.used.items()
        if used > board.regions[name].size
    }


def place(board: Board, sizes: Sizes, traffic: Mapping[str, int] | None = None) -> Layout:
    """The cheapest layout; where nothing fits, the one that is over by the fewest bytes in all."""
    if board.placement is None:
        return Layout()
    traffic = traffic or {}
    fixed = {section: board.placement.of(section)[0] for section in ("vectors", "code", "data", "stack")}
    before = _used(board, sizes, fixed)
    rooms = {name: Room(region.size - before[name], region.speed) for name, region in board.regions.items()}
    items = [
        Item(
            name,
            _rounded(sizes.of(name, board)),
            traffic.get(name, sizes.of(name, board)),
            board.placement.of(name),
        )
        for name in _FREE
    ]
    whole = {name: region.size for name, region in board.regions.items()}
    found = assign(items, {name: replace(room, free=room.free - _rounded(1)) for name, room in rooms.items()})
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


def _layouts(board: Board, placement: Placement, sizes: Sizes, fixed: Mapping[str, str]) -> Iterator[Layout]:
    """Every assignment of the free sections, the most wanted first."""
    for names in product(*(placement.of(section) for section in _FREE)):
        regions = {**fixed, **dict(zip(_FREE, names, strict=True))}
        yield Layout(regions, _used(board, sizes, regions))


def _used(board: Board, sizes: Sizes, regions: Mapping[str, str]) -> dict[str, int]:
    """Bytes that are taken from each region's origin on, gaps for alignment included, as the linker will."""
    ends = {name: region.origin for name, region in board.regions.items()}
    for section, alignment in _ALIGNMENT.items():
        size, region = sizes.of(section, board), regions.get(_BESIDE.get(section, section))
        if region is not None and size:
            ends[region] = -(-ends[region] // alignment) * alignment + size
    return {name: end - board.regions[name].origin for name, end in ends.items()}


def _rounded(size: int) -> int:
    return -(-size // 64) * 64


def _refusal(
    board: Board, sizes: Sizes, layout: Layout, over: Mapping[str, int], advice: str
) -> DoesNotFitError:
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
    return DoesNotFitError(f"The model does not fit {board.name}: {'; '.join(told)}{elsewhere}.", hint=advice)


def contents(board: Board, sizes: Sizes, layout: Layout, region: Region) -> str:
    """ "arena (activations) 5,136, KV cache 327,680"."""
    parts = [
        f"{_TITLES[section]} {'at most ' if section == 'code' and sizes.code_is_bound else ''}"
        f"{sizes.of(section, board):,}"
        for section in _ALIGNMENT
        if layout.regions[_BESIDE.get(section, section)] == region.name and sizes.of(section, board)
    ]
    return ", ".join(parts)
