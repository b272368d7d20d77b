"""Attention over a static cache -> mcu::cache_write and mcu::attention_s8 over an int8 cache.

What is matched is meaning, not spelling: the cache is followed through whatever repeats its heads, and the index
of the update and the mask are computed for every position and compared with what causal attention needs.

A layer that looks back no more than a window of W positions needs no longer cache. Position p is written to row p mod W,
over the one that has just left the window; rotary embeddings are in the keys already, so that the order of rows does
not matter, and from position W - 1 on all rows are visible.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from mcu_sdk.lowering.fuse.graph import (
    CARRIES,
    add_buffer,
    args,
    aten,
    behind,
    constant_name,
    evaluate,
    is_call,
    mutate_buffer,
    needed_by,
    replace,
    shape_of,
)
from mcu_sdk.lowering.fuse.key_bias import KnownPart, key_bias_scores, take_key_bias
from mcu_sdk.lowering.fuse.positions import PositionTable
from mcu_sdk.lowering.fuse.scores import Reach, Scores, read_attention, read_reach

mcu = torch.ops.mcu


@dataclass(frozen=True)
class CacheRange:
    """The greatest magnitudes a layer's cache saw in calibration, each float32 [kv_heads, head_dim].

    `key_limits`: the lowest and highest keys at each position, float32 [kv_heads, L, head_dim] each; None if they are
    not known.
    """

    keys: torch.Tensor
    values: torch.Tensor
    key_limits: tuple[torch.Tensor, torch.Tensor] | None = None

    def without(self, part: torch.Tensor) -> torch.Tensor:
        """The greatest magnitudes of keys without a part float32 [S, kv_heads, head_dim] that is known by position."""
        assert self.key_limits is not None
        lowest, highest = self.key_limits
        length = min(lowest.shape[1], len(part))
        known = part[:length].transpose(0, 1)
        return torch.maximum((lowest[:, :length] - known).abs(), (highest[:, :length] - known).abs()).amax(1)


@dataclass(frozen=True)
class CachedAttention:
    query: Node
    keys: Node  # the index_copy of the new keys
    values: Node
    scale: float
    reach: Reach
    cap: float  # of the scores; 0 for none
    sinks: torch.Tensor | None  # float32[heads]: scores without values

    @property
    def window(self) -> int:
        """Positions that a step sees at most, its own among them; the cache's length for all."""
        return self.reach.window

    @property
    def shaped(self) -> bool:
        """Whether something happens to the scores between product and softmax, or there are sinks beside them."""
        return self.cap != 0 or self.reach.bias is not None or self.sinks is not None


class _Slots:
    """Where each position is written in a cache of some window's length: the position itself, or a row of a table."""

    def __init__(self, program: ExportedProgram, positions: PositionTable) -> None:
        self._program, self._positions = program, positions
        self._found: dict[int, Node] = {positions.length: positions.position}

    def of(self, window: int) -> Node:
        """int64[1]: position mod window. The device looks it up."""
        if window not in self._found:
            table = torch.arange(self._positions.length) % window
            buffer = add_buffer(self._program, f"slots_{window}", table)
            graph, position = self._program.graph, self._positions.position
            first = next(node for node in graph.nodes if node.op == "call_function")
            with graph.inserting_before(first):
                slot = graph.call_function(aten.index_select.default, (buffer, 0, position))
            slot.meta["val"] = position.meta["val"]
            self._found[window] = slot
        return self._found[window]


class _Reaches:
    """What masks and added values mean, read once for all layers that have the same."""

    def __init__(self, positions: PositionTable) -> None:
        self._positions = positions
        self._found: dict[Any, Reach | None] = {}

    def of(self, scores: Scores, heads: int, length: int) -> Reach | None:
        """As read_reach."""
        key = scores.masks, scores.added, heads, length
        if key not in self._found:
            self._found[key] = read_reach(self._positions, scores, heads, length)
        return self._found[key]


def fuse_cached_attention(
    program: ExportedProgram,
    positions: PositionTable,
    ranges: dict[str, CacheRange] | None,
    *,
    shaped: bool = True,
    slides: bool = False,
) -> int:
    """Replace every attention over a static cache; returns how many there were.

    `ranges` maps a key cache's buffer name to its calibrated range; None asks for scales found at run time, kept
    per token and head in float16 beside the cache. `shaped`: also where scores are capped or biased, or have sinks beside them.
    `slides`: positions will be slots, so that nothing is added to scores by distance.
    """
    count = 0
    slots = _Slots(program, positions)
    reaches = _Reaches(positions)
    for node in list(program.graph.nodes):
        match = _match(program, positions, reaches, node)
        if match is None or (match.shaped and not shaped):
            continue
        slot = slots.of(match.window)
        part = _known_part(program, match, positions.length, ranges, shaped=shaped and not slides)
        if ranges is None:
            _rewrite_dynamic(program, positions, node, match, slot, part)
        else:
            _rewrite_calibrated(program, positions, node, match, slot, ranges, part)
        count += 1
    return count


