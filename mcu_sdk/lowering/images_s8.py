"""Images in int8 from one operation to the next: convolutions, sums of two images, functions of one value.

As sequence_s8.py in two halves: `annotate_images` tells PT2E which images become int8, `rewrite_images` puts integer
operators in the place of convolutions and sums between them. Both read what fuse/channels_last.py has left.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec

from mcu_sdk.lowering.fuse.channels_last import POOLS, TO_FIRST, TO_LAST
from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    add_buffer,
    args,
    aten,
    constant_value,
    is_call,
    is_turn,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.requantize import clamp_bounds, find_epilogue, multiplier_and_shift, requantization
from mcu_sdk.lowering.sequence_s8 import TABLES

decomposed = torch.ops.quantized_decomposed
mcu = torch.ops.mcu

PADS = (aten.pad.default, aten.constant_pad_nd.default)
SUM_BITS = 20
"""Of cortex_m::quantized_add: its operands are shifted to the left by so many bits before they are scaled."""


# ---- annotation


def annotate_images(model: GraphModule, static: QuantizationSpec, weight: QuantizationSpec) -> None:
    """Annotate, besides what has been annotated, the images that convolutions read and give, and what lies between."""
    marked: set[Node] = set()

    def mark(node: Node) -> None:
        annotation = node.meta.setdefault("quantization_annotation", QuantizationAnnotation(_annotated=True))
        annotation.output_qspec = static
        marked.add(node)

    for node in model.graph.nodes:
        if is_call(node, aten.conv2d.default):
            source, back = _source_of(node), _back_of(node)
            if source is None or back is None or getattr(args(node)[1], "op", "") != "get_attr":
                continue
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map={args(node)[1]: weight}, _annotated=True
            )
            mark(source)
            mark(_behind_clamps(back))
        elif is_call(node, *POOLS):
            source = _source_of(node)
            if source is not None and is_pool_in_int8(node):
                mark(source)
        elif _is_linear_of_pixels(node) or _is_table_of(node, marked) or _is_sum_of(node, marked):
            mark(_behind_clamps(node))


def _is_linear_of_pixels(node: Node) -> bool:
    constant = is_call(node, aten.linear.default) and getattr(args(node)[1], "op", "") == "get_attr"
    return constant and len(shape_of(node)) == 4 and shape_of(node)[0] == 1


def _is_table_of(node: Node, marked: set[Node]) -> bool:
    return is_call(node, *TABLES) and args(node)[0] in marked


def _is_sum_of(node: Node, marked: set[Node]) -> bool:
    if not is_call(node, aten.add.Tensor) or node.kwargs.get("alpha", 1) != 1:
        return False
    first, second = args(node)[:2]
    return first in marked and second in marked and shape_of(first) == shape_of(second)


def _source_of(convolution: Node) -> Node | None:
    """The image with channels last, before padding, that a convolution reads."""
    front = args(convolution)[0]
    if not _is_turn(front, TO_FIRST):
        return None
    source = args(front)[0]
    image = args(source)[0] if _padding_of(source) is not None else source
    assert isinstance(image, Node)
    return image


def _padding_of(node: Node) -> list[int] | None:
    """(top, left, bottom, right) of a padding with zeros alone."""
    if not is_call(node, *PADS):
        return None
    amounts, rest = list(args(node)[1]), args(node)[2:]
    mode = "constant" if node.target == PADS[1] else (rest[0] if rest else "constant")
    value = node.kwargs.get("value", rest[-1] if rest and not isinstance(rest[-1], str) else 0)
    if mode != "constant" or value or len(amounts) != 6 or any(amounts[:2]) or min(amounts) < 0:
        return None
    _, _, left, right, top, bottom = amounts
    return [top, left, bottom, right]


def _back_of(convolution: Node) -> Node | None:
    users = list(convolution.users)
    return users[0] if len(users) == 1 and _is_turn(users[0], TO_LAST) else None


def is_between_turns(convolution: Node) -> bool:
    """Whether a convolution has the form that becomes int8 here."""
    is_one = is_call(convolution, aten.conv2d.default)
    return is_one and _source_of(convolution) is not None and _back_of(convolution) is not None


def _is_turn(node: object, order: list[int]) -> bool:
    """Whether a node turns an image's axes so, be it as a view where only axes of one change places."""
    if is_turn(node, *order):
        return True
    if not is_call(node, *SAME_BYTES):
        return False
    before = shape_of(args(node)[0])
    if len(before) != 4 or shape_of(node) != tuple(before[axis] for axis in order):
        return False
    moved = [axis for axis in order if before[axis] != 1]
    return moved == sorted(moved)


def _behind_clamps(node: Node) -> Node:
    """The last of the clamps that alone read a value, copies between them looked through."""
    while len(node.users) == 1:
        (user,) = node.users
        if clamp_bounds(user) is None and not is_call(user, aten.clone.default):
            break
        node = user
    return node


# ---- rewriting


