"""Images from [1, C, H, W] to [1, H, W, C], in which the kernels of convolutions, linears and norms over channels read them.

Each operation on images is put between turned axes, as far as the images reach; the turns between two such operations
cancel out. A convolution with filters of one pixel becomes a linear; others keep their form between two turns, which
quantization takes as one. Convolutions along one axis are those of images of one row.
"""

from __future__ import annotations

import math
from typing import Any

from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    TURNS,
    add_buffer,
    args,
    aten,
    axes_of_turn,
    behind,
    constant_value,
    is_call,
    is_constant,
    is_turn,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]

ONE_VALUE = (
    aten.relu.default, aten.relu6.default, aten.hardtanh.default, aten.clamp.default, aten.gelu.default,
    aten.silu.default, aten.hardswish.default, aten.hardsigmoid.default, aten.sigmoid.default, aten.tanh.default,
    aten.leaky_relu.default, aten.elu.default, aten.clone.default, aten.dropout.default, aten.neg.default,
)  # fmt: skip
TWO_VALUES = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)
POOLS = (aten.max_pool2d.default, aten.avg_pool2d.default)
POOLS_OF_ROWS: dict[Any, tuple[Any, int]] = {
    aten.max_pool1d.default: (aten.max_pool2d.default, 3),
    aten.avg_pool1d.default: (aten.avg_pool2d.default, 2),
}
"""Those along one axis: what they are of an image of one row, and how many sizes follow the window's."""


