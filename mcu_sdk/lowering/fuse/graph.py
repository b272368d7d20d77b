"""Small tools for rewriting the graph of an ExportedProgram and keeping its signature true to it."""

from __future__ import annotations

import operator
from collections.abc import Container, Iterable, Iterator
from typing import Any, TypeGuard, TypeVar

import torch
from torch._guards import detect_fake_mode
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, OutputKind, OutputSpec, TensorArgument
from torch.fx import Graph, Node

from mcu_sdk.operators.table import Operator, find

aten = torch.ops.aten
Value = TypeVar("Value")

SAME_BYTES = {
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.squeeze.default,
    aten.squeeze.dims,
    aten.flatten.using_ints,
    aten.alias.default,
    aten.clone.default,
    aten.detach.default,
    aten.contiguous.default,
    aten.lift_fresh_copy.default,
}
"""Operators that, on a contiguous input, keep the bytes as they are."""
TURNS = (aten.transpose.int, aten.permute.default)
MOVES = (*SAME_BYTES, *TURNS)
"""Views and turned axes: every element once."""
CARRIES = (*MOVES, aten.expand.default, aten._to_copy.default)
"""The same values, be they repeated or of another type."""


def is_call(node: object, *targets: Any) -> TypeGuard[Node]:
    """Whether `node` is a call of one of these operator overloads."""
    return isinstance(node, Node) and node.op == "call_function" and node.target in targets


def behind(node: Value, *targets: Any) -> Value:
    """What a value was before calls of these operators, each of which takes it as its first argument."""
    while is_call(node, *targets):
        node = args(node)[0]
    return node


def readers_of(node: Node) -> Iterator[Node]:
    """What reads a value, moves looked through."""
    for user in node.users:
        if is_call(user, *MOVES):
            yield from readers_of(user)
        else:
            yield user


def operator_row(node: Node) -> Operator | None:
    """What operators/table knows of the operator that a node calls."""
    schema = getattr(node.target, "_schema", None)
    if node.op != "call_function" or schema is None:
        return None
    return find(schema.name, schema.overload_name)


def args(node: Node) -> tuple[Any, ...]:
    """A node's positional arguments, without the type of everything that a graph can hold."""
    return node.args


def shape_of(node: Node) -> tuple[int, ...]:
    """The shape of the node's value; () for a scalar, and for something that is no tensor."""
    value = node.meta.get("val")
    return tuple(int(size) for size in value.shape) if isinstance(value, torch.Tensor) else ()


def dtype_of(node: Node) -> torch.dtype | None:
    value = node.meta.get("val")
    return value.dtype if isinstance(value, torch.Tensor) else None


_CONSTANTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def constant_name(program: ExportedProgram, node: Node) -> str | None:
    """The name of the parameter, buffer or constant behind a placeholder, or None for anything else.

    The signature's own tables are made anew at each look, which large models would feel.
    """
    if node.op != "placeholder":
        return None
    for spec in program.graph_signature.input_specs:
        if getattr(spec.arg, "name", None) == node.name:
            return spec.target if spec.kind in _CONSTANTS else None
    return None


def is_constant(program: ExportedProgram, node: Node) -> bool:
    """Whether the node is a parameter, buffer or constant that no step changes."""
    name = constant_name(program, node)
    return name is not None and name not in program.graph_signature.buffers_to_mutate.values()


def constant_value(program: ExportedProgram, node: Node) -> torch.Tensor:
    """The tensor behind a placeholder of a parameter, buffer or constant."""
    name = constant_name(program, node)
    assert name is not None, node
    value = program.state_dict[name] if name in program.state_dict else program.constants[name]
    assert isinstance(value, torch.Tensor)
    return value.detach()


