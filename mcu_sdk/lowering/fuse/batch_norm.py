"""Batch norms of a trained model: into the convolution or the linear before them, or else one product and one sum."""

from __future__ import annotations

import operator

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    add_buffer,
    args,
    aten,
    constant_value,
    is_call,
    is_constant,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before

CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default)
INFERENCE = aten._native_batch_norm_legit_no_training.default


def fold_batch_norms(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, INFERENCE) or any(args(user)[1] for user in node.users):
            continue
        if not all(value is None or is_constant(program, value) for value in args(node)[1:5]):
            continue
        (item,) = [user for user in node.users if user.target is operator.getitem]
        factor, added = _factor_and_added(program, node)
        if not _fold_before(program, node, item, factor, added):
            _spell_out(program, node, item, factor, added)
        count += 1
    return count


def _factor_and_added(program: ExportedProgram, node: Node) -> tuple[torch.Tensor, torch.Tensor]:
    """float64[C] each: x * factor + added."""
    weight, bias, mean, variance = (
        None if value is None else constant_value(program, value).double() for value in args(node)[1:5]
    )
    assert mean is not None and variance is not None
    factor = (variance + args(node)[6]).rsqrt()
    factor = factor if weight is None else factor * weight
    added = -mean * factor
    return factor, added if bias is None else added + bias


def _fold_before(
    program: ExportedProgram, norm: Node, item: Node, factor: torch.Tensor, added: torch.Tensor
) -> bool:
    """Scale the weights of what is normalized, where nothing else reads its result."""
    source = args(norm)[0]
    while is_call(source, *SAME_BYTES) and len(source.users) == 1 and _keeps_channels_last(source, norm):
        source = args(source)[0]
    before = len(source.users) == 1 and (
        (is_call(source, *CONVOLUTIONS) and source is args(norm)[0])
        or (is_call(source, aten.linear.default) and shape_of(norm_input(norm))[1:] == shape_of(source)[-1:])
    )
    if not before or not is_constant(program, args(source)[1]):
        return False
    weight = args(source)[1]
    bias = args(source)[2] if len(args(source)) > 2 else None
    if bias is not None and not is_constant(program, bias):
        return False
    values = constant_value(program, weight).double()
    scaled = values * factor.view(-1, *[1] * (values.dim() - 1))
    moved = added if bias is None else added + constant_value(program, bias).double() * factor
    folded = add_buffer(program, f"{weight.name}_normed", scaled.float())
    offset = add_buffer(program, f"{weight.name}_normed_bias", moved.float())
    source.args = (args(source)[0], folded, offset, *args(source)[3:])
    item.replace_all_uses_with(args(norm)[0])
    return True


def norm_input(norm: Node) -> Node:
    """What a batch norm reads."""
    source = args(norm)[0]
    assert isinstance(source, Node)
    return source


def _keeps_channels_last(view: Node, norm: Node) -> bool:
    """Whether a norm over [rows, C] reads a view whose last axis is C, too."""
    source = args(view)[0]
    return len(shape_of(norm_input(norm))) == 2 and shape_of(source)[-1:] == shape_of(view)[-1:]


def _spell_out(
    program: ExportedProgram, norm: Node, item: Node, factor: torch.Tensor, added: torch.Tensor
) -> None:
    x = norm_input(norm)
    shape = [-1, *[1] * (len(shape_of(x)) - 2)]
    scale = add_buffer(program, f"{norm.name}_factor", factor.float().view(shape))
    offset = add_buffer(program, f"{norm.name}_added", added.float().view(shape))
    product = call_before(program.graph, item, aten.mul.Tensor, x, scale)
    item.replace_all_uses_with(call_before(program.graph, item, aten.add.Tensor, product, offset))
