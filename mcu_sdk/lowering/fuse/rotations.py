"""Rotary position embedding however a model spells it -> mcu::rope or mcu::rope_pairs, found by what it computes.

Below each product with a value that the position decides, the graph is followed through operators that only move, add
and scale elements, and from each such value up again to the one that is turned. What lies between is computed for chosen
values: elements that answer in pairs, (i, i + half) or (2i, 2i + 1), as a rotation answers, give cosines and sines, and
random values then have to come out as that rotation makes them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    add_buffer,
    args,
    aten,
    dtype_of,
    evaluate,
    is_call,
    replace,
    shape_of,
)
from mcu_sdk.lowering.fuse.positions import PositionTable

mcu = torch.ops.mcu

MOVES = {
    *SAME_BYTES,
    aten.slice.Tensor,
    aten.select.int,
    aten.index.Tensor,
    aten.cat.default,
    aten.stack.default,
    aten.neg.default,
    aten.mul.Tensor,
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.transpose.int,
    aten.permute.default,
    aten.expand.default,
    aten._to_copy.default,
    aten.to.dtype,
    aten.flip.default,
    aten.unbind.int,
    operator.getitem,
}
"""Operators that a rotation is made of."""

ENDS = {aten.add.Tensor, aten.sub.Tensor, aten.cat.default, aten.stack.default, *SAME_BYTES}
"""Those that it can end with."""

TOLERANCE = 1e-5
"""Of random values of about 1: a rounding or two."""

FARTHEST = 40
"""Nodes between a value and its rotation at most; GPT-J's takes 14."""

Tables = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines, float32[positions, half]."""


def fuse_rotations(program: ExportedProgram, positions: PositionTable, *, pairs: bool = True) -> int:
    """Replace every rotation by an angle of the position, in place; returns how many there were.

    `pairs`: those of pairs (2i, 2i + 1), too.
    """
    count = 0
    known: dict[object, Tables] = {}
    made: list[tuple[Tables, tuple[Node, Node]]] = []
    for root in _roots(program, positions):
        found = next(_rotations(program, positions, root), None)
        if found is None or (found.pairs and not pairs):
            continue
        angles = found.angles()
        if angles not in known or not found.turns_as(known[angles]):
            known[angles] = found.tables()
        tables = known[angles]
        buffers = next((nodes for other, nodes in made if _same(other, tables)), None)
        if buffers is None:
            buffers = add_buffer(program, "rope_cos", tables[0]), add_buffer(program, "rope_sin", tables[1])
            made.append((tables, buffers))
        found.put((*buffers, positions.position))
        count += 1
    return count


def _same(one: Tables, other: Tables) -> bool:
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _roots(program: ExportedProgram, positions: PositionTable) -> list[Node]:
    """Where a rotation can end, in the graph's order: below a product with a row of values that the position decides."""
    inside: set[Node] = set()
    for node in program.graph.nodes:
        if node in positions or node.op != "call_function" or node.target not in MOVES:
            continue
        turns = is_call(node, aten.mul.Tensor) and any(
            x in positions and x.meta["val"].numel() > 1 for x in args(node)[:2] if isinstance(x, Node)
        )
        if turns or any(each in inside for each in node.all_input_nodes):
            inside.add(node)
    return [node for node in program.graph.nodes if node in inside and node.target in ENDS]


def _rotations(program: ExportedProgram, positions: PositionTable, root: Node) -> Iterator[_Rotation]:
    """What the root may be a rotation of, and by which pairs."""
    size = shape_of(root)[-1] if shape_of(root) else 0
    if dtype_of(root) != torch.float32 or size < 2 or not root.users:
        return
    for source in _sources(positions, root):
        for pairs in (False, True):
            found = _Rotation(program, positions, source, root, pairs)
            if found.holds():
                yield found


def _sources(positions: PositionTable, root: Node) -> list[Node]:
    """Values of as many elements that alone decide the root, together with the position; the nearest first."""
    seen, pending = {root}, [root]
    while pending and len(seen) <= FARTHEST:
        for each in pending.pop().all_input_nodes:
            if each not in positions and each not in seen and each.op == "call_function":
                seen.add(each)
                if each.target in MOVES:
                    pending.append(each)
    elements = root.meta["val"].numel()
    near = [node for node in reversed(root.graph.nodes) if node in seen and node is not root]
    return [node for node in near if _elements(node) == elements and _decides(positions, node, root)]


def _elements(node: Node) -> int:
    value = node.meta.get("val")
    return value.numel() if isinstance(value, torch.Tensor) else 0


