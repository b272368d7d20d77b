"""How much of the arena holds live data at each instruction: for reports, and to judge a memory plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mcu_sdk.planning.instruction import Space, Tensor
from mcu_sdk.planning.operands import tensors_in
from mcu_sdk.planning.pte.read import Pte

_Intervals = list[tuple[int, int]]
"""Sorted, disjoint byte ranges [begin, end)."""


def live_bytes(pte: Pte) -> tuple[int, ...]:
    """Bytes of the arena that are live while each instruction runs: its operands, and all that is read later.

    Bytes, not values, are followed from the last instruction to the first, so that views over the same memory
    count once. State, which is what a step reads before it writes it, is live all the time; so are inputs until
    their last use.
    """
    reads = [_ranges(tensors_in(instruction.arguments)) for instruction in pte.instructions]
    writes = [_ranges(written) for written in pte.writes]
    for index, instruction in enumerate(pte.instructions):
        if not instruction.in_place:
            pure = [t for t in tensors_in(instruction.arguments) if t not in pte.writes[index]]
            reads[index] = _ranges(pure)
    at_end = _ranges(pte.outputs)
    _, at_start = _walk(reads, writes, at_end)
    state = _subtract(at_start, _ranges(pte.inputs))
    sizes, _ = _walk(reads, writes, _union(at_end, state))
    return tuple(sizes)


def _walk(
    reads: Sequence[_Intervals], writes: Sequence[_Intervals], live: _Intervals
) -> tuple[list[int], _Intervals]:
    sizes = []
    for read, written in zip(reversed(reads), reversed(writes), strict=True):
        sizes.append(sum(end - begin for begin, end in _union(_union(live, read), written)))
        live = _union(_subtract(live, written), read)
    return sizes[::-1], live


def _ranges(tensors: Iterable[Tensor]) -> _Intervals:
    return _merge([(t.offset, t.offset + t.nbytes) for t in tensors if t.space is Space.ARENA and t.nbytes])


def _merge(intervals: _Intervals) -> _Intervals:
    merged: _Intervals = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _union(a: _Intervals, b: _Intervals) -> _Intervals:
    return _merge(a + b)


def _subtract(a: _Intervals, b: _Intervals) -> _Intervals:
    left: _Intervals = []
    for begin, end in a:
        for cut_begin, cut_end in b:
            if cut_end <= begin or cut_begin >= end:
                continue
            if begin < cut_begin:
                left.append((begin, cut_begin))
            begin = cut_end
            if begin >= end:
                break
        if begin < end:
            left.append((begin, end))
    return left
