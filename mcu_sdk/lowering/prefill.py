"""A quantized step -> the same for a chunk of a prompt: several tokens at once, and the logits of the last one.

What a step computes for a token lies along its first axis, which has one entry; a chunk has one for each token there.
So each operator stays what it is, and with it the order of every sum: that the logits are those of one token after
another, bit for bit, is then compared. What belongs to a position takes one for each token
(operators/reference/attention.py): all keys and values are written, then each token attends up to its own.

A cache that is written over and over, of a layer with a window, takes turns: what a token attends to may be overwritten
by those behind it in the chunk. So there each token writes and attends before the next one does.

Only what later tokens read, the caches, is computed for all tokens; everything else for the last one.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable
from typing import Any, NoReturn

import torch
from torch._guards import detect_fake_mode
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind, TensorArgument
from torch.fx import Graph, GraphModule, Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.fuse.graph import args, aten, is_call, needed_by, operator_row, shape_of
from mcu_sdk.lowering.module_path import module_path
from mcu_sdk.lowering.run_step import StepRunner
from mcu_sdk.operators.table import Work

LEAVE_OUT = "Leave --prefill out for this model: its prompts are then read token by token."
RESHAPES = (aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.expand.default)
"""Operators that are given their result's shape."""
APART = 3
"""Tokens that are read one by one before the chunks which are compared, so that these begin anywhere."""
CHUNKS = 2
"""Chunks that are compared at most."""


def prefill_of(step: ExportedProgram, rows: int) -> ExportedProgram:
    """A chunk's program: `(input_ids int64[1,rows], cache_position int64[rows]) -> logits float32[1,1,V]` of the last token.

    It shares the step's weights and the names of its caches. Raises ModelError, naming the operator, for a step with
    something that has no form for several tokens.
    """
    return _Chunk(step, rows).program()


