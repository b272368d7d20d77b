"""What is done for images and other signals before the patterns of sequences are looked for."""

from __future__ import annotations

from functools import partial

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import map_arg

from mcu_sdk.lowering.fuse.batch_norm import fold_batch_norms
from mcu_sdk.lowering.fuse.channels_last import ONE_VALUE, TWO_VALUES, cancel_turns, channels_last
from mcu_sdk.lowering.fuse.flips import turn_weights
from mcu_sdk.lowering.fuse.graph import args, aten, is_call, tidy
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.patches import patches_to_linears
from mcu_sdk.lowering.fuse.spelt_out import spell_out
from mcu_sdk.lowering.fuse.turns import turn_later
from mcu_sdk.lowering.fuse.waves import waves_to_rows


def prepare_images(program: ExportedProgram) -> None:
    """Turn weights in the place of channels, fold batch norms, spell out moves of elements, and put channels last, in place."""
    changed = turn_weights(program) + waves_to_rows(program) + spell_out(program)
    changed += fold_batch_norms(program) + patches_to_linears(program)
    if changed:
        tidy(program)
    if channels_last(program):
        tidy(program)
        turn_later(program)
        cancel_turns(program)
        tidy(program)
        lay_out_again(program)
        tidy(program)


IN_ORDER = (*ONE_VALUE, *TWO_VALUES, aten.layer_norm.default)
"""Operations whose results have their inputs' order of axes in memory."""


def lay_out_again(program: ExportedProgram) -> None:
    """Bring what the graph says of its values' strides in line with what they now are, in place.

    A view of turned axes becomes a reshape. A turned value that is computed with is copied first: on a device it lies in
    its own order anyway, while in PyTorch all that follows would keep the turned one.
    """
    copies: dict[Node, Node] = {}

    def in_order(place: Node, value: Node) -> Node:
        if value.meta["val"].is_contiguous():
            return value
        if value not in copies:
            copies[value] = call_before(
                program.graph, place, aten.clone.default, value, memory_format=torch.contiguous_format
            )
        return copies[value]

    for node in list(program.graph.nodes):
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        if is_call(node, aten.view.default, aten._unsafe_view.default):
            if not args(node)[0].meta["val"].is_contiguous():
                node.target = aten.reshape.default
        elif is_call(node, *IN_ORDER):
            node.args = map_arg(node.args, partial(in_order, node))
        values = map_arg((node.args, node.kwargs), lambda value: value.meta["val"])
        node.meta["val"] = node.target(*values[0], **values[1])
