"""Masks of attention over a whole sequence, read by what they compute: a mask that no input decides becomes a constant
or goes, one that follows a padding mask becomes one addition, however a model spells it.

A padding mask is an input int64[1, L] (or bool), 0 at positions that no query may look at. What the exported graph makes
of it is computed for a number of paddings and compared with what is understood; a mask that does more stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    depends_only_on,
    dtype_of,
    evaluate,
    is_call,
    shape_of,
)

INVISIBLE = -1e30
"""Added to a score, it leaves nothing of it: also where every key is invisible, all of them then count alike."""

HARDLY_VISIBLE = -1e9
"""What a mask adds at most where it means that a key is invisible."""

PROBES = 6
"""Paddings that a mask is computed for."""


@dataclass(frozen=True)
class Mask:
    """What is added to the scores of [heads, Lq, Lk]: INVISIBLE where `padding` (an input [1, Lk], None: no key) is 0, and
    `table` float32[1 or heads, Lq, Lk] (None: nothing)."""

    padding: Node | None
    table: torch.Tensor | None


def read_mask(program: ExportedProgram, node: Node | None, lengths: tuple[int, int]) -> Mask | None:
    """What the mask of an attention over `lengths` (Lq, Lk) means; None for one that is not understood."""
    if node is None:
        return Mask(None, None)
    if (
        len(shape_of(node)) != 4
        or shape_of(node)[0] != 1
        or dtype_of(node) not in (torch.bool, torch.float32)
    ):
        return None
    padding = padding_behind(program, node)
    if padding is None:
        if node not in depends_only_on(program, ()):
            return None
        return table_mask(evaluate(program, node, {}), lengths)
    if shape_of(padding) != (1, lengths[1]):
        return None
    values = [_table(evaluate(program, node, {padding: probe}), lengths) for probe in probes(padding)]
    whole = values[0]
    if bool((whole <= INVISIBLE).all(-1).any()):
        return None
    for probe, value in zip(probes(padding), values, strict=True):
        expected = torch.where(probe.bool()[:, None], whole, INVISIBLE)
        if not torch.equal(value, expected):
            return None
    return Mask(padding, _or_nothing(whole))


def table_mask(value: torch.Tensor, lengths: tuple[int, int]) -> Mask:
    """The mask that a constant [1, heads or 1, Lq or 1, Lk] is."""
    return Mask(None, _or_nothing(_table(value, lengths)))


def simplify_masks(program: ExportedProgram) -> None:
    """Rewrite the masks of every scaled_dot_product_attention that are understood; equal ones are computed once."""
    made: list[tuple[Mask, Node | None]] = []
    for node in list(program.graph.nodes):
        if not is_call(node, aten.scaled_dot_product_attention.default):
            continue
        given = [*args(node), *[None] * 4][:4]
        mask = node.kwargs.get("attn_mask", given[3])
        if not isinstance(mask, Node) or len(shape_of(given[0])) != 4:
            continue
        read = read_mask(program, mask, (shape_of(given[0])[2], shape_of(given[1])[2]))
        if read is None:
            continue
        plain = next((plain for other, plain in made if _same(other, read)), mask)
        if plain is mask:
            plain = _spelt_out(program, node, read)
            made.append((read, plain))
        node.args = (*given[:3], plain, *args(node)[4:])
        node.kwargs = {name: value for name, value in node.kwargs.items() if name != "attn_mask"}


def padding_behind(program: ExportedProgram, node: Node, besides: Iterable[Node] = ()) -> Node | None:
    """The only input that a value depends on, besides nodes that are known, if it is one of integers or booleans and of
    one row."""
    others = tuple(besides)
    inputs = [n for n in program.graph.nodes if n.name in set(program.graph_signature.user_inputs)]
    for placeholder in inputs:
        integers = dtype_of(placeholder) in (torch.int64, torch.int32, torch.bool)
        known = (placeholder, *others)
        if integers and len(shape_of(placeholder)) == 2 and node in depends_only_on(program, known):
            return placeholder if node not in depends_only_on(program, others) else None
    return None


def probes(padding: Node) -> list[torch.Tensor]:
    """Paddings of the input's shape and type: none, then random ones, and a short text."""
    generator = torch.Generator().manual_seed(0)
    shape, dtype = shape_of(padding), dtype_of(padding)
    probes = [torch.ones(shape), *(torch.rand(shape, generator=generator).round() for _ in range(PROBES - 2))]
    probes.append((torch.arange(shape[1])[None] < max(1, shape[1] // 3)).float())
    for probe in probes:
        probe[0, 0] = 1
    return [probe.to(dtype) for probe in probes]


def _table(value: torch.Tensor, lengths: tuple[int, int]) -> torch.Tensor:
    """A mask's value [1, heads or 1, Lq or 1, Lk] as float32[heads or 1, Lq, Lk], INVISIBLE where it hides."""
    if value.dtype == torch.bool:
        value = torch.where(value, 0.0, INVISIBLE)
    table = torch.where(value < HARDLY_VISIBLE, INVISIBLE, value)[0]
    return table.expand(table.shape[0], *lengths).contiguous()


def _or_nothing(table: torch.Tensor) -> torch.Tensor | None:
    return table if bool(table.any()) else None


def _same(one: Mask, other: Mask) -> bool:
    if one.table is None or other.table is None:
        return one.padding is other.padding and one.table is other.table
    return one.padding is other.padding and torch.equal(one.table, other.table)


def _spelt_out(program: ExportedProgram, before: Node, mask: Mask) -> Node | None:
    """The mask as a node float32[1, 1 or heads, 1 or Lq, Lk]: (float(padding != 0) - 1) * -INVISIBLE, plus the table."""
    graph = program.graph
    constant = None
    if mask.table is not None:
        constant = add_buffer(program, "attention_bias", mask.table[None])
    if mask.padding is None:
        return constant
    row = [1, 1, 1, shape_of(mask.padding)[1]]

    def call(target: Any, *arguments: Any, **keywords: Any) -> Node:
        node: Node = graph.call_function(target, arguments, keywords)
        values = [value.meta["val"] if isinstance(value, Node) else value for value in arguments]
        node.meta = {"val": target(*values, **keywords)}
        return node

    with graph.inserting_before(before):
        visible = call(aten.ne.Scalar, call(aten.view.default, mask.padding, row), 0)
        number = call(aten._to_copy.default, visible, dtype=torch.float32)
        added = call(aten.mul.Scalar, call(aten.sub.Scalar, number, 1.0), -INVISIBLE)
        return added if constant is None else call(aten.add.Tensor, added, constant)
