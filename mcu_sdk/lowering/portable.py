"""A step of ExecuTorch's own operators alone: int8 weights as its quantized kernels take them, the rest float32.

Nothing of it is `mcu::`, so that a runtime to which no operator can be added runs it. Weights have a scale for each row,
symmetric, as those of our own operators have; activations and the cache stay float32, for which ExecuTorch's kernels are made.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.fuse.experts import routers_of
from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_name,
    constant_value,
    drop_cumulative_lengths,
    is_call,
    is_constant,
    shape_of,
    tidy,
)
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.normalize import fold_constants, normalize
from mcu_sdk.lowering.fuse.positions import drop_assertions, position_input, resolve_positions
from mcu_sdk.operators.executorch_kernels import RUNTIME, kernels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

GREATEST = 127
"""Of int8 values around 0: -128 is left out."""


def to_portable(program: ExportedProgram, cache_length: int) -> frozenset[str]:
    """Bring a decoder's exported step in place into the form in which each of its calls has a portable kernel: without
    assertions, Conv1D as linears, and what a position alone decides (sines, cosines, learned positions) as rows of tables.

    Returns the names of these tables.
    """
    position = position_input(program)
    assert position is not None
    drop_cumulative_lengths(program)
    drop_assertions(program, position, cache_length)
    normalize(program)
    before = set(program.state_dict)
    resolve_positions(program, position, cache_length)
    tables = frozenset(set(program.state_dict) - before)
    fold_constants(program)
    return tables


def to_int8_weights(program: ExportedProgram, tables: frozenset[str]) -> dict[str, int]:
    """Make in place every linear with a constant weight `quantized_decomposed::mixed_linear`, and every embedding of a
    constant table `quantized_decomposed::embedding_byte`; what is named in `tables` stays as it is, and so does a router, which is
    little and decides everything.

    A table that an embedding and a linear share is stored once. Returns how many linears have int8 weights, and how many not.
    """
    import executorch.kernels.quantized  # noqa: F401  registers the out variants

    import mcu_sdk.operators.reference.of_executorch.quantized_weights  # noqa: F401  and the operators

    decomposed = torch.ops.quantized_decomposed
    graph, rows = program.graph, dict[Node, tuple[Node, Node]]()
    routers = routers_of(graph)

    def int8(weight: Node) -> tuple[Node, Node]:
        if weight not in rows:
            values, scales = _rows_of(constant_value(program, weight))
            kept = add_buffer(program, f"{weight.name}_s8", values)
            rows[weight] = kept, add_buffer(program, f"{weight.name}_scale", scales)
        return rows[weight]

    counts = {"int8_linears": 0, "float_linears": 0}
    for node in list(graph.nodes):
        if is_call(node, aten.embedding.default):
            table, indices = args(node)[:2]
            if _is_matrix(program, table) and constant_name(program, table) not in tables:
                values, scales = int8(table)
                given = (values, scales, None, -GREATEST, GREATEST, indices)
                new = call_before(graph, node, decomposed.embedding_byte.default, *given)
                node.replace_all_uses_with(new)
        elif is_call(node, aten.linear.default):
            x, weight, bias = (*args(node), None)[:3]
            if not _is_matrix(program, weight) or node in routers:
                counts["float_linears"] += 1
                continue
            n, k = shape_of(weight)
            flat = call_before(graph, node, aten.view.default, x, [prod(shape_of(x)[:-1]), k])
            new = call_before(graph, node, decomposed.mixed_linear.default, flat, *int8(weight), None)
            if bias is not None:
                new = call_before(graph, node, aten.add.Tensor, new, bias)
            viewed = call_before(graph, node, aten.view.default, new, [*shape_of(x)[:-1], n])
            node.replace_all_uses_with(viewed)
            counts["int8_linears"] += 1
    tidy(program)
    return counts


def _is_matrix(program: ExportedProgram, node: object) -> bool:
    """Whether it is a float32 matrix that no step changes."""
    if not isinstance(node, Node) or len(shape_of(node)) != 2 or not is_constant(program, node):
        return False
    return constant_value(program, node).dtype == torch.float32


def _rows_of(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """float32[n, k] -> (int8[n, k], float32[n]): each row around 0, its greatest magnitude GREATEST; of zeros, scale 1."""
    greatest = weight.abs().amax(1)
    scales = torch.where(greatest > 0, greatest / GREATEST, 1.0).float()
    values = (weight / scales[:, None]).round().clamp(-GREATEST, GREATEST)
    return values.to(torch.int8).contiguous(), scales


def portable_operators() -> frozenset[str]:
    """What ExecuTorch's portable and quantized kernel libraries register, by the lists that they are generated from:
    "aten::add.out", "quantized_decomposed::mixed_linear.out"."""
    return kernels_of("portable") | kernels_of("quantized")


def check_portable(operators: Sequence[str]) -> None:
    """Raises ModelError for the first operator, by its full name in a .pte, that no kernel library of ExecuTorch has."""
    for operator in operators:
        if operator.partition("::")[0] in RUNTIME or operator in portable_operators():
            continue
        raise ModelError(
            "Operators that ExecuTorch's portable and quantized kernels have were expected (--operators portable); "
            f"{operator} is none of them.",
            hint="Leave --operators out: with this SDK's operators the model may compile.",
        )
