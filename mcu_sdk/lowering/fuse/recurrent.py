"""nn.LSTM and nn.GRU -> one call for each layer and direction, which quantization takes the place of, or spells out."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from mcu_sdk.lowering.fuse.graph import args, aten, is_call, shape_of
from mcu_sdk.lowering.fuse.new_node import call_before

GATES = {"lstm": 4, "gru": 3}
"""Gates in a cell of each kind."""


@torch.library.custom_op("mcu_fused::recurrent", mutates_args=())
def recurrent(
    x: torch.Tensor,
    hidden: torch.Tensor | None,
    cell: torch.Tensor | None,
    input_weight: torch.Tensor,
    state_weight: torch.Tensor,
    input_bias: torch.Tensor | None,
    state_bias: torch.Tensor | None,
    kind: str,
    backwards: bool,
    scale: float,
    bits: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer of LSTM or GRU in one direction, in float: (outputs, states) [S, T, n] of x [S, T, I], the states being an
    LSTM's cells, and a GRU's outputs once more.

    hidden and cell, [S, n], are what it begins with, None: zeros. Weights and biases lie as PyTorch's. scale: that of
    the outputs in int8; bits: those of a state behind the point; quantization fills them in.
    """
    return spelt_out(
        x, hidden, cell, input_weight, state_weight, input_bias, state_bias, kind, backwards, scale, bits
    )


@recurrent.register_fake
def _like(
    x: torch.Tensor,
    hidden: torch.Tensor | None,
    cell: torch.Tensor | None,
    input_weight: torch.Tensor,
    state_weight: torch.Tensor,
    *rest: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (*x.shape[:2], state_weight.shape[1])
    return x.new_empty(shape), x.new_empty(shape)


def spelt_out(
    x: torch.Tensor,
    hidden: torch.Tensor | None,
    cell: torch.Tensor | None,
    input_weight: torch.Tensor,
    state_weight: torch.Tensor,
    input_bias: torch.Tensor | None,
    state_bias: torch.Tensor | None,
    kind: str,
    backwards: bool,
    scale: float,
    bits: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same step by step."""
    sequences, steps, n = x.shape[0], x.shape[1], state_weight.shape[1]
    of_inputs = torch.nn.functional.linear(x, input_weight, input_bias)
    h = x.new_zeros((sequences, n)) if hidden is None else hidden
    c = x.new_zeros((sequences, n)) if cell is None else cell
    outputs, states = [], []
    for t in range(steps):
        of_input = of_inputs[:, steps - 1 - t if backwards else t]
        of_state = torch.nn.functional.linear(h, state_weight, state_bias)
        if kind == "lstm":
            i, f, g, o = (of_input + of_state).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        else:
            a, b = of_input.chunk(3, 1), of_state.chunk(3, 1)
            update = torch.sigmoid(a[1] + b[1])
            new = torch.tanh(a[2] + torch.sigmoid(a[0] + b[0]) * b[2])
            h = (1 - update) * new + update * h
        outputs.append(h)
        states.append(c if kind == "lstm" else h)
    order = slice(None, None, -1 if backwards else 1)
    return torch.stack(outputs[order], 1), torch.stack(states[order], 1)


def is_fusable(node: Node) -> bool:
    """Whether a call of aten's LSTM or GRU is made of calls of `recurrent`: float32, without projections."""
    if not is_call(node, aten.lstm.input, aten.gru.input):
        return False
    x, _, weights, biased, layers, _, _, bidirectional, _ = args(node)
    return (
        x.meta["val"].dtype == torch.float32
        and len(weights) == (4 if biased else 2) * layers * (2 if bidirectional else 1)
        and all(isinstance(weight, Node) and weight.op == "placeholder" for weight in weights)
        and min(shape_of(x)) > 0
    )


def fuse_recurrent(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many layers there were, each direction for itself."""
    count = 0
    for node in list(program.graph.nodes):
        if is_fusable(node):
            count += _rewrite(program.graph, node)
    return count


def _rewrite(graph: Graph, node: Node) -> int:
    """Take the place of one call, which may be of several layers; returns how many calls were made."""
    x, begins, weights, biased, layers, _, _, bidirectional, batch_first = args(node)
    kind = "lstm" if is_call(node, aten.lstm.input) else "gru"
    begins = begins if kind == "lstm" else [begins]
    each, directions = (4 if biased else 2), (2 if bidirectional else 1)
    if not batch_first:
        x = call_before(graph, node, aten.transpose.int, x, 0, 1)
    last: list[list[Node]] = [[], []]
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            number = layer * directions + direction
            parts = list(weights[number * each : (number + 1) * each])
            given = [_taken(graph, node, begin, number) for begin in begins]
            made = _call(graph, node, kind, x, given, parts, backwards=direction == 1)
            outputs.append(made[0])
            at = 0 if direction else shape_of(x)[1] - 1
            # A GRU's last state is what it gives, and so is an LSTM's hidden one; its cells are the second result.
            for values, source in zip(last, (made[0] if kind == "lstm" else made[1], made[1]), strict=True):
                taken = call_before(graph, node, aten.select.int, source, 1, at)
                values.append(call_before(graph, node, aten.unsqueeze.default, taken, 0))
        x = outputs[0] if directions == 1 else call_before(graph, node, aten.cat.default, outputs, 2)
    result = x if batch_first else call_before(graph, node, aten.transpose.int, x, 0, 1)
    states = [call_before(graph, node, aten.cat.default, values, 0) for values in last]
    for user in list(node.users):
        user.replace_all_uses_with([result, *states][args(user)[1]])
        graph.erase_node(user)
    graph.erase_node(node)
    return int(layers) * directions


def _taken(graph: Graph, place: Node, begin: Node, number: int) -> Node | None:
    """What a layer begins with, of all layers' [layers, S, n]; None for zeros."""
    if is_call(begin, aten.zeros.default) or (is_call(begin, aten.full.default) and args(begin)[1] == 0):
        return None
    return call_before(graph, place, aten.select.int, begin, 0, number)


def _call(
    graph: Graph,
    place: Node,
    kind: str,
    x: Node,
    begins: list[Node | None],
    weights: list[Any],
    backwards: bool,
) -> tuple[Node, Node]:
    """(outputs, states) of a layer."""
    target = torch.ops.mcu_fused.recurrent.default
    hidden, cell = (*begins, None)[:2]
    biases = weights[2:] or [None, None]
    operands = (x, hidden, cell, *weights[:2], *biases, kind, backwards, 0.0, 0)
    pair = call_before(graph, place, target, *operands)
    return item(graph, pair, 0), item(graph, pair, 1)


def item(graph: Graph, pair: Node, index: int) -> Node:
    """A result of a call that has several."""
    with graph.inserting_after(pair):
        node = graph.call_function(operator.getitem, (pair, index))
    node.meta = {**pair.meta, "val": pair.meta["val"][index]}
    return node