def _match(
    program: ExportedProgram, positions: PositionTable, reaches: _Reaches, node: Node
) -> CachedAttention | None:
    read = read_attention(program, positions, node)
    if read is None:
        return None
    scores, values = read
    key_update, value_update = (
        _update_behind(program, positions, scores.keys),
        _update_behind(program, positions, values),
    )
    if key_update is None or value_update is None or shape_of(key_update) != shape_of(value_update):
        return None
    if _is_read_elsewhere(key_update, node) or _is_read_elsewhere(value_update, node):
        return None
    _, kv_heads, length, channels = shape_of(key_update)
    query = scores.query
    if not isinstance(query, Node) or len(shape_of(query)) < 3 or shape_of(query)[-1] != channels:
        return None
    heads = query.meta["val"].numel() // channels
    batches = math.prod(shape_of(query)[:-2])
    if heads % kv_heads or batches not in (heads, kv_heads):
        return None
    turned = not is_call(node, aten.scaled_dot_product_attention.default)
    grouped = batches != heads or bool(node.kwargs.get("enable_gqa"))
    if not (
        is_the_cache(program, scores.keys, key_update, heads, grouped=grouped, turned=turned)
        and is_the_cache(program, values, value_update, heads, grouped=grouped, turned=False)
    ):
        return None
    reach = reaches.of(scores, heads, length)
    if reach is None or (reach.bias is not None and reach.window != length) or scores.cap < 0:
        return None
    sinks = scores.sinks
    if sinks is not None and (sinks.numel() != heads or reach.bias is not None):
        return None  # a bias is known but for a constant, which is nothing to a softmax without sinks alone
    return CachedAttention(query, key_update, value_update, scores.product_scale, reach, scores.cap, sinks)


def _known_part(
    program: ExportedProgram,
    match: CachedAttention,
    length: int,
    ranges: dict[str, CacheRange] | None,
    *,
    shaped: bool,
) -> KnownPart | None:
    """What is large of the keys' bias, taken out of them. What scores then lack is added by distance, behind any cap, and
    of all positions: not where there is one, where the cache is a ring, or where something is added already; nor beside
    sinks, to which what all scores have in common is not nothing."""
    name = constant_name(program, args(match.keys)[0])
    if match.cap or match.sinks is not None or (ranges is not None and ranges[str(name)].key_limits is None):
        return None
    whole = shaped and match.window == length and match.reach.bias is None
    return take_key_bias(program, args(match.keys)[3], length, only_common=not whole)


def _update_behind(program: ExportedProgram, positions: PositionTable, node: Node) -> Node | None:
    """The `index_copy(cache, 2, position, new)` that a key or value comes from."""
    copy = behind(node, *CARRIES)
    if not is_call(copy, aten.index_copy.default):
        return None
    cache, axis, index, new = args(copy)
    assert isinstance(cache, Node) and isinstance(new, Node)
    is_buffer = constant_name(program, cache) in program.graph_signature.buffers_to_mutate.values()
    shape = shape_of(cache)
    if not is_buffer or len(shape) != 4 or shape[0] != 1 or axis != 2 or shape_of(new)[2:3] != (1,):
        return None
    return copy if positions.is_position(index) else None


def _is_read_elsewhere(update: Node, attention: Node) -> bool:
    """Whether something beside an attention reads a cache, its scores included: what takes its place keeps int8 in another
    order, and perhaps fewer positions."""
    inside = needed_by([attention], but={update})
    waiting, seen = [update], set()
    while waiting:
        for user in waiting.pop().users:
            if user.op == "output" or user is attention or user in seen:
                continue
            if user not in inside:
                return True
            seen.add(user)
            waiting.append(user)
    return False