class _Chunk:
    """The graph of a chunk on the way: `_rows` are the step's values for all tokens, `_last` those for the last one."""

    def __init__(self, step: ExportedProgram, rows: int) -> None:
        self._step, self._count = step, rows
        self._graph = Graph()
        self._rows: dict[Node, Node] = {}
        self._last: dict[Node, Node] = {}
        self._single: dict[tuple[Node, int], Node] = {}
        self._inputs = set(step.graph_signature.user_inputs)
        self._varying = _depending_on(step, self._inputs)
        self._for_all = _needed_by_caches(step) & self._varying
        self._in_turn = self._find_rings()
        self._written_in_turn = {write for writes in self._in_turn.values() for write in writes}
        nodes = [node for node in step.graph.nodes if "val" in node.meta]
        mode = detect_fake_mode([node.meta["val"] for node in nodes])
        assert mode is not None
        self._mode = mode

    def program(self) -> ExportedProgram:
        """The chunk's graph with the step's signature, weights and caches."""
        for node in self._step.graph.nodes:
            if node.op == "placeholder" and node.name in self._inputs:
                self._take_input(node)
            elif node in self._rows or node in self._written_in_turn:
                continue
            elif node in self._in_turn:
                self._attend_in_turn(node)
            elif node.op == "call_function" and node in self._for_all:
                self._put_rows(node)
            else:
                self._last[node] = self._copy(node)
        step, signature = self._step, copy.deepcopy(self._step.graph_signature)
        results = (args(graph.output_node())[0] for graph in (self._graph, step.graph))
        for spec, argument, of_step in zip(signature.output_specs, *results, strict=True):
            spec.arg = TensorArgument(argument.name)
            kept = self._rows.get(of_step, argument)
            if spec.kind == OutputKind.BUFFER_MUTATION and shape_of(kept) != shape_of(of_step):
                self._refuse(of_step)  # a state that each token changes
        self._graph.lint()
        example = torch.zeros(1, self._count, dtype=torch.int64), torch.arange(self._count)
        names = [spec.arg.name for spec in step.graph_signature.input_specs if spec.arg.name in self._inputs]
        return ExportedProgram(
            root=GraphModule(step.graph_module, self._graph),
            graph=self._graph,
            graph_signature=signature,
            state_dict=dict(step.state_dict),
            range_constraints={},
            module_call_graph=copy.deepcopy(step.module_call_graph),
            example_inputs=((), dict(zip(names, example, strict=True))),
            constants=dict(step.constants),
        )

    def _take_input(self, node: Node) -> None:
        """Token ids [1, 1] become [1, rows], seen as [rows, 1]; the position [1] becomes [rows]."""
        taken = self._graph.node_copy(node)
        ids = len(shape_of(node)) == 2
        with self._mode:
            taken.meta["val"] = torch.zeros((1, self._count) if ids else (self._count,), dtype=torch.int64)
        self._rows[node] = self._call(aten.view.default, (taken, [self._count, 1]), node) if ids else taken

    def _copy(self, node: Node) -> Node:
        """A node of the step as it is, for the last token."""
        return self._graph.node_copy(node, self._of_last)

    def _of_last(self, node: Node) -> Node:
        if node not in self._last:
            rows = self._rows[node]
            arguments = rows, 0, self._count - 1, self._count
            is_state = rows.meta["val"].shape == node.meta["val"].shape
            self._last[node] = rows if is_state else self._call(aten.slice.Tensor, arguments, node)
        return self._last[node]

    def _put_rows(self, node: Node) -> None:
        """The node for all tokens. Raises ModelError unless each of its results has a row for each."""
        target: Any = node.target
        mapped = torch.fx.node.map_arg(args(node), lambda n: self._rows.get(n) or self._of_last(n))
        keywords = torch.fx.node.map_arg(node.kwargs, lambda n: self._rows.get(n) or self._of_last(n))
        if is_call(node, *RESHAPES):
            shape = list(shape_of(node))
            if shape[:1] != [1]:
                self._refuse(node)
            mapped = (mapped[0], [self._count, *shape[1:]], *mapped[2:])
        try:
            new = self._call(target, mapped, node, keywords)
        except (RuntimeError, ValueError, IndexError, AssertionError, TypeError):
            self._refuse(node)
        for found, one in zip(_tensors(new), _tensors(node), strict=True):
            if not _has_rows(node, found, one, self._count):
                self._refuse(node)
        self._rows[node] = new

    def _find_rings(self) -> dict[Node, list[Node]]:
        """The attentions for all tokens over caches that are written over, and these writes. Raises ModelError for one that
        something else reads, too."""
        found: dict[Node, list[Node]] = {}
        for write in _ring_writes(self._step):
            readers = [user for user in write.users if user.op != "output"]
            attentions = [user for user in readers if user in self._for_all]
            if any((row := operator_row(user)) is None or row.work is not Work.ATTENTION for user in readers):
                self._refuse(write)
            if len(attentions) > 1:
                self._refuse(write)
            for attention in attentions:
                found.setdefault(attention, []).append(write)
        return found

    def _attend_in_turn(self, attention: Node) -> None:
        """Each token writes its keys and values, then attends, before the next one does."""
        writes = self._in_turn[attention]
        states = {write: self._of_last(args(write)[0]) for write in writes}
        results = []
        for token in range(self._count):
            for write in writes:
                rest = (self._row(argument, token) for argument in args(write)[1:])
                states[write] = self._call(write.target, (states[write], *rest), write)
            given = (states.get(each) or self._row(each, token) for each in args(attention))
            results.append(self._call(attention.target, tuple(given), attention))
        self._rows |= states
        for item in attention.users:
            index = args(item)[1]
            of_tokens = [self._call(operator.getitem, (result, index), item) for result in results]
            self._rows[item] = of_tokens[-1] if index else self._call(aten.cat.default, (of_tokens, 0), item)

    def _row(self, argument: Any, token: int) -> Any:
        """An argument of the step for one token."""
        if not isinstance(argument, Node) or argument not in self._rows:
            return self._of_last(argument) if isinstance(argument, Node) else argument
        if (argument, token) not in self._single:
            place = (self._rows[argument], 0, token, token + 1)
            self._single[argument, token] = self._call(aten.slice.Tensor, place, argument)
        return self._single[argument, token]

    def _call(self, target: Any, arguments: Any, like: Node, keywords: Any = None) -> Node:
        """A call with the meta data of the step's node, and its value."""
        new = self._graph.call_function(target, arguments, keywords or {})
        value = torch.fx.node.map_arg((arguments, keywords or {}), lambda n: n.meta["val"])
        new.meta = dict(like.meta)
        with self._mode:
            new.meta["val"] = target(*value[0], **value[1])
        return new

    def _refuse(self, node: Node) -> NoReturn:
        raise ModelError(
            f"A step whose every operator takes several tokens was expected for a prompt's chunk; {node.target} in "
            f"{module_path(node) or node.name} takes one.",
            hint=LEAVE_OUT,
        )