def channels_last(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many operations changed."""
    rewriter = _Rewriter(program)
    _rows_to_images(program)
    for node in list(program.graph.nodes):
        if node.op == "call_function":
            rewriter.visit(node)
    return rewriter.count


def _rows_to_images(program: ExportedProgram) -> None:
    """conv1d over [1, C, L] -> conv2d over [1, C, 1, L], pools too, and what follows of one value over the same image."""
    graph = program.graph
    images: dict[Node, Node] = {}

    def opened(row: Node, place: Node) -> Node:
        return images[row] if row in images else call_before(graph, place, aten.unsqueeze.default, row, 2)

    def becomes(node: Node, image: Node) -> None:
        row = call_before(graph, node, aten.squeeze.dim, image, 2)
        images[row] = image
        node.replace_all_uses_with(row)
        graph.erase_node(node)

    for node in list(graph.nodes):
        if is_call(node, *ONE_VALUE) and args(node)[0] in images:
            image = images[args(node)[0]]
            becomes(node, call_before(graph, node, node.target, image, *args(node)[1:], **node.kwargs))
        if is_call(node, *POOLS_OF_ROWS) and len(shape_of(node)) == 3 and shape_of(node)[0] == 1:
            x, window, *rest = args(node)
            target, count = POOLS_OF_ROWS[node.target]
            ones = 1, 0, 1  # stride, padding, dilation along the axis of one row
            along = [[one, *size] if size else size for one, size in zip(ones, rest[:count], strict=False)]
            given = [[1, *window], *along, *rest[count:]]
            becomes(node, call_before(graph, node, target, opened(x, node), *given))
        if not is_call(node, aten.conv1d.default) or not is_constant(program, args(node)[1]):
            continue
        defaults: list[Any] = [None, [1], [0], [1], 1]
        given = [*args(node), *defaults[len(args(node)) - 2 :]]
        x, weight, bias, stride, padding, dilation, groups = given
        filters = add_buffer(program, f"{weight.name}_row", constant_value(program, weight).unsqueeze(2))
        sizes = [1, stride[0]], [0, padding[0]], [1, dilation[0]]
        image = opened(x, node)
        becomes(node, call_before(graph, node, aten.conv2d.default, image, filters, bias, *sizes, groups))


class _Rewriter:
    """`last`: the images of which there is a form with channels last, and that form."""

    def __init__(self, program: ExportedProgram) -> None:
        self.program, self.graph = program, program.graph
        self.last: dict[Node, Node] = {}
        self.count = 0

    def visit(self, node: Node) -> None:
        """Give the node's operation the other order, where it is one on images."""
        x = args(node)[0] if args(node) else None
        if is_call(node, aten.conv2d.default):
            self._convolution(node)
        elif is_call(node, aten.pad.default, aten.constant_pad_nd.default):
            self._pad(node)
        elif is_call(node, *POOLS):
            self._pool(node)
        elif is_call(node, aten.group_norm.default):
            self._norm_of_all(node)
        elif is_call(node, *TWO_VALUES):
            self._two_values(node)
        elif is_call(node, aten.cat.default):
            self._joined(node)
        elif x not in self.last:
            return
        elif is_call(node, *ONE_VALUE):
            self._becomes(node, node.target, self.last[x], *args(node)[1:], **node.kwargs)
        elif is_call(node, aten.mean.dim):
            self._mean(node)
        else:
            self._leaves(node)

    def _becomes(self, node: Node, target: Any, *arguments: Any, **keywords: Any) -> None:
        """`node` is the result of a call with channels last, turned back for whoever reads it otherwise."""
        self._is(node, call_before(self.graph, node, target, *arguments, **keywords))

    def _is(self, node: Node, new: Node) -> None:
        back = call_before(self.graph, node, aten.permute.default, new, TO_FIRST)
        node.replace_all_uses_with(back)
        self.last[back] = new
        self.last[node] = new
        self.count += 1

    def _of(self, image: Node, place: Node) -> Node:
        """The image with channels last, turned now if it was not."""
        if image not in self.last:
            self.last[image] = self._source(image, place) or call_before(
                self.graph, place, aten.permute.default, image, TO_LAST
            )
        return self.last[image]

    def _source(self, image: Node, place: Node) -> Node | None:
        """What an image was made of by turning its channels to the front."""
        if is_turn(image, *TO_FIRST):
            source = args(image)[0]
            assert isinstance(source, Node)
            return source
        batch, channels, height, width = shape_of(image)
        views = (aten.view.default, aten.reshape.default, aten.clone.default, aten.unsqueeze.default)
        view = behind(image, *views)
        if is_turn(view, 0, 2, 1) and shape_of(view) == (batch, channels, height * width):
            shape = [batch, height, width, channels]
            return call_before(self.graph, place, aten.reshape.default, args(view)[0], shape)
        return None

    def _convolution(self, node: Node) -> None:
        defaults: list[Any] = [None, [1, 1], [0, 0], [1, 1], 1]
        given: list[Any] = [*args(node), *defaults[len(args(node)) - 2 :]]
        x, weight, bias, stride, padding, dilation, groups = given
        if len(shape_of(x)) != 4 or shape_of(x)[0] != 1 or not is_constant(self.program, weight):
            return
        image = self._of(x, node)
        size = shape_of(weight)[2:]
        if size == (1, 1) and groups == 1 and not any(padding):
            for axis in (0, 1):
                if stride[axis] > 1:
                    end = shape_of(image)[1 + axis]
                    arguments = (image, 1 + axis, 0, end, stride[axis])
                    image = call_before(self.graph, node, aten.slice.Tensor, *arguments)
            matrix = constant_value(self.program, weight).flatten(1).contiguous()
            rows = add_buffer(self.program, f"{weight.name}_rows", matrix)
            self._becomes(node, aten.linear.default, image, rows, bias)
            return
        front = call_before(self.graph, node, aten.permute.default, image, TO_FIRST)
        rest = stride, padding, dilation, groups
        out = call_before(self.graph, node, aten.conv2d.default, front, weight, bias, *rest)
        self._becomes(node, aten.permute.default, out, TO_LAST)

    def _pool(self, node: Node) -> None:
        """It keeps its order of axes between two turns. Padding that an average counts is put around the image before."""
        x, size, *rest = args(node)
        if len(shape_of(x)) != 4 or shape_of(x)[0] != 1:
            return
        image = self._of(x, node)
        if is_call(node, aten.avg_pool2d.default) and len(rest) > 1 and any(rest[1]):
            rounds_up, counts = len(rest) > 2 and rest[2], len(rest) < 4 or rest[3]
            if counts and not rounds_up:
                height, width = rest[1] * 2 if len(rest[1]) == 1 else rest[1]
                around = [0, 0, width, width, height, height]
                image = call_before(self.graph, node, aten.constant_pad_nd.default, image, around, 0.0)
                rest[1] = [0, 0]
        front = call_before(self.graph, node, aten.permute.default, image, TO_FIRST)
        out = call_before(self.graph, node, node.target, front, size, *rest, **node.kwargs)
        self._becomes(node, aten.permute.default, out, TO_LAST)

    def _norm_of_all(self, node: Node) -> None:
        """A norm over all of an image, the weight and bias of each channel repeated for each pixel."""
        x, groups, weight, bias, eps = [*args(node), *[None, None, 1e-5][len(args(node)) - 2 :]][:5]
        constant = all(value is None or is_constant(self.program, value) for value in (weight, bias))
        if groups != 1 or len(shape_of(x)) != 4 or shape_of(x)[0] != 1 or not constant:
            return
        image = self._of(x, node)
        shape = shape_of(image)
        size, pixels = math.prod(shape), shape[1] * shape[2]
        repeated = [
            value if value is None else self._repeated(value, pixels, node) for value in (weight, bias)
        ]
        row = call_before(self.graph, node, aten.reshape.default, image, [1, 1, size])
        normed = call_before(self.graph, node, aten.layer_norm.default, row, [size], *repeated, eps)
        self._becomes(node, aten.reshape.default, normed, list(shape))

    def _repeated(self, value: Node, pixels: int, node: Node) -> Node:
        repeated = constant_value(self.program, value).repeat(pixels)
        return add_buffer(self.program, f"{node.name}_{value.name}", repeated)

    def _two_values(self, node: Node) -> None:
        pair = args(node)[:2]
        if len(shape_of(node)) != 4 or not any(value in self.last for value in pair):
            return
        turned = [self._operand(value, node) for value in pair]
        if all(value is not None for value in turned):
            self._becomes(node, node.target, *turned, *args(node)[2:], **node.kwargs)

    def _operand(self, value: Any, place: Node) -> Any:
        """A number as it is; what has fewer axes with ones in front of them."""
        if not isinstance(value, Node):
            return value
        rank = len(shape_of(value))
        if rank == 4:
            return self._of(value, place)
        if rank == 0:
            return value
        shape = [*[1] * (4 - rank), *shape_of(value)]
        whole = call_before(self.graph, place, aten.view.default, value, shape)
        return call_before(self.graph, place, aten.permute.default, whole, TO_LAST)

    def _joined(self, node: Node) -> None:
        parts = args(node)[0]
        axis = args(node)[1] if len(args(node)) > 1 else 0
        if len(shape_of(node)) == 4 and any(part in self.last for part in parts):
            turned = [self._of(part, node) for part in parts]
            self._becomes(node, aten.cat.default, turned, TO_LAST.index(axis % 4))

    def _pad(self, node: Node) -> None:
        x, amounts, *rest = args(node)
        before = all(is_call(user, aten.conv2d.default) for user in node.users)
        if len(shape_of(x)) == len(amounts) == 4 and shape_of(x)[0] == 1 and (x in self.last or before):
            self._becomes(node, node.target, self._of(x, node), [0, 0, *amounts], *rest, **node.kwargs)

    def _mean(self, node: Node) -> None:
        x, axes, *rest = args(node)
        if not axes or node.kwargs:
            return
        turned = [TO_LAST.index(axis % 4) for axis in axes]
        if rest and rest[0]:
            self._becomes(node, aten.mean.dim, self.last[x], turned, True)
        elif 1 not in {axis % 4 for axis in axes}:  # the order of what is left stays
            mean = call_before(self.graph, node, aten.mean.dim, self.last[x], turned)
            if {axis % 4 for axis in axes} == {2, 3}:
                node.replace_all_uses_with(mean)

    def _leaves(self, node: Node) -> None:
        """What turns an image, or makes rows of its pixels, reads the form with channels last."""
        x = args(node)[0]
        image = self.last[x]
        batch, channels, height, width = shape_of(x)
        shape = shape_of(node)
        if is_call(node, aten.permute.default):
            order = [TO_LAST.index(axis % 4) for axis in args(node)[1]]
            node.replace_all_uses_with(
                call_before(self.graph, node, aten.permute.default, image, order)
                if order != [0, 1, 2, 3]
                else image
            )
        elif is_call(
            node, aten.view.default, aten.reshape.default, aten.flatten.using_ints, aten.squeeze.dim
        ):
            pixels = height * width
            if shape == (batch, channels, pixels):
                rows = call_before(self.graph, node, aten.reshape.default, image, [batch, pixels, channels])
                node.replace_all_uses_with(
                    call_before(self.graph, node, aten.permute.default, rows, [0, 2, 1])
                )
            elif pixels == 1 and shape == (batch, channels):
                node.replace_all_uses_with(
                    call_before(self.graph, node, aten.reshape.default, image, list(shape))
                )


def cancel_turns(program: ExportedProgram) -> None:
    """permute(permute(x)) -> one permute, or x; the same of transposes."""
    for node in list(program.graph.nodes):
        order = _order_of(node)
        if order is None or _is_front(node, order):
            continue
        first = _order_of(args(node)[0])
        if first is None or _is_back(args(node)[0]):
            continue
        source = args(args(node)[0])[0]
        both = [first[axis] for axis in order]
        if both == list(range(len(both))):
            node.replace_all_uses_with(source)
        else:
            node.replace_all_uses_with(call_before(program.graph, node, aten.permute.default, source, both))


def _is_front(node: Node, order: list[int]) -> bool:
    """Whether a convolution or a pool reads the node: quantization takes it together with its turns."""
    return order == TO_FIRST and any(is_call(user, aten.conv2d.default, *POOLS) for user in node.users)


def _is_back(node: Node) -> bool:
    """The same of the turn behind one."""
    return is_call(args(node)[0], aten.conv2d.default, *POOLS)


def _order_of(node: object) -> list[int] | None:
    return axes_of_turn(node) if is_call(node, *TURNS) else None