def add_buffer(program: ExportedProgram, name: str, value: torch.Tensor) -> Node:
    """A new constant `value` under a name made unique from `name`; returns its placeholder."""
    taken = set(program.state_dict) | set(program.constants)
    unique, count = name, 1
    while unique in taken:
        unique, count = f"{name}_{count}", count + 1
    graph, signature = program.graph, program.graph_signature
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    place = next(i for i, s in enumerate(signature.input_specs) if s.kind == InputKind.USER_INPUT)
    fake_mode = detect_fake_mode([n.meta["val"] for n in placeholders if "val" in n.meta])
    assert fake_mode is not None
    with graph.inserting_before(placeholders[place]):  # in the order of the signature
        node: Node = graph.placeholder("b_" + unique.replace(".", "_"))
    node.meta["val"] = fake_mode.from_tensor(value, static_shapes=True)
    spec = InputSpec(InputKind.BUFFER, TensorArgument(node.name), unique, persistent=True)
    signature.input_specs.insert(place, spec)
    program.state_dict[unique] = value
    return node


def mutate_buffer(program: ExportedProgram, buffer: Node, update: Node) -> None:
    """Declare that each step leaves the value of `update` in `buffer` (a placeholder made by add_buffer)."""
    signature, output = program.graph_signature, program.graph.output_node()
    name = signature.inputs_to_buffers[buffer.name]
    mutations = [s for s in signature.output_specs if s.kind == OutputKind.BUFFER_MUTATION]
    arguments: list[Any] = list(args(output)[0])
    arguments.insert(len(mutations), update)
    output.args = (tuple(arguments),)
    spec = OutputSpec(OutputKind.BUFFER_MUTATION, TensorArgument(update.name), name)
    signature.output_specs.insert(len(mutations), spec)


def replace(graph: Graph, old: Node, target: Any, arguments: tuple[Any, ...]) -> Node:
    """Call `target` in the place of `old`: same users, same meta data (module names among them)."""
    with graph.inserting_before(old):
        new = graph.call_function(target, arguments)
    new.meta = dict(old.meta)
    old.replace_all_uses_with(new)
    return new


def same_bytes_source(node: Node) -> Node:
    """Walk up through views (see SAME_BYTES) and moves of axes of length one to the value they look at."""
    while True:
        moved = is_call(node, *TURNS) and moves_only_ones(node)
        if not (is_call(node, *SAME_BYTES) or moved):
            return node
        source = args(node)[0]
        assert isinstance(source, Node)
        node = source


def axes_of_turn(node: Node) -> list[int]:
    """Of a transpose or permute: for each axis of the result, which one of the source it is."""
    rank = len(shape_of(node))
    if is_call(node, aten.permute.default):
        return [int(axis) % rank for axis in args(node)[1]]
    order = list(range(rank))
    first, second = (int(axis) % rank for axis in args(node)[1:3])
    order[first], order[second] = order[second], order[first]
    return order


def is_turn(node: object, *order: int) -> TypeGuard[Node]:
    """Whether axis n of a transpose or permute is the axis order[n] of its source."""
    return is_call(node, *TURNS) and axes_of_turn(node) == list(order)


def moves_only_ones(node: Node) -> bool:
    """Whether a transpose or permute keeps the order of all axes that are longer than one."""
    source = args(node)[0]
    assert isinstance(source, Node)
    moved = [axis for axis in axes_of_turn(node) if shape_of(source)[axis] != 1]
    return moved == sorted(moved)


def constant_scalar(program: ExportedProgram, argument: object) -> float | None:
    """A Python number, or the value of a one-element constant; None for anything else."""
    if isinstance(argument, (int, float)):
        return float(argument)
    if isinstance(argument, Node) and is_constant(program, argument):
        value = constant_value(program, argument)
        return float(value.item()) if value.numel() == 1 else None
    return None


def either_order(node: Node) -> Iterable[tuple[Any, Any]]:
    """The two arguments of a commutative operator, both ways round."""
    first, second = args(node)[:2]
    return ((first, second), (second, first))