def rewrite_images(program: ExportedProgram) -> None:
    """Convolutions and sums between int8 images become integer operators."""
    for node in list(program.graph.nodes):
        if is_call(node, aten.conv2d.default):
            _rewrite_convolution(program, node)
        elif is_call(node, *POOLS):
            _rewrite_pool(program, node)
        elif is_call(node, aten.add.Tensor):
            _rewrite_sum(program, node)
    for node in list(program.graph.nodes):
        if is_call(node, decomposed.quantize_per_tensor.default) and _is_dequantized(args(node)[0]):
            _rewrite_change_of_scale(program, node)
        elif is_call(node, decomposed.quantize_per_tensor.default):
            _rewrite_frame(program, node)


def _rewrite_convolution(program: ExportedProgram, node: Node) -> None:
    defaults: list[Any] = [None, [1, 1], [0, 0], [1, 1], 1]
    given: list[Any] = [*args(node), *defaults[len(args(node)) - 2 :]]
    _, weight, bias, stride, padding, dilation, groups = given
    source, back = _source_of(node), _back_of(node)
    if source is None or back is None or not _is_dequantized(source):
        return
    if not is_call(weight, decomposed.dequantize_per_channel.default) or args(weight)[3] != 0:
        return
    epilogue = find_epilogue(back)
    if epilogue is None:
        return
    x, x_scale, x_zero_point = args(source)[:3]
    values, scales = (constant_value(program, value) for value in args(weight)[:2])
    offsets = None if bias is None else constant_value(program, bias)
    rows = values.flatten(1), scales, offsets, float(x_scale)
    constants = requantization(*rows, 0, epilogue.scale)
    if constants is None or requantization(*rows, int(x_zero_point), epilogue.scale) is None:
        return
    depthwise = groups == values.shape[0] == shape_of(source)[3] and groups > 1
    filters = values.permute(1, 2, 3, 0) if depthwise else values.permute(0, 2, 3, 1)
    name = args(weight)[0].name
    pads = _padding_of(args(args(node)[0])[0]) or [0, 0, 0, 0]
    arguments = (
        x,
        add_buffer(program, f"{name}_filters", filters.contiguous()),
        add_buffer(program, f"{name}_bias", constants.bias),
        list(stride),
        [amount + both for amount, both in zip(pads, [*padding, *padding], strict=True)],
        list(dilation),
        -int(x_zero_point),
        epilogue.zero_point,
        add_buffer(program, f"{name}_multiplier", constants.multiplier),
        add_buffer(program, f"{name}_shift", constants.shift),
        epilogue.low,
        epilogue.high,
    )
    target = mcu.depthwise_conv2d_s8.default if depthwise else mcu.conv2d_s8.default
    new = call_before(program.graph, epilogue.quantize, target, *arguments)
    new.meta = {**node.meta, "val": new.meta["val"]}
    epilogue.quantize.replace_all_uses_with(_viewed(program, new, epilogue.quantize))


def _is_dequantized(node: object) -> bool:
    return is_call(node, decomposed.dequantize_per_tensor.default) and args(node)[5] == torch.int8


def _viewed(program: ExportedProgram, new: Node, like: Node) -> Node:
    if shape_of(new) == shape_of(like):
        return new
    return call_before(program.graph, like, aten.view.default, new, list(shape_of(like)))


def _rewrite_sum(program: ExportedProgram, node: Node) -> None:
    """q(clamp(dq(a) + dq(b))) -> cortex_m::quantized_add."""
    pair = args(node)[:2]
    if node.kwargs.get("alpha", 1) != 1 or not all(_is_dequantized(value) for value in pair):
        return
    epilogue = find_epilogue(node)
    if epilogue is None or shape_of(pair[0]) != shape_of(pair[1]):
        return
    import executorch.backends.cortex_m.passes  # noqa: F401  registers torch.ops.cortex_m

    unit = 2 * max(float(args(value)[1]) for value in pair)
    operands: list[Any] = []
    for value in pair:
        x, scale, zero_point = args(value)[:3]
        operands += [x, int(zero_point), *multiplier_and_shift(float(scale) / unit)]
    multiplier, shift = multiplier_and_shift(unit / (epilogue.scale * (1 << SUM_BITS)))
    if shift > 0:
        return
    arguments = (*operands, epilogue.zero_point, multiplier, shift, epilogue.low, epilogue.high)
    target = torch.ops.cortex_m.quantized_add.default
    new = call_before(program.graph, epilogue.quantize, target, *arguments)
    new.meta = {**node.meta, "val": new.meta["val"]}
    epilogue.quantize.replace_all_uses_with(_viewed(program, new, epilogue.quantize))


def is_pool_in_int8(pool: Node) -> bool:
    """Whether a pool has the form that becomes int8 here."""
    return not pool_refused(pool)


def pool_refused(pool: Node) -> str:
    """How a pool would have to be to become int8; "" where it does."""
    source = _source_of(pool)
    if source is None or _back_of(pool) is None:
        return "of [1, channels, height, width] or [1, channels, length]"
    found = _pool_arguments(pool)
    if found["ceil_mode"] and not is_call(pool, aten.max_pool2d.default):
        return "whose windows all end within the image (ceil_mode=False)"
    if found.get("divisor_override") is not None:
        return "that divide by what they sum (no divisor_override)"
    if found.get("count_include_pad", False) and any(found["padding"]):
        return "that leave padding out (count_include_pad=False)"
    return ""


