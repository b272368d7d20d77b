"""A convolution whose filters step from one window to the next without overlap, as vision transformers cut an image into
patches -> a linear over the patches."""

from __future__ import annotations

from typing import Any

from torch.export import ExportedProgram
from torch.fx import Graph, Node

from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_value,
    is_call,
    is_constant,
    shape_of,
)


def patches_to_linears(program: ExportedProgram) -> int:
    """x[1, C, H, W] by filters [O, C, h, w] with strides (h, w): a row of C * h * w for each patch, times [O, C * h * w].

    Rewrites in place; returns how many there were.
    """
    count = 0
    for node in list(program.graph.nodes):
        if is_call(node, aten.conv2d.default, aten.convolution.default) and _cuts_patches(program, node):
            _rewrite(program, node)
            count += 1
    return count


def _cuts_patches(program: ExportedProgram, node: Node) -> bool:
    x, weight, bias, stride, padding, dilation, *rest = _arguments(node)
    transposed, groups = (rest[0], rest[-1]) if node.target == aten.convolution.default else (False, rest[-1])
    if len(shape_of(x)) != 4 or shape_of(x)[0] != 1 or not isinstance(weight, Node):
        return False
    if not is_constant(program, weight) or not (bias is None or isinstance(bias, Node)):
        return False
    window, size = shape_of(weight)[2:], shape_of(x)[2:]
    plain = not transposed and groups == 1 and not any(_pair(padding)) and set(_pair(dilation)) == {1}
    fits = window != (1, 1) and all(side % step == 0 for side, step in zip(size, window, strict=True))
    return plain and fits and tuple(_pair(stride)) == window


def _arguments(node: Node) -> list[Any]:
    """(x, weight, bias, stride, padding, dilation, [transposed, output padding,] groups), defaults filled in."""
    if node.target == aten.convolution.default:
        return list(args(node))
    defaults = [None, None, None, [1, 1], [0, 0], [1, 1], 1]
    return [*args(node), *defaults[len(args(node)) :]]


def _pair(value: Any) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values if len(values) == 2 else values * 2


def _rewrite(program: ExportedProgram, node: Node) -> None:
    graph = program.graph
    x, weight, bias, *_ = _arguments(node)
    _, channels, height, width = shape_of(x)
    filters, _, h, w = shape_of(weight)
    rows, columns = height // h, width // w
    matrix = add_buffer(
        program, f"{weight.name}_rows", constant_value(program, weight).flatten(1).contiguous()
    )
    with graph.inserting_before(node):
        cut = _call(graph, node, aten.view.default, x, [1, channels, rows, h, columns, w])
        turned = _call(graph, node, aten.permute.default, cut, [0, 2, 4, 1, 3, 5])
        patches = _call(graph, node, aten.reshape.default, turned, [1, rows * columns, channels * h * w])
        out = _call(graph, node, aten.linear.default, patches, matrix, bias)
        back = _rows_again(node, filters, rows * columns)
        if back is None:
            back = node
            image = _call(graph, node, aten.permute.default, out, [0, 2, 1])
            out = _call(graph, node, aten.reshape.default, image, [1, filters, rows, columns])
    back.replace_all_uses_with(out)


def _call(graph: Graph, like: Node, target: Any, *arguments: Any) -> Node:
    node: Node = graph.call_function(target, arguments)
    values = [value.meta["val"] if isinstance(value, Node) else value for value in arguments]
    node.meta = {**like.meta, "val": target(*values)}
    return node


def _rows_again(node: Node, filters: int, patches: int) -> Node | None:
    """What makes rows [1, patches, filters] of the image of results, if that is all that becomes of it."""
    while len(node.users) == 1:
        (user,) = node.users
        if is_call(user, aten.transpose.int) and {axis % 3 for axis in args(user)[1:3]} == {1, 2}:
            return user if shape_of(user) == (1, patches, filters) else None
        if is_call(user, aten.permute.default):
            turned = list(args(user)[1]) == [0, 2, 1] and shape_of(user) == (1, patches, filters)
            return user if turned else None
        if not is_call(user, aten.flatten.using_ints, aten.view.default, aten.reshape.default):
            return None
        node = user
    return None
