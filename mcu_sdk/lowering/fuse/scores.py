"""What attention's softmax reads, up to the product of queries and keys, however a model spells it: a scale, a soft cap,
masks, and what is added."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    args,
    aten,
    constant_scalar,
    either_order,
    is_call,
    shape_of,
)
from mcu_sdk.lowering.fuse.masks import HARDLY_VISIBLE
from mcu_sdk.lowering.fuse.positions import PositionTable
from mcu_sdk.lowering.fuse.sinks import (
    LOOKED_THROUGH,
    looked_through,
    read_dropped_sinks,
    read_scaled_by_sinks,
)

PRODUCTS = (aten.matmul.default, aten.bmm.default)


@dataclass(frozen=True)
class Added:
    """A term of the scores: `factor` times a value that the position decides."""

    value: Node
    factor: float


@dataclass(frozen=True)
class Scores:
    """gain * f(scale * query @ keys) + what is added, f being tanh where it is `capped`; hidden where `masks` say so.

    query [.., rows, D], keys [.., D, S]; a mask is a boolean value, and what it is where a position is hidden. `sinks`
    float32[heads]: scores that take a share of the softmax and have no value; None for none.
    """

    query: Node
    keys: Node
    scale: float = 1.0
    gain: float = 1.0
    capped: bool = False
    added: tuple[Added, ...] = ()
    masks: tuple[tuple[Node, bool], ...] = ()
    sinks: torch.Tensor | None = field(default=None, compare=False)

    def times(self, number: float) -> Scores:
        """The scores multiplied by a number."""
        added = tuple(Added(term.value, term.factor * number) for term in self.added)
        if self.capped:
            return replace(self, gain=self.gain * number, added=added)
        return replace(self, scale=self.scale * number, added=added)

    def plus(self, value: Node, factor: float) -> Scores:
        """With a value added to them."""
        return replace(self, added=(*self.added, Added(value, factor)))

    @property
    def cap(self) -> float:
        """What they are softly capped at; 0 for nothing."""
        return self.gain if self.capped else 0.0

    @property
    def product_scale(self) -> float:
        """What the product is multiplied by before cap * tanh(. / cap)."""
        return self.scale * self.gain if self.capped else self.scale


def read_attention(
    program: ExportedProgram, positions: PositionTable, node: Node
) -> tuple[Scores, Node] | None:
    """The scores and the values of an attention that ends at `node`, one operator or spelt out; None for anything else."""
    if is_call(node, aten.scaled_dot_product_attention.default):
        return _read_operator(positions, node)
    scaled = None
    gated = read_scaled_by_sinks(program, node)
    if gated is not None:
        node, scaled = gated
    if not is_call(node, *PRODUCTS):
        return None
    weights, values = args(node)
    weights, sinks = read_dropped_sinks(program, looked_through(weights))
    if not is_call(weights, aten.softmax.int, aten._softmax.default) or not isinstance(values, Node):
        return None
    scores = args(weights)[0]
    if args(weights)[1] not in (-1, len(shape_of(scores)) - 1):
        return None
    if sinks is not None:
        scores = sinks.scores
    if scaled is not None and (sinks is not None or scaled.scores is not looked_through(scores)):
        return None
    read = _Reader(program, positions).read(scores)
    if read is None:
        return None
    found = sinks or scaled
    return (read if found is None else replace(read, sinks=found.values)), values


def _read_operator(positions: PositionTable, node: Node) -> tuple[Scores, Node] | None:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = dict(zip(names, args(node), strict=False)) | dict(node.kwargs)
    if given.get("dropout_p") or given.get("is_causal"):
        return None
    query, keys, values, mask = (given.get(name) for name in names[:4])
    if not (isinstance(query, Node) and isinstance(keys, Node) and isinstance(values, Node)):
        return None
    scale: Any = given.get("scale")
    scores = Scores(query, keys, float(scale or 1 / math.sqrt(shape_of(query)[-1])))
    if mask is None:
        return scores, values
    if not isinstance(mask, Node) or mask not in positions:
        return None
    if mask.meta["val"].dtype == torch.bool:
        return replace(scores, masks=((mask, False),)), values
    return scores.plus(mask, 1.0), values


@dataclass(frozen=True)
class _Reader:
    program: ExportedProgram
    positions: PositionTable

    def read(self, node: object) -> Scores | None:
        """The scores that a node is; None where something is not understood."""
        while is_call(node, *LOOKED_THROUGH):
            node = args(node)[0]
        if not isinstance(node, Node) or node.op != "call_function":
            return None
        if is_call(node, *PRODUCTS):
            return Scores(*args(node))
        rule = _RULES.get(node.target)
        return None if rule is None else rule(self, node)

    def number(self, argument: object) -> float | None:
        """A number, or a constant of one element."""
        return constant_scalar(self.program, argument)

    def hides(self, argument: object) -> bool:
        """Whether a number leaves nothing of a score."""
        number = self.number(argument)
        if number is None and argument in self.positions and isinstance(argument, Node):
            if argument.meta["val"].numel() != 1:
                return False
            number = float(self.positions.rows(argument).max())
        return number is not None and number < HARDLY_VISIBLE

    def sum(self, node: Node) -> Scores | None:
        """a + b or a - b, one of which the position decides."""
        alpha = _number(node, "alpha")
        sign = -alpha if node.target == aten.sub.Tensor else alpha
        first, second = args(node)[:2]
        if second in self.positions:
            inner = self.read(first)
            return None if inner is None else inner.plus(second, sign)
        if first in self.positions and sign == 1:
            inner = self.read(second)
            return None if inner is None else inner.plus(first, 1.0)
        return None

    def scaled(self, node: Node) -> Scores | None:
        sides = either_order(node) if is_call(node, aten.mul.Tensor) else [args(node)[:2]]
        for part, factor in sides:
            number = self.number(factor)
            if number:
                inner = self.read(part)
                times = 1 / number if is_call(node, aten.div.Tensor, aten.div.Scalar) else number
                return None if inner is None else inner.times(times)
        return None

    def capped(self, node: Node) -> Scores | None:
        inner = self.read(args(node)[0])
        if inner is None or inner.capped or inner.added or inner.masks:
            return None
        return replace(inner, capped=True)

    def chosen(self, node: Node) -> Scores | None:
        """where(mask, scores, nothing)."""
        mask, one, other = args(node)
        inner = self.read(one) if mask in self.positions and self.hides(other) else None
        return None if inner is None else replace(inner, masks=(*inner.masks, (mask, False)))

    def filled(self, node: Node) -> Scores | None:
        """masked_fill(scores, mask, nothing)."""
        part, mask, number = args(node)
        inner = self.read(part) if mask in self.positions and self.hides(number) else None
        return None if inner is None else replace(inner, masks=(*inner.masks, (mask, True)))

    def bounded(self, node: Node) -> Scores | None:
        """maximum(scores, nothing)."""
        for part, bound in either_order(node):
            if self.hides(bound):
                return self.read(part)
        return None

    def product_and_sum(self, node: Node) -> Scores | None:
        """beta * added + alpha * query @ keys."""
        added, query, keys = args(node)
        beta, alpha = _number(node, "beta"), _number(node, "alpha")
        return Scores(query, keys, alpha).plus(added, beta) if added in self.positions else None


def _number(node: Node, keyword: str) -> float:
    """A factor that a call is given by name; 1 without."""
    value: Any = node.kwargs.get(keyword, 1)
    return float(value)


_RULES: dict[Any, Callable[[_Reader, Node], Scores | None]] = {
    aten.add.Tensor: _Reader.sum,
    aten.sub.Tensor: _Reader.sum,
    aten.mul.Tensor: _Reader.scaled,
    aten.mul.Scalar: _Reader.scaled,
    aten.div.Tensor: _Reader.scaled,
    aten.div.Scalar: _Reader.scaled,
    aten.tanh.default: _Reader.capped,
    aten.where.self: _Reader.chosen,
    aten.masked_fill.Scalar: _Reader.filled,
    aten.masked_fill.Tensor: _Reader.filled,
    aten.maximum.default: _Reader.bounded,
    aten.max.other: _Reader.bounded,
    aten.baddbmm.default: _Reader.product_and_sum,
}


@dataclass(frozen=True)
class Reach:
    """Which positions a step sees, and what is added to the scores of those.

    `window`: how many at most, its own among them. `bias` float32[heads, S]: by distance, the last column for the position
    itself; None for nothing.
    """

    window: int
    bias: torch.Tensor | None


BIAS_TOLERANCE = 1e-5
"""Of the greatest bias: how far what is added to a distance may differ from position to position."""


def read_reach(positions: PositionTable, scores: Scores, heads: int, length: int) -> Reach | None:
    """What masks and added values mean for a cache of `length` positions: each position sees those up to itself, within a
    window, and what is added depends on the distance alone, but for a constant. None for anything else."""
    if positions.length != length:
        return None
    last = _row(positions, scores, heads, length, length - 1)
    if last is None:
        return None
    visible, bias = last
    window = int(visible.sum())
    greatest = float(bias.abs().max())
    for position in range(length):
        row = _row(positions, scores, heads, length, position)
        if row is None:
            return None
        seen = torch.arange(length)
        if not torch.equal(row[0], (seen <= position) & (seen > position - window)):
            return None
        apart = row[1][:, : position + 1] - bias[:, length - 1 - position :]
        if greatest and float(apart[:, -window:].abs().max()) > BIAS_TOLERANCE * greatest:
            return None
    return Reach(window, bias if greatest else None)


def sees_all(positions: PositionTable, scores: Scores, heads: int, length: int) -> bool:
    """Whether the last of `length` positions sees all of them, and nothing is added to its scores."""
    row = _row(positions, scores, heads, length, length - 1)
    return row is not None and bool(row[0].all()) and not bool(row[1].any())


def _row(
    positions: PositionTable, scores: Scores, heads: int, length: int, position: int
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """At a position: which rows of the cache are seen, bool[S], and what is added beside the position's own,
    float32[heads, S], 0 where nothing is seen."""
    hidden = torch.zeros(heads, length, dtype=torch.bool)
    total = torch.zeros(heads, length)
    for node, says_hidden in scores.masks:
        mask = _by_head(positions.value(node, position), heads, length)
        if mask is None or mask.dtype != torch.bool:
            return None
        hidden |= mask if says_hidden else ~mask
    for term in scores.added:
        value = _by_head(positions.value(term.value, position), heads, length)
        if value is None or not value.is_floating_point():
            return None
        hidden |= term.factor * value <= HARDLY_VISIBLE
        total += (term.factor * value).masked_fill(hidden, 0.0)
    if not torch.equal(hidden, hidden[:1].expand_as(hidden)) or bool(hidden[0, position]):
        return None
    total = (total - total[:, position : position + 1]).masked_fill(hidden, 0.0)
    return ~hidden[0], total


def _by_head(value: torch.Tensor, heads: int, length: int) -> torch.Tensor | None:
    """A value that broadcasts to the scores of one step, as [heads or 1, S or 1]."""
    last = value.shape[-1] if value.dim() else 1
    rows = value.numel() // max(1, last)
    return value.reshape(rows, last) if last in (1, length) and rows in (1, heads) else None