def is_the_cache(
    program: ExportedProgram, node: Node, update: Node, heads: int, *, grouped: bool, turned: bool
) -> bool:
    """Whether `node` is the cache with each head repeated for its group of queries, or, for queries in groups and for a
    single head, as it is; `turned`: with its last two axes the other way round."""
    kv_heads = shape_of(update)[1]
    probe = torch.arange(math.prod(shape_of(update)), dtype=torch.float32).reshape(shape_of(update))
    found = evaluate(program, node, {update: probe})
    wanted = [] if grouped else [probe.repeat_interleave(heads // kv_heads, 1)]
    if grouped or kv_heads == 1:
        wanted.append(probe)
    ends = shape_of(update)[2:][::-1] if turned else shape_of(update)[2:]
    return tuple(found.shape[-2:]) == ends and any(
        torch.equal(found.reshape(-1, *ends), (each.transpose(2, 3) if turned else each)[0])
        for each in wanted
    )


def int8_cache(program: ExportedProgram, cache: Node, positions: int, *, columns: bool) -> None:
    """Turn a float cache buffer into an int8 one of S `positions`, zero at the start.

    `columns`: [1, H, D, S] instead of [1, H, S, D].
    """
    name = constant_name(program, cache)
    assert name is not None
    table = program.state_dict if name in program.state_dict else program.constants
    batch, heads, _, channels = shape_of(cache)
    shape = (batch, heads, channels, positions) if columns else (batch, heads, positions, channels)
    table[name] = torch.zeros(shape, dtype=torch.int8)
    cache.meta["val"] = cache.meta["val"].new_empty(shape, dtype=torch.int8)


def _write(
    program: ExportedProgram,
    update: Node,
    target: Any,
    arguments: tuple[Any, ...],
    window: int,
    *,
    columns: bool,
) -> Node:
    cache = args(update)[0]
    assert isinstance(cache, Node)
    int8_cache(program, cache, window, columns=columns)
    new = replace(program.graph, update, target, arguments)
    new.meta["val"] = cache.meta["val"]
    return new


def attend(
    program: ExportedProgram,
    node: Node,
    match: CachedAttention,
    targets: tuple[Any, Any],
    rest: tuple[Node, ...],
    part: KnownPart | None,
) -> None:
    """Put the operator with its (out, scratch) pair in the place of `node`: the first of `targets`, or the second where
    something happens to the scores. `rest`: caches, scales, position; `part`: what was taken from the keys."""
    graph, shape = program.graph, shape_of(node)
    heads = (1, match.query.meta["val"].numel() // shape[-1], 1, shape[-1])
    with graph.inserting_before(node):
        query = _seen_as(graph, match.query, heads)
    added = None if part is None else key_bias_scores(program, query, part, rest[-1], match.scale, node)
    target = targets[0]
    ends: tuple[Any, ...] = (match.scale,)
    if match.shaped or added is not None:
        bias = match.reach.bias
        buffer = added if bias is None else add_buffer(program, "attention_bias", bias.contiguous())
        sinks = match.sinks
        beside = None if sinks is None else add_buffer(program, "attention_sinks", sinks.contiguous())
        target, ends = targets[1], (buffer, beside, match.scale, match.cap)
    with graph.inserting_before(node):
        arguments: tuple[Any, ...] = (query, *rest, *ends)
        pair = graph.call_function(target, arguments)
        pair.meta = dict(node.meta)
        with torch.no_grad():
            pair.meta["val"] = target(*torch.fx.node.map_arg(arguments, lambda n: n.meta["val"]))
        out = graph.call_function(operator.getitem, (pair, 0))
        out.meta = {**node.meta, "val": pair.meta["val"][0]}
        out = _seen_as(graph, out, shape)
    node.replace_all_uses_with(out)
    graph.erase_node(node)  # tagged as random because of its dropout: dead-code elimination would keep it


def _seen_as(graph: Graph, node: Node, shape: tuple[int, ...]) -> Node:
    """The value in another shape."""
    if shape_of(node) == shape:
        return node
    view = graph.call_function(aten.view.default, (node, list(shape)))
    view.meta = {**node.meta, "val": node.meta["val"].reshape(shape)}
    return view


def _rewrite_calibrated(
    program: ExportedProgram,
    positions: PositionTable,
    node: Node,
    match: CachedAttention,
    slot: Node,
    ranges: dict[str, CacheRange],
    part: KnownPart | None,
) -> None:
    name = constant_name(program, args(match.keys)[0])
    assert name is not None
    keys = ranges[name].keys if part is None else ranges[name].without(part.by_position)
    caches, scales = [], []
    for update, greatest, target in (
        (match.keys, keys, mcu.cache_write.default),
        (match.values, ranges[name].values, mcu.cache_write_columns.default),
    ):
        scale = torch.where(greatest > 0, greatest, torch.ones_like(greatest)).float() / 127
        cache, source = args(update)[0], args(update)[3]
        assert isinstance(cache, Node) and isinstance(source, Node)
        inverse = add_buffer(program, f"{cache.name}_inverse_scale", (1 / scale).contiguous())
        scales.append(add_buffer(program, f"{cache.name}_scale", scale.contiguous()))
        written = (cache, source, inverse, slot)
        caches.append(_write(program, update, target, written, match.window, columns=update is match.values))
    targets = (mcu.attention_s8.default, mcu.attention_s8_shaped.default)
    attend(program, node, match, targets, (*caches, *scales, positions.position), part)


def _rewrite_dynamic(
    program: ExportedProgram,
    positions: PositionTable,
    node: Node,
    match: CachedAttention,
    slot: Node,
    part: KnownPart | None,
) -> None:
    caches, scales = [], []
    for update, target in (
        (match.keys, mcu.cache_write_dynamic.default),
        (match.values, mcu.cache_write_columns_dynamic.default),
    ):
        cache, source = args(update)[0], args(update)[3]
        assert isinstance(cache, Node) and isinstance(source, Node)
        zeros = torch.zeros((*shape_of(cache)[:2], match.window), dtype=torch.float16)
        buffer = add_buffer(program, f"{constant_name(program, cache)}_scales", zeros)
        with program.graph.inserting_before(update):
            written = program.graph.call_function(mcu.cache_scale_write.default, (buffer, source, slot))
        written.meta = dict(update.meta)
        written.meta["val"] = buffer.meta["val"]
        mutate_buffer(program, buffer, written)
        scales.append(written)
        stored = (cache, source, slot)
        caches.append(_write(program, update, target, stored, match.window, columns=update is match.values))
    targets = (mcu.attention_s8_dynamic.default, mcu.attention_s8_dynamic_shaped.default)
    attend(program, node, match, targets, (*caches, *scales, positions.position), part)