def _decides(positions: PositionTable, source: Node, root: Node) -> bool:
    """Whether every way up from the root that the position does not decide ends at the source, through MOVES."""
    seen, pending = {root, source}, [root]
    while pending:
        node = pending.pop()
        if node.op != "call_function" or node.target not in MOVES:
            return False
        fresh = [each for each in node.all_input_nodes if each not in positions and each not in seen]
        seen.update(fresh)
        pending.extend(fresh)
    return True


@dataclass(frozen=True)
class _Rotation:
    """What lies between a source and a root, taken for a rotation of pairs (2i, 2i + 1) or (i, i + half)."""

    program: ExportedProgram
    positions: PositionTable
    source: Node
    root: Node
    pairs: bool

    @property
    def size(self) -> int:
        return shape_of(self.root)[-1]

    def holds(self) -> bool:
        """Whether random values are turned so at the first, a middle and the last position."""
        x = torch.randn(
            _elements(self.root) // self.size, self.size, generator=torch.Generator().manual_seed(0)
        )
        found = self._turned(x, self.positions.length - 1)
        return not torch.equal(found, x) and all(
            self._agrees(x, self._turned(x, p), p) for p in self._probes()
        )

    def angles(self) -> object:
        """The values of the position that the rotation reads: layers that share them turn alike, as a rule."""
        read: set[Node] = set()
        seen, pending = {self.root, self.source}, [self.root]
        while pending:
            for each in pending.pop().all_input_nodes:
                if each in self.positions:
                    read.add(each)
                elif each not in seen:
                    seen.add(each)
                    pending.append(each)
        return frozenset(read), self.pairs, self.size

    def turns_as(self, tables: Tables) -> bool:
        """Whether the tables are this rotation's, at some positions."""
        first, second = self._halves()
        answers = [(p, self._answer(p)) for p in self._probes()]
        return all(
            torch.equal(answer[first], tables[0][p]) and torch.equal(answer[second], tables[1][p])
            for p, answer in answers
        )

    def tables(self) -> Tables:
        """The cosines and sines of every position."""
        answers = torch.stack([self._answer(p) for p in range(self.positions.length)])
        first, second = self._halves()
        return answers[:, first].contiguous(), answers[:, second].contiguous()

    def put(self, rest: tuple[Node, ...]) -> None:
        """Call the operator on the source, seen in the root's shape, in the place of the root."""
        source, shape = self.source, shape_of(self.root)
        if shape_of(source) != shape:
            with self.program.graph.inserting_before(self.root):
                view = self.program.graph.call_function(aten.view.default, (source, list(shape)))
            view.meta = {**source.meta, "val": source.meta["val"].reshape(shape)}
            source = view
        target = mcu.rope_pairs.default if self.pairs else mcu.rope.default
        replace(self.program.graph, self.root, target, (source, *rest))

    def _probes(self) -> list[int]:
        """The first, a middle and the last position, among others."""
        last = self.positions.length - 1
        return sorted({last, last // 2, min(1, last), 0})

    def _halves(self) -> tuple[slice, slice]:
        """The first and the second elements of the pairs."""
        half = self.size // 2
        if self.pairs:
            return slice(0, 2 * half, 2), slice(1, 2 * half, 2)
        return slice(0, half), slice(half, 2 * half)

    def _turned(self, x: torch.Tensor, position: int) -> torch.Tensor:
        """x float32[rows, size] through the graph at a position."""
        known = {**self.positions.known(position), self.source: x.reshape(shape_of(self.source))}
        return evaluate(self.program, self.root, known).reshape(x.shape)

    def _answer(self, position: int) -> torch.Tensor:
        """What becomes of a row of (1, 0): its cosines and sines, float32[size]."""
        ones = torch.zeros(_elements(self.root) // self.size, self.size)
        ones[:, self._halves()[0]] = 1.0
        return self._turned(ones, position)[0]

    def _agrees(self, x: torch.Tensor, found: torch.Tensor, position: int) -> bool:
        if self.size % 2:
            return False
        first, second = self._halves()
        answer = self._answer(position)
        cosine, sine = answer[first], answer[second]
        wanted = torch.empty_like(x)
        wanted[:, first] = x[:, first] * cosine - x[:, second] * sine
        wanted[:, second] = x[:, second] * cosine + x[:, first] * sine
        return bool((wanted - found).abs().max() <= TOLERANCE * max(1.0, float(found.abs().max())))
