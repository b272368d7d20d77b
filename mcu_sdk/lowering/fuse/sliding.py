"""A step whose caches slide when they are full, made from one that ends there (`--when-full slide`).

What it computes is said in mcu_sdk/operators/reference/sliding_attention.py: of S positions the first, the sinks, stay,
and the others are a ring. A layer with a window keeps its window, a ring without sinks. Keys are rotated as their slot,
so no table has to know a position beyond the cache; what is left of the position itself decides only how much of a
cache is filled. That holds for models that know distances alone: rotary embeddings, or none. A step that reads the
position for anything else is refused.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_value,
    is_call,
    operator_row,
    replace,
    shape_of,
    tidy,
)
from mcu_sdk.lowering.module_path import module_path

mcu = torch.ops.mcu

ROTATIONS = (mcu.rope.default, mcu.rope_pairs.default)
_NORMS = (mcu.rms_norm.default, mcu.layer_norm.default)
_PRODUCTS = (
    aten.linear.default,
    aten.addmm.default,
    aten.mm.default,
    aten.bmm.default,
    aten.matmul.default,
    aten.embedding.default,
)
_SLIDING: dict[Any, Any] = {
    mcu.attention_s8.default: mcu.attention_s8_sliding.default,
    mcu.attention_s8_shaped.default: mcu.attention_s8_sliding.default,
    mcu.attention_s8_dynamic.default: mcu.attention_s8_dynamic_sliding.default,
    mcu.attention_s8_dynamic_shaped.default: mcu.attention_s8_dynamic_sliding.default,
}
_CACHES = ("k_cache", "v_cache", "k_scales", "v_scales")

LEARNED_SINKS = "each head has a learned score in its softmax, for which there is no such kernel"

HINT = "Leave --when-full out: generation then ends where the cache is full."


def slide_caches(program: ExportedProgram, position: Node, length: int, sinks: int) -> None:
    """Let the caches of a fused step slide, in place. `length`: positions of the caches, `sinks`: of which stay.

    Raises ModelError, naming the place, for a step in which a position means more than its distance from others.
    """
    sliding = _Sliding(program, position, length, sinks)
    for node in list(program.graph.nodes):
        if is_call(node, *_SLIDING):
            sliding.attend(node)
    tidy(program)
    for user in position.users:
        row = operator_row(user)
        known = is_call(user, mcu.ring_slot.default, *ROTATIONS, *_SLIDING.values())
        if not known or row is None:
            _refuse(user, f"{user.target} reads the position itself, as learned positions do")


class _Sliding:
    """Slots of caches of some length, and values with other rotations."""

    def __init__(self, program: ExportedProgram, position: Node, length: int, sinks: int) -> None:
        self._program, self._graph, self._position = program, program.graph, position
        self._length, self._sinks = length, sinks
        self._slots: dict[int, Node] = {}
        self._turned: dict[tuple[Node, Node, int], Node] = {}
        self._rotated: dict[Node, bool] = {}
        self._laps: dict[tuple[Node, Node, int], tuple[Node, Node]] = {}

    def attend(self, attention: Node) -> None:
        """One attention, and the writes to its caches."""
        row = operator_row(attention)
        assert row is not None
        given = dict(zip(row.argument_names, args(attention), strict=True))
        if given.get("bias") is not None:
            _refuse(attention, "something is added to its scores by distance, as ALiBi does")
        if given.get("sinks") is not None:
            _refuse(attention, LEARNED_SINKS)
        query, length = given["q"], shape_of(given["k_cache"])[2]
        sinks = self._sinks if length == self._length else 0
        slot, lap = self._slot(sinks, length), length - sinks
        if self._tables_of(query) != self._tables_of(args(given["k_cache"])[1]):
            _refuse(attention, "its queries and keys are not rotated alike")
        for name in _CACHES:
            write = given.get(name)
            if write is None:
                continue
            target, (cache, x, *rest) = write.target, args(write)
            if name.startswith("v_") and self._is_rotated(x):
                _refuse(write, "its values are rotated")
            write.args = (cache, self._at(x, slot), *rest[:-1], slot)
            assert write.target is target
        current = self._at(query, slot)
        first = self._at(query, self._position) if sinks else current
        before = self._at(query, slot, lap)
        operands = (given[name] for name in row.argument_names[1:5])
        ends = (given["position"], slot, sinks, given["scale"], given.get("cap", 0.0))
        arguments = (current, first, before, *operands, *ends)
        replace(self._graph, attention, _SLIDING[attention.target], arguments)

    def _slot(self, sinks: int, length: int) -> Node:
        """int64[1]: where the position is kept in a cache of `length`."""
        if length not in self._slots:
            first = next(node for node in self._graph.nodes if node.op == "call_function")
            with self._graph.inserting_before(first):
                slot = self._graph.call_function(mcu.ring_slot.default, (self._position, sinks, length))
            slot.meta["val"] = self._position.meta["val"]
            self._slots[length] = slot
        return self._slots[length]

    def _is_rotated(self, node: Node) -> bool:
        """Whether a rotation lies between a value and the products that it comes from."""
        if node not in self._rotated:
            ours = str(getattr(node.target, "namespace", "")) == "mcu" and not is_call(node, *_NORMS)
            ends = node.op != "call_function" or ours or is_call(node, *_PRODUCTS)
            self._rotated[node] = is_call(node, *ROTATIONS) or (
                not ends and any(self._is_rotated(each) for each in node.all_input_nodes)
            )
        return self._rotated[node]

    def _tables_of(self, node: Node) -> set[tuple[Node, Node]]:
        """The tables of the rotations behind a value."""
        if not self._is_rotated(node):
            return set()
        if is_call(node, *ROTATIONS):
            return {(args(node)[1], args(node)[2])}
        return set().union(*(self._tables_of(each) for each in node.all_input_nodes))

    def _at(self, node: Node, at: Node, lap: int = 0) -> Node:
        """The value with its rotations by the row `at` of their tables, and `lap` positions further."""
        if not self._is_rotated(node):
            return node
        key = node, at, lap
        if key in self._turned:
            return self._turned[key]
        if is_call(node, *ROTATIONS):
            x, cosine, sine, _ = args(node)
            new = self._behind(node, (x, cosine, sine, at))
            if lap:
                new = self._behind(node, (new, *self._lap(node, cosine, sine, lap), at), new)
        else:
            new = self._behind(node, args(node), None)
            new.args = torch.fx.node.map_arg(args(node), lambda each: self._at(each, at, lap))
            new.kwargs = torch.fx.node.map_arg(node.kwargs, lambda each: self._at(each, at, lap))
        self._turned[key] = new
        return new

    def _behind(self, node: Node, arguments: tuple[Any, ...], after: Node | None = None) -> Node:
        """The node's call once more, behind it, with other arguments."""
        target: Any = node.target
        with self._graph.inserting_after(after or node):
            new: Node = self._graph.call_function(target, arguments, dict(node.kwargs))
        new.meta = dict(node.meta)
        return new

    def _lap(self, node: Node, cosine: Node, sine: Node, lap: int) -> tuple[Node, Node]:
        """Tables of one row, the rotation by `lap` positions. Raises ModelError for tables in which a position is no
        angle that grows with it."""
        key = cosine, sine, lap
        if key not in self._laps:
            tables = [constant_value(self._program, each).double() for each in (cosine, sine)]
            angle = rotation_by(torch.complex(*tables), lap)
            if angle is None:
                _refuse(node, "the angles of its rotary embedding do not grow with the position alone")
            rows = (part.float()[None].contiguous() for part in (angle.real, angle.imag))
            names = ("rope_lap_cos", "rope_lap_sin")
            pair = [add_buffer(self._program, name, row) for name, row in zip(names, rows, strict=True)]
            self._laps[key] = pair[0], pair[1]
        return self._laps[key]


