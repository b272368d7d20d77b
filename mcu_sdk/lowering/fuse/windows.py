"""Windows of an image beside each other (unfold, as ConvBERT's convolution by a computed kernel has it) -> a choice along one
axis, and one along the other.

ExecuTorch makes of aten::im2col a choice along two axes at once, for which there is no kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import add_buffer, args, aten, is_call, shape_of
from mcu_sdk.lowering.fuse.new_node import call_before


def choose_windows(program: ExportedProgram) -> int:
    """Rewrite aten::im2col of [N, C, H, W] in place; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if is_call(node, aten.im2col.default) and len(shape_of(args(node)[0])) == 4:
            node.replace_all_uses_with(_chosen(program, node))
            program.graph.erase_node(node)
            count += 1
    return count


def _chosen(program: ExportedProgram, node: Node) -> Node:
    """[N, C kh kw, rows columns], the rows of the kernel outermost."""
    graph = program.graph
    x, kernel, dilation, padding, stride = args(node)[:5]
    if any(padding):
        around = [padding[1], padding[1], padding[0], padding[0]]
        x = call_before(graph, node, aten.constant_pad_nd.default, x, around, 0.0)
    height, width = shape_of(x)[2:]
    axes = list(zip(kernel, dilation, stride, strict=True))
    places = [_places(size, *axis) for size, axis in zip((height, width), axes, strict=True)]
    value = _choice(program, node, x, 2, places[0])
    if places[1].numel() > 1 or width > 1:
        value = _choice(program, node, value, 4, places[1])  # [N, C, kh, rows, kw, columns]
        value = call_before(graph, node, aten.permute.default, value, [0, 1, 2, 4, 3, 5])
        value = call_before(graph, node, aten.clone.default, value, memory_format=torch.contiguous_format)
    return call_before(graph, node, aten.view.default, value, list(shape_of(node)))


def _places(size: int, kernel: int, dilation: int, stride: int) -> torch.Tensor:
    """int64[kernel, windows] of an axis: where each tap of each window lies."""
    windows = (size - dilation * (kernel - 1) - 1) // stride + 1
    return torch.arange(kernel)[:, None] * dilation + torch.arange(windows) * stride


def _choice(program: ExportedProgram, node: Node, x: Node, axis: int, places: torch.Tensor) -> Node:
    index = add_buffer(program, f"{node.name}_places", places)
    chosen: Sequence[Node | None] = [*[None] * axis, index]
    return call_before(program.graph, node, aten.index.Tensor, x, list(chosen))