def _pool_arguments(pool: Node) -> dict[str, Any]:
    """The arguments behind the image by their names in the schema."""
    schema = pool.target._schema.arguments  # type: ignore[union-attr]
    defaults = {each.name: each.default_value for each in schema if each.has_default_value()}
    return {**defaults, **dict(zip((each.name for each in schema), args(pool), strict=False)), **pool.kwargs}


def _pool(node: Node) -> tuple[list[int], list[int], list[int], list[int]] | None:
    """(size, stride, padding, dilation) of a pool of which there is an int8 form; None for another."""
    if pool_refused(node):
        return None
    found = _pool_arguments(node)
    size = list(found["kernel_size"])
    return size, list(found["stride"] or size), list(found["padding"]), list(found.get("dilation", [1]))


def _rewrite_pool(program: ExportedProgram, node: Node) -> None:
    """The pool of dq(x) is dq of a pool of x: the scale stays."""
    source, back, window = _source_of(node), _back_of(node), _pool(node)
    if source is None or back is None or window is None or not _is_dequantized(source):
        return
    x, scale, zero_point, *rest = args(source)
    size, stride, padding, dilation = (value * 2 if len(value) == 1 else value for value in window)
    before = _padding_of(args(args(node)[0])[0])
    if before is not None:
        x = _padded(program, back, x, before, int(zero_point))
    reach = [step * (side - 1) + 1 for step, side in zip(dilation, size, strict=True)]
    ends = [
        (outputs - 1) * step + last - 2 * around - inputs
        for outputs, step, last, around, inputs in zip(
            shape_of(node)[2:], stride, reach, padding, shape_of(x)[1:3], strict=True
        )
    ]
    if max(ends) > 0:  # of windows that end behind the image (ceil_mode): the least value decides nothing
        x = _padded(program, back, x, [0, 0, *(max(0, end) for end in ends)], -128)
    if node.target == aten.max_pool2d.default:
        pooled = call_before(
            program.graph, back, mcu.max_pool2d_s8.default, x, size, stride, padding, dilation
        )
    else:
        numbers = int(zero_point), float(scale)
        pooled = call_before(
            program.graph, back, mcu.avg_pool2d_s8.default, x, size, stride, padding, *numbers
        )
    pooled.meta = {**node.meta, "val": pooled.meta["val"]}
    target = decomposed.dequantize_per_tensor.default
    real = call_before(program.graph, back, target, pooled, scale, zero_point, *rest)
    back.replace_all_uses_with(real)


def _padded(program: ExportedProgram, place: Node, image: Node, amounts: list[int], value: int) -> Node:
    """An int8 image with as much around it: (top, left, bottom, right)."""
    top, left, bottom, right = amounts
    around = [0, 0, left, right, top, bottom]
    return call_before(program.graph, place, aten.constant_pad_nd.default, image, around, value)


def _rewrite_change_of_scale(program: ExportedProgram, quantize: Node) -> None:
    """q(dq(x)) -> x, or a table of 256 values where the scales differ."""
    x, scale, zero_point, *_ = args(args(quantize)[0])
    if args(quantize)[1:6] == args(args(quantize)[0])[1:6]:
        quantize.replace_all_uses_with(x)
        return
    if args(quantize)[5] != torch.int8:
        return
    values = (torch.arange(-128, 128) - int(zero_point)).float() * torch.tensor(float(scale))
    table = decomposed.quantize_per_tensor.default(values, *args(quantize)[1:])
    buffer = add_buffer(program, f"{quantize.name}_table", table)
    new = call_before(program.graph, quantize, mcu.lookup_s8.default, x, buffer)
    quantize.replace_all_uses_with(new)


def _rewrite_frame(program: ExportedProgram, quantize: Node) -> None:
    """q of a frame's image, whose values stand in a table: the table's numbers are quantized. What turns the image around
    between them does so in int8."""
    turns: list[Node] = []
    image = args(quantize)[0]
    while is_call(image, *SAME_BYTES, aten.permute.default, aten.clone.default) and len(image.users) == 1:
        turns.append(image)
        image = args(image)[0]
    if not is_call(image, operator.getitem) or not is_call(args(image)[0], mcu.resize_frame.default):
        return
    frame, *tables, table, ring, rows_first = args(args(image)[0])
    values = constant_value(program, table)
    if values.dtype != torch.float32 or args(quantize)[5] != torch.int8:
        return
    numbers = decomposed.quantize_per_tensor.default(values, *args(quantize)[1:])
    buffer = add_buffer(program, f"{quantize.name}_table", numbers)
    arguments = (frame, *tables, buffer, ring, rows_first)
    new = call_before(program.graph, quantize, mcu.resize_frame.default, *arguments)
    new = call_before(program.graph, quantize, operator.getitem, new, 0)
    for turn in reversed(turns):
        new = call_before(program.graph, quantize, turn.target, new, *args(turn)[1:], **turn.kwargs)
    quantize.replace_all_uses_with(new)
