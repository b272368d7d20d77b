"""Large biases of a k_proj, kept out of the int8 cache.

A bias that is many times what a key varies by takes all of an int8 row's range: what the key says of its token is lost.
But it is known. A rotated key is R(p) (W h + b) = R(p) W h + R(p) b, so that its score is that of a key without the bias
plus q . R(p) b, of which the second factor is a table of the position. The softmax ignores what all positions have in
common: a channel that is not rotated needs no table, its bias has no effect at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import (
    CARRIES,
    add_buffer,
    args,
    aten,
    constant_value,
    evaluate,
    is_call,
    is_constant,
    shape_of,
)

mcu = torch.ops.mcu

LARGE = 16.0
"""Times the typical magnitude of a layer's key channels, from which on a bias is kept out. Below it, of the 127 steps on
either side of zero that a row has, the other channels keep 8 or more: an error of 1/16 of their magnitude at most, of
which a score averages as many as there are channels."""

_ROTATIONS = (mcu.rope.default, mcu.rope_pairs.default)


@dataclass(frozen=True)
class KnownPart:
    """What was taken from all keys: float32[S, G, D] by position, which scores still lack where it differs from
    position to position, in the channels `columns`."""

    by_position: torch.Tensor
    columns: list[int]


def take_key_bias(
    program: ExportedProgram, keys: Node, positions: int, *, only_common: bool
) -> KnownPart | None:
    """Take what is large of the bias behind one step's keys, float32[1, G, 1, D], out of the linear, in place.

    `positions`: of the cache. `only_common`: leave what scores would lack. None, and nothing is changed, where there is
    no such bias.
    """
    rotation: Node | None = _alone_behind(keys)
    source = keys
    if is_call(rotation, *_ROTATIONS):
        if len(rotation.users) != 1 or not all(is_constant(program, table) for table in args(rotation)[1:3]):
            return None
        source = args(rotation)[0]
    else:
        rotation = None
    linear = _alone_behind(source)
    if not is_call(linear, aten.linear.default) or len(linear.users) != 1 or len(args(linear)) < 3:
        return None
    weight, bias = args(linear)[1:3]
    if not (isinstance(bias, Node) and is_constant(program, bias) and is_constant(program, weight)):
        return None
    values = constant_value(program, bias).float()
    large = values.abs() > LARGE * _typical(program, linear, values)
    if not bool(large.any()):
        return None
    count = torch.arange(values.numel(), dtype=torch.float32).reshape(shape_of(linear))
    places = evaluate(program, source, {linear: count})
    _, groups, _, channels = shape_of(keys)
    if places.numel() != groups * channels or values.numel() != places.numel():
        return None
    taken = (values * large)[places.reshape(groups, channels).long()]
    table = taken.expand(positions, groups, channels)
    if rotation is not None:
        cosine, sine = (constant_value(program, each) for each in args(rotation)[1:3])
        if cosine.shape[0] < positions:
            return None
        target, at = rotation.target, torch.arange(positions)
        table = target(table[:, :, None].contiguous(), cosine, sine, at)[:, :, 0]  # type: ignore[operator]
    columns = torch.nonzero((table != table[:1]).any(0).any(0)).flatten().tolist()
    if columns and only_common:
        return None
    rest = add_buffer(program, "k_proj_bias", torch.where(large, torch.zeros_like(values), values))
    linear.replace_input_with(bias, rest)
    return KnownPart(table.contiguous(), columns)


def key_bias_scores(
    program: ExportedProgram, query: Node, part: KnownPart, position: Node, scale: float, before: Node
) -> Node | None:
    """What the scores lack, float32[1, H, S] by distance, computed from the query float32[1, H, 1, D]; None for
    nothing."""
    if not part.columns:
        return None
    graph: Graph = program.graph
    table = part.by_position[:, :, part.columns].permute(1, 2, 0).contiguous()
    operands = (
        query,
        add_buffer(program, "key_bias", table),
        add_buffer(program, "key_bias_columns", torch.tensor(part.columns, dtype=torch.int32)),
        position,
        scale,
    )
    with graph.inserting_before(before):
        scores = graph.call_function(mcu.key_bias_scores.default, operands)
    scores.meta = dict(before.meta)
    with torch.no_grad():
        scores.meta["val"] = mcu.key_bias_scores.default(
            *torch.fx.node.map_arg(operands, lambda n: n.meta["val"])
        )
    return scores


def _alone_behind(node: Node) -> Node:
    """What a value is that was only moved about, and that nothing else reads on the way."""
    while is_call(node, *CARRIES) and len(args(node)[0].users) == 1:
        node = args(node)[0]
    return node


def _typical(program: ExportedProgram, linear: Node, bias: torch.Tensor) -> float:
    """The median over channels of a key's root mean square, for inputs behind a norm: one on average, times its weight."""
    weight = constant_value(program, args(linear)[1]).float()
    gain = torch.ones(weight.shape[1])
    product = args(linear)[0]
    if is_call(product, aten.mul.Tensor):
        for factor in args(product):
            if (
                isinstance(factor, Node)
                and is_constant(program, factor)
                and shape_of(factor)[-1:] == gain.shape
            ):
                gain = constant_value(program, factor).float().reshape(-1)[-len(gain) :]
    return float((((weight * gain) ** 2).sum(1) + bias**2).sqrt().median())
