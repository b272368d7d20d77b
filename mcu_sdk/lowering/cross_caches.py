"""The int8 caches of cross attention: the encoder's program writes them, the decoder's step reads them, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node
from torch.utils._pytree import tree_structure

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.advice import ELSEWHERE
from mcu_sdk.lowering.encoder_decoder import cross_names
from mcu_sdk.lowering.fuse.cross_attention import KEYS, VALUES, scales_of
from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    add_buffer,
    args,
    aten,
    evaluate,
    is_call,
    mutate_buffer,
    shape_of,
    tidy,
)
from mcu_sdk.lowering.fuse.new_node import call_before

mcu = torch.ops.mcu

_PARTS = (aten.select.int, aten.slice.Tensor, aten.expand.default)


def is_cross(name: object) -> bool:
    """Whether a buffer belongs to a cross attention."""
    return str(name).startswith((KEYS, VALUES))


def require_caches(step: ExportedProgram, model: Any) -> None:
    """Raises ModelError for a step that attends to its encoder in a form that no pattern knows."""
    table = {**step.state_dict, **step.constants}
    left = sorted(name for name, value in table.items() if is_cross(name) and value.dtype == torch.float32)
    if left:
        raise ModelError(
            f"A decoder whose attention to its encoder is a softmax over scaled products, up to a length, was expected; that of "
            f"{type(model).__name__} is something else ({', '.join(left[:3])}).",
            hint=ELSEWHERE,
        )


def write_caches(encoder: ExportedProgram) -> None:
    """Let a program that gives keys and values of each layer, float32[Le, H, 1, D] each in turn, write them to int8 caches
    at scales found for each row and head, in place; it then gives nothing."""
    graph, signature = encoder.graph, encoder.graph_signature
    output = graph.output_node()
    rows: list[Node] = list(args(output)[0])
    positions = add_buffer(encoder, "encoder_positions", torch.arange(shape_of(rows[0])[0]))
    output.args = ((),)
    signature.output_specs.clear()
    called = encoder.module_call_graph[0].signature
    assert called is not None
    called.outputs, called.out_spec = [], tree_structure(())
    for index, node in enumerate(rows):
        name = cross_names(index // 2)[index % 2]
        _write(encoder, name, _contiguous(encoder, node), positions, columns=bool(index % 2))
    tidy(encoder)


def _write(encoder: ExportedProgram, name: str, rows: Node, positions: Node, *, columns: bool) -> None:
    length, heads, _, channels = shape_of(rows)
    shape = (1, heads, channels, length) if columns else (1, heads, length, channels)
    cache = add_buffer(encoder, name, torch.zeros(shape, dtype=torch.int8))
    scales = add_buffer(encoder, scales_of(name), torch.zeros((1, heads, length), dtype=torch.float16))
    target = mcu.cache_write_columns_dynamic if columns else mcu.cache_write_dynamic
    output = encoder.graph.output_node()
    for buffer, write in ((scales, mcu.cache_scale_write), (cache, target)):
        written = call_before(encoder.graph, output, write.default, buffer, rows, positions)
        written.meta = {**rows.meta, "val": buffer.meta["val"]}
        mutate_buffer(encoder, buffer, written)


def _contiguous(encoder: ExportedProgram, node: Node) -> Node:
    """The rows as they lie in memory: where turning heads there and back leaves a linear's result as it was, that is seen in
    another shape; else they are copied."""
    source, shape = node, shape_of(node)
    while (before := _turned(source)) is not None:
        source = before
    place = encoder.graph.output_node()
    numbers = torch.arange(source.meta["val"].numel(), dtype=torch.float32).reshape(shape_of(source))
    if numbers.numel() == node.meta["val"].numel() and torch.equal(
        evaluate(encoder, node, {source: numbers}).flatten(), numbers.flatten()
    ):
        return call_before(encoder.graph, place, aten.view.default, source, list(shape))
    copied = call_before(
        encoder.graph, place, aten.clone.default, node, memory_format=torch.contiguous_format
    )
    copied.meta = {**node.meta, "val": copied.meta["val"]}
    return copied


def _turned(node: Node) -> Node | None:
    """What a node turns, or puts behind nothing, as a cache does that was empty; None for anything else."""
    if is_call(node, aten.cat.default):
        full = [part for part in args(node)[0] if part.meta["val"].numel()]
        return full[0] if len(full) == 1 else None
    return args(node)[0] if is_call(node, *MOVES, *_PARTS) else None


def release_caches(step: ExportedProgram) -> None:
    """Take off that the step writes back what it reads of the encoder's (encoder_decoder.py), in place: its buffers are then
    read alone, and lie where the method that writes them has them."""
    output, signature = step.graph.output_node(), step.graph_signature
    keep = [
        index
        for index, spec in enumerate(signature.output_specs)
        if not (spec.kind == OutputKind.BUFFER_MUTATION and is_cross(spec.target))
    ]
    output.args = (tuple(args(output)[0][index] for index in keep),)
    signature.output_specs[:] = [signature.output_specs[index] for index in keep]
    tidy(step)


@torch.no_grad()
def run_encoder(encoder: ExportedProgram, inputs: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the program leaves in its caches for the encoder's inputs, by the buffers' names."""
    signature = encoder.graph_signature
    values, given = [], iter(inputs)
    for spec in signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            values.append(next(given))
        else:
            name = str(spec.target)
            table = encoder.state_dict if name in encoder.state_dict else encoder.constants
            values.append(table[name].detach())
    found = encoder.graph_module(*values)
    targets = [str(spec.target) for spec in signature.output_specs]
    return dict(zip(targets, found, strict=True))
