"""A decoder's attention to its encoder -> the operator of an int8 cache, over keys and values that the encoder's program wrote.

What is seen are the encoder's rows up to the last one that counts: the operator's position. That a mask says so is
computed for each place that this one may have (or, without a mask, that all rows are seen).
"""

from __future__ import annotations

import math

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.cached_attention import CachedAttention, attend, int8_cache, is_the_cache
from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    add_buffer,
    args,
    aten,
    behind,
    constant_name,
    is_call,
    mutate_buffer,
    shape_of,
)
from mcu_sdk.lowering.fuse.positions import PositionTable
from mcu_sdk.lowering.fuse.scores import Reach, read_attention, read_reach, sees_all

mcu = torch.ops.mcu

KEYS, VALUES = "cross_key_", "cross_value_"
"""What the names of the buffers begin with."""

LAST = "encoder_last"
"""The input with the place of the encoder's last row that counts, int64[1]."""


def scales_of(name: str) -> str:
    """The name of the scales of a buffer of keys or values."""
    return f"{name}_scales"


def fuse_cross_attention(program: ExportedProgram) -> int:
    """Replace every attention over buffers of these names; returns how many there were."""
    count = 0
    last: Node | None = next(
        (n for n in program.graph.nodes if n.op == "placeholder" and n.name == LAST), None
    )
    masked = last is not None
    tables: dict[int, PositionTable] = {}
    for node in list(program.graph.nodes):
        kept = _kept_behind(program, node)
        if kept is None:
            continue
        length = shape_of(kept[0])[2]
        if last is None:
            last = add_buffer(program, LAST, torch.tensor([length - 1]))
        table = tables.setdefault(length, PositionTable(program, last, length))
        match = _match(program, table, node, kept, masked=masked)
        if match is not None:
            _rewrite(program, node, match, last)
            count += 1
    return count


def _kept_behind(program: ExportedProgram, node: Node) -> tuple[Node, Node] | None:
    """The buffers of keys and values that an attention ending here reads; None for anything else."""
    if is_call(node, aten.scaled_dot_product_attention.default):
        values = args(node)[2]
    elif is_call(node, aten.matmul.default, aten.bmm.default):
        values = args(node)[1]
    else:
        return None
    found = _buffer(values)
    name = constant_name(program, found) if found is not None else None
    if found is None or name is None or not name.startswith(VALUES):
        return None
    layer = name.removeprefix(VALUES)
    keys = next(
        (
            n
            for n in program.graph.nodes
            if n.op == "placeholder" and constant_name(program, n) == KEYS + layer
        ),
        None,
    )
    return None if keys is None else (keys, found)


def _buffer(node: object) -> Node | None:
    node = behind(node, *MOVES, aten.expand.default)
    return node if isinstance(node, Node) and node.op == "placeholder" else None


def _match(
    program: ExportedProgram, table: PositionTable, node: Node, kept: tuple[Node, Node], *, masked: bool
) -> CachedAttention | None:
    read = read_attention(program, table, node)
    if read is None or _buffer(read[0].keys) is not kept[0] or shape_of(kept[0]) != shape_of(kept[1]):
        return None
    scores, values = read
    _, kv_heads, length, channels = shape_of(kept[0])
    query = scores.query
    if not isinstance(query, Node) or len(shape_of(query)) < 3 or shape_of(query)[-1] != channels:
        return None
    heads = query.meta["val"].numel() // channels
    batches = math.prod(shape_of(query)[:-2])
    if heads % kv_heads or batches not in (heads, kv_heads) or scores.cap or scores.sinks is not None:
        return None
    turned = not is_call(node, aten.scaled_dot_product_attention.default)
    grouped = batches != heads or bool(node.kwargs.get("enable_gqa"))
    if not (
        is_the_cache(program, scores.keys, kept[0], heads, grouped=grouped, turned=turned)
        and is_the_cache(program, values, kept[1], heads, grouped=grouped, turned=False)
    ):
        return None
    if masked:
        reach = read_reach(table, scores, heads, length)
        if reach is None or reach.bias is not None or reach.window != length:
            return None
    elif not sees_all(table, scores, heads, length):
        return None
    return CachedAttention(query, kept[0], kept[1], scores.product_scale, Reach(length, None), 0.0, None)


def _rewrite(program: ExportedProgram, node: Node, match: CachedAttention, last: Node) -> None:
    scales = []
    for kept, columns in ((match.keys, False), (match.values, True)):
        name = constant_name(program, kept)
        assert name is not None
        zeros = torch.zeros((*shape_of(kept)[:2], match.window), dtype=torch.float16)
        buffer = add_buffer(program, scales_of(name), zeros)
        mutate_buffer(program, buffer, buffer)  # no constant: the encoder's program writes it
        scales.append(buffer)
        int8_cache(program, kept, match.window, columns=columns)
    targets = (mcu.attention_s8_dynamic.default, mcu.attention_s8_dynamic_shaped.default)
    attend(program, node, match, targets, (match.keys, match.values, *scales, last), None)
