"""Bring an exported step into a plainer form before patterns are matched: assertions go, axes of length one
are not transposed, Conv1D becomes linear, constants are folded."""

from __future__ import annotations

import operator

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    TURNS,
    add_buffer,
    args,
    aten,
    constant_value,
    depends_only_on,
    dtype_of,
    evaluate,
    is_call,
    is_constant,
    moves_only_ones,
    replace,
    shape_of,
    tidy,
)
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.windows import choose_windows


def normalize(program: ExportedProgram) -> None:
    """Rewrite in place; the function computed stays the same, bit for bit but for folded constants."""
    _resolve_length_copies(program)
    _drop_no_ops(program)
    _drop_idle_masks(program)
    _addmm_to_linear(program)
    _matmul_to_linear(program)
    _spell_out_expm1(program)
    _spell_out_log1p(program)
    _spell_out_softplus(program)
    _max_to_parts(program)
    _clamp_to_extrema(program)
    _put_to_where(program)
    _count_as_integers(program)
    _split_to_slices(program)
    choose_windows(program)
    tidy(program)
    fold_constants(program)


def _resolve_length_copies(program: ExportedProgram) -> None:
    """`copy(buffer, x)` is x where the types agree and the shapes can be viewed as each other."""
    graph = program.graph
    for node in list(graph.nodes):
        if is_call(node, aten.copy.default):
            source = args(node)[1]
            assert isinstance(source, Node)
            if dtype_of(source) == dtype_of(node) and shape_of(source) == shape_of(node):
                node.replace_all_uses_with(source)


def _drop_no_ops(program: ExportedProgram) -> None:
    graph = program.graph
    for node in list(graph.nodes):
        if is_call(node, aten._assert_tensor_metadata.default):
            graph.erase_node(node)
            continue
        if node.op != "call_function" or not args(node) or not isinstance(args(node)[0], Node):
            continue
        source = args(node)[0]
        same = shape_of(node) == shape_of(source) and dtype_of(node) == dtype_of(source)
        if is_call(node, *TURNS) and moves_only_ones(node):
            replace(graph, node, aten.view.default, (source, list(shape_of(node))))
            graph.erase_node(node)
        elif same and _keeps_its_input(node):
            node.replace_all_uses_with(source)
            graph.erase_node(node)
        elif is_call(node, *SAME_BYTES) and node.target != aten.view.default and not _is_scattered(source):
            replace(graph, node, aten.view.default, (source, list(shape_of(node))))
            graph.erase_node(node)


def _drop_idle_masks(program: ExportedProgram) -> None:
    """masked_fill(x, mask, value) is x where the mask is known to hide nothing, as SEW-D's of sounds without padding."""
    graph = program.graph
    constant = depends_only_on(program, ())
    for node in list(graph.nodes):
        if not is_call(node, aten.masked_fill.Scalar, aten.masked_fill.Tensor):
            continue
        x, mask = args(node)[:2]
        if mask in constant and shape_of(x) == shape_of(node) and not bool(evaluate(program, mask, {}).any()):
            node.replace_all_uses_with(x)
            graph.erase_node(node)


def is_expanded(node: Node) -> bool:
    """Whether the value is (a view of) an expand: not contiguous, so a clone of it is a real copy."""
    while is_call(node, *SAME_BYTES, aten.expand.default):
        if node.target == aten.expand.default:
            return True
        source = args(node)[0]
        assert isinstance(source, Node)
        node = source
    return False


def _keeps_its_input(node: Node) -> bool:
    """Whether a call returns what it was given, knowing that shapes and types are the same."""
    if is_call(node, aten.slice.Tensor):
        step = args(node)[4] if len(args(node)) > 4 else 1
        return step == 1
    return is_call(
        node,
        *SAME_BYTES,
        aten._to_copy.default,
        aten.to.dtype,
        aten.type_as.default,
        aten.expand.default,
        aten.dropout.default,
        aten.to.dtype_layout,
        aten.to.device,
    ) and not (node.target == aten.clone.default and _is_scattered(args(node)[0]))