def _depending_on(step: ExportedProgram, names: Iterable[str]) -> set[Node]:
    """The values that follow from these inputs."""
    wanted = set(names)
    found: set[Node] = set()
    for node in step.graph.nodes:
        if node.name in wanted or any(source in found for source in node.all_input_nodes):
            found.add(node)
    return found


def _needed_by_caches(step: ExportedProgram) -> set[Node]:
    """What the step writes to its caches, and all that this is computed from."""
    written = {
        spec.arg.name for spec in step.graph_signature.output_specs if spec.kind == OutputKind.BUFFER_MUTATION
    }
    found = needed_by(node for node in step.graph.nodes if node.name in written)
    # One of several results has a row for each token where the others have.
    return found | {
        node for node in step.graph.nodes if is_call(node, operator.getitem) and args(node)[0] in found
    }


def _tensors(node: Node) -> list[torch.Tensor]:
    value = node.meta["val"]
    return [each for each in (value if isinstance(value, (tuple, list)) else (value,)) if each is not None]


def _has_rows(node: Node, found: torch.Tensor, one: torch.Tensor, rows: int) -> bool:
    """Whether a result has a row for each token; caches and scratch are as large as in a step."""
    row = operator_row(node)
    if found.shape == one.shape:
        return one.dtype == torch.uint8 or (row is not None and row.in_place and bool(row.caches))
    return one.shape[:1] == (1,) and found.shape == (rows, *one.shape[1:])


def _ring_writes(step: ExportedProgram) -> list[Node]:
    """What is written to caches at another place than the position."""
    inputs = set(step.graph_signature.user_inputs)
    found = []
    for node in step.graph.nodes:
        row = operator_row(node) if node.op == "call_function" else None
        if row is not None and row.in_place and row.caches:
            place = args(node)[row.position("position")]
            if not (isinstance(place, Node) and place.name in inputs):
                found.append(node)
    return found


def _shortest_ring(step: ExportedProgram) -> int:
    """The rows of the shortest cache that is written over; 0 if there is none."""
    lengths = []
    for node in _ring_writes(step):
        row = operator_row(node)
        assert row is not None
        lengths.append(shape_of(args(node)[0])[next(iter(row.caches.values()))])
    return min(lengths, default=0)


def check_prefill(
    step: ExportedProgram, prefill: ExportedProgram, rows: int, vocabulary: int, length: int
) -> int:
    """Compare chunks with their tokens one by one, bit for bit, on random ones; returns how many were read.

    `length`: positions that can be read, those of the caches or, where they slide, more. Where one is written over, that happens within the first chunk. Raises ModelError where a logit or a byte of the caches differs.
    """
    apart = min(APART, length - rows)
    count = apart + min((length - apart) // rows, CHUNKS) * rows
    tokens = torch.randint(0, vocabulary, (count,), generator=torch.Generator().manual_seed(0))
    one, several = StepRunner(step), StepRunner(prefill)
    expected, found = one.empty(), several.empty()
    first = min(max(_shortest_ring(step) - apart - rows // 2, 0), length - count)
    places, wanted = torch.arange(first, first + count), torch.empty(0)
    for at in range(apart):
        one.call(expected, tokens[at : at + 1], places[at : at + 1])
    found |= {name: expected[name] for name in one.written}
    for start in range(apart, count, rows):
        for at in range(start, start + rows):
            wanted = one.call(expected, tokens[at : at + 1], places[at : at + 1])
        chunk = slice(start, start + rows)
        logits = several.call(found, tokens[chunk], places[chunk])
        caches = all(torch.equal(expected[name], found[name]) for name in one.written)
        if not (torch.equal(logits, wanted) and caches):
            raise ModelError(
                f"A chunk of {rows} tokens was expected to give what they give one by one, bit for bit; from position "
                f"{first + start} on its {'logits' if caches else 'keys or values'} differ.",
                hint=LEAVE_OUT,
            )
    return count