def rotation_by(table: torch.Tensor, count: int) -> torch.Tensor | None:
    """The rotation by `count` positions, complex128[n] of magnitude 1, of the rows complex128[S, n] of positions 0 .. S - 1,
    count <= S. None unless rows lie as far apart as their positions.

    Angles come from a float32 product with the position, which rounds by 2^-24 of up to S; a comparison has three.
    """
    start, length = table[0], len(table)
    if bool((start.imag != 0).any()) or bool((start.real == 0).any()):
        return None
    turns = table / start
    allowed = 4 * max(length, 16) * 2.0**-24
    step = 1
    while step < length:
        if float((turns[step:] - turns[:-step] * turns[step]).abs().max()) > allowed:
            return None
        step *= 2
    half = count // 2
    angle = turns[count] if count < length else turns[half] * turns[count - half]
    return angle / angle.abs()


def cannot_slide(reason: str) -> ModelError:
    """The refusal of a decoder in which a position means more than its distance from others."""
    return ModelError(
        "--when-full slide takes a model that knows distances between tokens alone, by a rotary embedding or not at all; "
        f"{reason}.",
        hint=HINT,
    )


def _refuse(node: Node, reason: str) -> NoReturn:
    raise cannot_slide(f"in {module_path(node) or node.name} {reason}")