def _is_scattered(node: Node) -> bool:
    """Whether the value's elements do not lie in its own order (an expand, turned axes): a clone of it is a real copy."""
    value = node.meta.get("val")
    return is_expanded(node) or (isinstance(value, torch.Tensor) and not value.is_contiguous())


def _addmm_to_linear(program: ExportedProgram) -> None:
    """GPT-2's Conv1D keeps its weight as [in, out]: transpose it once, here."""
    graph = program.graph
    for node in list(graph.nodes):
        if is_call(node, aten.addmm.default) and not node.kwargs:
            bias, x, weight = args(node)
        elif is_call(node, aten.mm.default):
            (x, weight), bias = args(node), None
        else:
            continue
        assert isinstance(weight, Node)
        if not is_constant(program, weight):
            continue
        if isinstance(bias, Node) and len(shape_of(bias)) != 1:
            continue
        transposed = constant_value(program, weight).t().contiguous()
        buffer = add_buffer(program, weight.name + "_t", transposed)
        arguments = (x, buffer) if bias is None else (x, buffer, bias)
        replace(graph, node, aten.linear.default, arguments)
        graph.erase_node(node)


def _matmul_to_linear(program: ExportedProgram) -> None:
    """A product with a constant [in, out] is a linear, whose weight is that turned."""
    graph = program.graph
    constant = depends_only_on(program, ())
    for node in list(graph.nodes):
        if not is_call(node, aten.matmul.default, aten.mm.default):
            continue
        x, weight = args(node)
        if weight not in constant or len(shape_of(weight)) != 2 or x in constant or len(shape_of(x)) < 2:
            continue
        turned = is_call(weight, aten.t.default, *TURNS)
        source = args(weight)[0] if turned else None
        if not (isinstance(source, Node) and source.op == "placeholder"):
            value = evaluate(program, weight, {}).t().contiguous()
            source = add_buffer(program, f"{weight.name}_t", value)
        replace(graph, node, aten.linear.default, (x, source))
        graph.erase_node(node)


def _spell_out_expm1(program: ExportedProgram) -> None:
    """e^x - 1 as exp and a difference, which there are kernels for."""
    graph = program.graph
    for node in list(graph.nodes):
        if is_call(node, aten.expm1.default):
            with graph.inserting_before(node):
                power = graph.call_function(aten.exp.default, (args(node)[0],))
            power.meta = dict(node.meta)
            replace(graph, node, aten.sub.Tensor, (power, 1.0))
            graph.erase_node(node)


def _spell_out_log1p(program: ExportedProgram) -> None:
    """log(1 + x) as a sum and log: what is lost of a small x is less than what a float of 1 + x has."""
    graph = program.graph
    for node in list(graph.nodes):
        if is_call(node, aten.log1p.default):
            with graph.inserting_before(node):
                total = graph.call_function(aten.add.Tensor, (args(node)[0], 1.0))
            total.meta = dict(node.meta)
            replace(graph, node, aten.log.default, (total,))
            graph.erase_node(node)


def _spell_out_softplus(program: ExportedProgram) -> None:
    """log(1 + e^x) as max(x, 0) + log(1 + e^-|x|), which no x is too large for."""
    graph = program.graph
    for node in list(graph.nodes):
        if not is_call(node, aten.softplus.default) or (*args(node), 1)[1] != 1:
            continue
        x = args(node)[0]
        negative = call_before(graph, node, aten.neg.default, call_before(graph, node, aten.abs.default, x))
        power = call_before(graph, node, aten.exp.default, negative)
        small = call_before(
            graph, node, aten.log.default, call_before(graph, node, aten.add.Tensor, power, 1.0)
        )
        replace(graph, node, aten.add.Tensor, (call_before(graph, node, aten.relu.default, x), small))
        graph.erase_node(node)