def computes_same(first: object, second: object) -> bool:
    """Whether two arguments are one value, or the same calls of the same values: what a model spells out twice (x - mean)
    is exported twice."""
    pending, seen = [(first, second)], set()
    while pending:
        a, b = pending.pop()
        if a is b or (a, b) in seen:
            continue
        if not isinstance(a, Node) or not isinstance(b, Node):
            if type(a) is not type(b) or a != b:
                return False
            continue
        seen.add((a, b))
        alike = a.op == b.op == "call_function" and a.target == b.target and a.kwargs == b.kwargs
        if not alike or len(a.args) != len(b.args) or _is_random(a):
            return False
        pending += zip(a.args, b.args, strict=True)
    return True


def drop_cumulative_lengths(program: ExportedProgram) -> None:
    """Take off the static cache's int64 length buffers: they are overwritten from the position on each step,
    so the position itself serves."""
    output = program.graph.output_node()
    signature = program.graph_signature
    keep = [
        index
        for index, spec in enumerate(signature.output_specs)
        if not (spec.kind == OutputKind.BUFFER_MUTATION and "cumulative_length" in str(spec.target))
    ]
    output.args = (tuple(args(output)[0][index] for index in keep),)
    signature.output_specs[:] = [signature.output_specs[index] for index in keep]


def tidy(program: ExportedProgram) -> None:
    """Remove dead nodes and unused constants, bring the signature in line, and check the whole."""
    graph, signature = program.graph, program.graph_signature
    graph.eliminate_dead_code()
    inputs = set(signature.user_inputs)
    for node in list(graph.nodes):
        if node.op != "placeholder" or node.users or node.name in inputs:
            continue
        name = constant_name(program, node)
        signature.input_specs[:] = [s for s in signature.input_specs if s.arg.name != node.name]
        graph.erase_node(node)
        if name is not None and not any(s.target == name for s in signature.input_specs):
            program.state_dict.pop(name, None)
            program.constants.pop(name, None)
    for spec, argument in zip(signature.output_specs, args(graph.output_node())[0], strict=True):
        if isinstance(argument, Node):
            spec.arg = TensorArgument(argument.name)
    graph.lint()
    program.graph_module.recompile()
    program.validate()


def evaluate(program: ExportedProgram, node: Node, known: dict[Node, torch.Tensor]) -> torch.Tensor:
    """Compute `node` from constants and from the values in `known` (which is filled on the way)."""
    pending = [node]
    while pending:
        current = pending[-1]
        if current in known:
            pending.pop()
            continue
        if current.op == "placeholder":
            known[current] = constant_value(program, current)
            continue
        missing = [n for n in current.all_input_nodes if n not in known]
        if missing:
            pending.extend(missing)
            continue
        arguments = torch.fx.node.map_arg(args(current), lambda n: known[n])
        keywords = torch.fx.node.map_arg(current.kwargs, lambda n: known[n])
        target = current.target
        assert callable(target)
        known[current] = target(*arguments, **keywords)
        pending.pop()
    return known[node]


def depends_only_on(
    program: ExportedProgram, allowed: Iterable[Node], *, stop: frozenset[Any] = frozenset()
) -> set[Node]:
    """All calls that are computed from constants and the `allowed` nodes alone.

    Mutable buffers count as unknown, except that `copy(buffer, x)` is `x`. Targets in `stop` are never included.
    """
    inside: set[Node] = set(allowed)
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if is_constant(program, node):
                inside.add(node)
        elif node.op == "call_function" and node.target not in stop:
            inputs = node.all_input_nodes
            if is_call(node, aten.copy.default):
                inputs = [n for n in inputs if n is not args(node)[0]]
            if all(n in inside for n in inputs) and not _is_random(node):
                inside.add(node)
    return inside


def needed_by(nodes: Iterable[Node], but: Container[Node] = ()) -> set[Node]:
    """The nodes and all that they are computed from, without `but` and what these alone are computed from."""
    found: set[Node] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node not in found and node not in but:
            found.add(node)
            pending += node.all_input_nodes
    return found


def _is_random(node: Node) -> bool:
    tags = getattr(node.target, "tags", ())
    return node.target is not operator.getitem and torch.Tag.nondeterministic_seeded in tags
