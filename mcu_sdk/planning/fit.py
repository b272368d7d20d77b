"""Whether a model fits a board, and which section goes into which region: decided before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mcu_sdk.board.board import Board, Placement, Region
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.planning.placement import Item, Room, assign, explain

CODE_ESTIMATE = 96 * 1024
"""Bytes of code and tables when nothing better is known: kernels, runtime and a tokenizer of a few thousand tokens."""

DATA_ESTIMATE = 4 * 1024
"""Bytes of variables besides the model's: line buffers and the like."""

VECTORS_BYTES = 1024
_ALIGNMENT = 64  # of every section in the linker script

_FREE = ("arena", "kv_cache", "weights")  # the sections that may have a choice; the others have one region

_TITLES = {
    "vectors": "the vector table",
    "code": "the code (an estimate)",
    "data": "the variables (an estimate)",
    "stack": "the stack",
    "arena": "the arena (activations)",
    "kv_cache": "the KV cache",
    "weights": "the model file with its weights",
}


@dataclass(frozen=True)
class Layout:
    """The region of every section, and the bytes that are taken in every region. Empty for a host.

    `reasons`: for each section that could lie in several regions, why it lies where it does.
    """

    regions: dict[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def check_fit(
    board: Board,
    *,
    arena_bytes: int,
    kv_cache_bytes: int,
    weights_bytes: int,
    code_bytes: int = CODE_ESTIMATE,
    data_bytes: int = DATA_ESTIMATE,
    max_sequence_length: int | None = None,
    traffic: Mapping[str, int] | None = None,
) -> Layout:
    """Place every section: what has one place only there, then arena, KV cache and weights as placement.py finds best.

    All sizes in bytes; `max_sequence_length` (tokens) lets the advice say how long a KV cache would fit. `traffic` is
    the bytes that a step reads and writes of arena, kv_cache and weights; without it, all of each once. Raises DoesNotFitError: which section, which region, how many bytes too many, what would help.
    """
    if board.placement is None:
        return Layout()
    sizes = {
        # What has one place only comes first, then what is used most on every step.
        "vectors": VECTORS_BYTES,
        "code": code_bytes,
        "data": data_bytes,
        "stack": board.stack_bytes,
        "arena": arena_bytes,
        "kv_cache": kv_cache_bytes,
        "weights": weights_bytes,
    }
    regions: dict[str, str] = {}
    used = dict.fromkeys(board.regions, 0)
    reasons: dict[str, str] = {}
    for section, size in sizes.items():
        if section == _FREE[0]:
            reasons = _place_freely(board, board.placement, sizes, traffic or {}, regions, used)
        if section in regions:
            continue
        rounded = _rounded(size)
        candidates = [board.regions[name] for name in board.placement.of(section)]
        for region in candidates:
            if used[region.name] + rounded <= region.size:
                regions[section] = region.name
                used[region.name] += rounded
                break
        else:
            _refuse(board, section, size, candidates, used, sizes, regions, max_sequence_length)
    return Layout(regions, used, reasons)


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _place_freely(
    board: Board,
    placement: Placement,
    sizes: Mapping[str, int],
    traffic: Mapping[str, int],
    regions: dict[str, str],
    used: dict[str, int],
) -> dict[str, str]:
    """Add the sections that may lie in several regions to `regions` and `used`; returns why each lies where it does.

    Adds nothing if they do not fit together: going on one by one then finds which is one too many.
    """
    items = [
        Item(name, _rounded(sizes[name]), traffic.get(name, sizes[name]), placement.of(name))
        for name in _FREE
    ]
    rooms = {name: Room(region.size - used[name], region.speed) for name, region in board.regions.items()}
    found = assign(items, rooms)
    if found is None:
        return {}
    for item in items:
        regions[item.name] = found.regions[item.name]
        used[found.regions[item.name]] += item.size
    whole = {name: region.size for name, region in board.regions.items()}
    return {item.name: explain(item, found.regions[item.name], rooms, whole) for item in items}


def _refuse(
    board: Board,
    section: str,
    size: int,
    candidates: list[Region],
    used: dict[str, int],
    sizes: dict[str, int],
    regions: dict[str, str],
    max_sequence_length: int | None,
) -> None:
    """Raise the DoesNotFitError for `section`, told for the candidate with the most room."""
    region = max(candidates, key=lambda candidate: candidate.size - used[candidate.name])
    room = region.size - used[region.name]
    others = [f"{_TITLES[name]} {sizes[name]:,}" for name, place in regions.items() if place == region.name]
    taken = f" after {', '.join(others)}" if others else ""
    refused = [candidate.name for candidate in candidates if candidate is not region]
    beside = f" ({', '.join(refused)} cannot hold it either)" if refused else ""
    raise DoesNotFitError(
        f"The model does not fit {board.name}: {_TITLES[section]} needs {size:,} bytes, and region "
        f"'{region.name}' of {region.size:,} bytes has {room:,} left{taken}, so it is over by "
        f"{size - room:,} bytes{beside}.",
        hint=_advice(section, size, room, max_sequence_length),
    )


def _advice(section: str, size: int, room: int, max_sequence_length: int | None) -> str:
    """What would help."""
    if section == "kv_cache" and max_sequence_length:
        length = room * max_sequence_length // size
        if length >= 1:
            return f"A shorter cache would fit: --max-cache-len {length} (now {max_sequence_length})."
        return "Not even a cache of one token fits: take a smaller model or a board with more memory."
    if section == "arena" and max_sequence_length:
        return "Take a smaller model (hidden size, vocabulary), or a shorter --max-cache-len for attention's scratch."
    if section == "weights":
        return "Take a smaller model, or a board with more memory for weights."
    if section in ("stack", "data"):
        return "Give the board's stack and data a larger region, or a smaller stack_bytes."
    return "Take a smaller model, or a board with more memory."