def _max_to_parts(program: ExportedProgram) -> None:
    """The greatest of a row, and where it is, as two calls with one result each."""
    graph = program.graph
    for node in list(graph.nodes):
        if not is_call(node, aten.max.dim):
            continue
        x, axis, keeps = (*args(node), False)[:3]
        for user in list(node.users):
            given = (x, [axis], keeps) if args(user)[1] == 0 else (x, axis, keeps)
            replace(graph, user, aten.amax.default if args(user)[1] == 0 else aten.argmax.default, given)
            graph.erase_node(user)


def _clamp_to_extrema(program: ExportedProgram) -> None:
    """Within limits that are tensors: the greater of x and one, the smaller of that and the other."""
    graph = program.graph
    for node in list(graph.nodes):
        if not is_call(node, aten.clamp.Tensor):
            continue
        value, low, high = (*args(node), None)[:3]
        for target, limit in ((aten.maximum.default, low), (aten.minimum.default, high)):
            if limit is not None:
                value = call_before(graph, node, target, value, limit)
        node.replace_all_uses_with(value)
        graph.erase_node(node)


def _put_to_where(program: ExportedProgram) -> None:
    """x[mask] = number, of a mask as large as x, as a choice for each element."""
    graph = program.graph
    for node in list(graph.nodes):
        if not is_call(node, aten.index_put.default) or any(args(node)[3:]):
            continue
        x, masks, value = args(node)[:3]
        mask = masks[0] if len(masks) == 1 else None
        if mask is None or dtype_of(mask) != torch.bool or shape_of(mask) != shape_of(x):
            continue
        if shape_of(value) == () and dtype_of(value) == dtype_of(x):
            replace(graph, node, aten.where.self, (mask, value, x))
            graph.erase_node(node)


def _count_as_integers(program: ExportedProgram) -> None:
    """How many of some booleans are true: the sum of as many int64, which there is a kernel for."""
    for node in list(program.graph.nodes):
        if is_call(node, aten.sum.dim_IntList, aten.sum.default) and dtype_of(args(node)[0]) == torch.bool:
            x = args(node)[0]
            integers = call_before(program.graph, node, aten._to_copy.default, x, dtype=torch.int64)
            node.replace_input_with(x, integers)


def _split_to_slices(program: ExportedProgram) -> None:
    """split, chunk and unbind return lists; slices say the same with one value each."""
    graph = program.graph
    for node in list(graph.nodes):
        if is_call(node, aten.unbind.int):
            axis = args(node)[1] if len(args(node)) > 1 else node.kwargs.get("dim", 0)
            for user in list(node.users):
                replace(graph, user, aten.select.int, (args(node)[0], axis, args(user)[1]))
                graph.erase_node(user)
            continue
        if not is_call(node, aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default):
            continue
        axis = args(node)[2] if len(args(node)) > 2 else node.kwargs.get("dim", 0)
        values = node.meta["val"]
        starts = [0]
        for value in values:
            starts.append(starts[-1] + int(value.shape[axis]))
        for user in list(node.users):
            if user.target is not operator.getitem:
                continue
            index = args(user)[1]
            assert isinstance(index, int)
            replace(graph, user, aten.slice.Tensor, (args(node)[0], axis, starts[index], starts[index + 1]))
            graph.erase_node(user)


def fold_constants(program: ExportedProgram) -> None:
    """Compute what depends on constants alone, once; but for rows of a table, which take less room there, as int8."""
    graph = program.graph
    inside = depends_only_on(program, (), stop=frozenset({aten.embedding.default}))
    known: dict[Node, torch.Tensor] = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or node not in inside:
            continue
        needed = any(user not in inside or user.op == "output" for user in node.users)
        if not needed or not isinstance(node.meta.get("val"), torch.Tensor):
            continue
        value = evaluate(program, node, known).detach().clone().contiguous()
        buffer = add_buffer(program, f"folded_{node.name}", value)
        node.replace_all_uses_with(buffer)
    tidy(program)
