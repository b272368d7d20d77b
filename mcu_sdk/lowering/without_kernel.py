"""Operators that nothing becomes int8 of and that have no kernel: refused before a module is calibrated and lowered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.fuse.channels_last import POOLS
from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    args,
    aten,
    depends_only_on,
    dtype_of,
    is_call,
    is_constant,
    needed_by,
    shape_of,
)
from mcu_sdk.lowering.images_s8 import is_between_turns, is_pool_in_int8, pool_refused
from mcu_sdk.lowering.module_path import module_path
from mcu_sdk.lowering.sequence_s8 import TABLES

CONVOLUTION = "a convolution"
POOL = "a pool"
WITHOUT = {
    "conv1d": CONVOLUTION,
    "conv2d": CONVOLUTION,
    "conv3d": "a convolution over three axes",
    "convolution": CONVOLUTION,
    "conv_transpose1d": "a transposed convolution",
    "conv_transpose2d": "a transposed convolution",
    "conv_transpose3d": "a transposed convolution",
    "max_pool1d": POOL,
    "max_pool2d": POOL,
    "avg_pool1d": POOL,
    "avg_pool2d": POOL,
    "max_pool1d_with_indices": "a pool that gives places, too,",
    "max_pool2d_with_indices": "a pool that gives places, too,",
    "max_pool3d": "a pool over three axes",
    "max_pool3d_with_indices": "a pool over three axes",
    "avg_pool3d": "a pool over three axes",
    "adaptive_avg_pool1d": "a pool to several values of a channel",
    "adaptive_avg_pool2d": "a pool to several values of a channel",
    "adaptive_avg_pool3d": "a pool over three axes",
    "adaptive_max_pool1d": "a pool to a number of values",
    "adaptive_max_pool2d": "a pool to a number of values",
    "adaptive_max_pool3d": "a pool over three axes",
    "upsample_bilinear2d": "a bilinear change of size",
    "upsample_bicubic2d": "a bicubic change of size",
    "grid_sampler": "a sampling at computed places",
    "fft_rfft": "a Fourier transform",
    "fft_fft": "a Fourier transform",
    "fft_fft2": "a Fourier transform",
    "fft_fftn": "a Fourier transform",
    "_fft_c2c": "a Fourier transform",
    "_fft_r2c": "a Fourier transform",
    "stft": "a Fourier transform",
}
"""By the operator's name in ATen: what it is, of those that have no kernel in float."""

ATTENTION = aten.scaled_dot_product_attention.default
BOTH_WAYS = (
    aten.linear.default,
    aten.embedding.default,
    aten.matmul.default,
    aten.bmm.default,
    aten.softmax.int,
    aten._softmax.default,
    ATTENTION,
    *TABLES,
    *MOVES,
)
"""What has an int8 form or a float one, be it decomposed: which it takes, quantization decides."""

WhyNot = Callable[[ExportedProgram, Node], str | None]
"""What there is against a call of ATen, or None (recipes/kernels.py)."""


def _read_by_assertions_alone(program: ExportedProgram) -> set[Node]:
    """What no output needs: models check the lengths that they are given, which lowering drops."""
    return set(program.graph.nodes) - needed_by([program.graph.output_node()])


def refuse_without_kernel(program: ExportedProgram, activations: str, why_not: WhyNot) -> None:
    """Raises ModelError for the first operator of a fused program that `generate` would refuse in the end."""
    passed = depends_only_on(program, ()) | _masks_alone(program) | _read_by_assertions_alone(program)
    asked: dict[Any, str | None] = {}
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None or not schema.name.startswith("aten::"):
            continue
        name = schema.name.removeprefix("aten::")
        if name in WITHOUT:
            if not _becomes_int8(program, node, activations):
                raise _refusal(f"{WITHOUT[name]} (aten::{name} of {_shapes(node)})", "", node, activations)
        elif node not in passed and not _may_become_int8(node) and not _is_complex(node):
            question = _question(program, node)
            if question not in asked:
                asked[question] = why_not(program, node)
            why = asked[question]
            if why is not None:
                raise _refusal(f"aten::{name} of {_shapes(node)}", f" ({why})", node, activations)


def refuse_changing_shapes(program: ExportedProgram) -> None:
    """Raises ModelError for the first value of an exported program whose shape depends on what other values are."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and not all(isinstance(size, int) for size in value.shape):
            raise ModelError(
                f"Shapes that are known before it runs were expected; that of what {node.target} gives{_where(node)} depends on "
                "the values of tensors.",
                hint="Memory is planned once: take a fixed number of elements, as with a mask, torch.where or topk.",
            )


def refuse_complex(program: ExportedProgram) -> None:
    """Raises ModelError for the first value of a fused program that is of complex numbers, which no kernel takes."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op != "call_function" or not isinstance(value, torch.Tensor) or not value.is_complex():
            continue
        raise ModelError(
            f"Real numbers were expected; complex ones are computed ({node.target} gives {list(value.shape)})"
            f"{_where(node)}, and there are no kernels for them.",
            hint="Rotary embeddings that turn pairs of real numbers have kernels: change the model's code to these.",
        )


def _masks_alone(program: ExportedProgram) -> set[Node]:
    """What is computed for the masks of attention over a whole sequence alone: some of it its int8 form has no use for."""
    found: set[Node] = set()
    for node in reversed(program.graph.nodes):
        if (
            node.op == "call_function"
            and node.users
            and all(
                user in found or (is_call(user, ATTENTION) and node not in args(user)[:3])
                for user in node.users
            )
        ):
            found.add(node)
    return found


def _may_become_int8(node: Node) -> bool:
    return is_call(node, *BOTH_WAYS) and dtype_of(node) == torch.float32


def _is_complex(node: Node) -> bool:
    values = (each.meta.get("val") for each in (node, *node.all_input_nodes))
    return any(isinstance(value, torch.Tensor) and value.is_complex() for value in values)


def _question(program: ExportedProgram, node: Node) -> Any:
    """What the answer depends on: the operator, its numbers, and types and shapes; constants are each a question of its own."""

    def described(given: Node) -> str:
        if is_constant(program, given):
            return given.name
        return f"{dtype_of(given)}{shape_of(given)}"

    arguments = torch.fx.node.map_arg((node.args, node.kwargs), described)
    return node.target, repr(arguments)


def _becomes_int8(program: ExportedProgram, node: Node, activations: str) -> bool:
    if activations != "static":
        return False
    if is_call(node, *POOLS):
        return is_pool_in_int8(node)
    weight = args(node)[1] if len(args(node)) > 1 else None
    return isinstance(weight, Node) and is_constant(program, weight) and is_between_turns(node)


def _shapes(node: Node) -> str:
    return ", ".join(str(list(shape_of(value))) for value in node.all_input_nodes[:2])


def _where(node: Node) -> str:
    where = module_path(node)
    return f" in {where}" if where else ""


def _refusal(what: str, why: str, node: Node, activations: str) -> ModelError:
    return ModelError(
        f"Operators that there are kernels for were expected; {what}{_where(node)} has none{why}.",
        hint=_advice(node, activations),
    )


def _advice(node: Node, activations: str) -> str:
    name = node.target._schema.name.removeprefix("aten::")  # type: ignore[union-attr]
    kind, shape = WITHOUT.get(name), shape_of(node)
    if kind in (CONVOLUTION, POOL) and activations != "static":
        kinds = "Convolutions" if kind == CONVOLUTION else "Pools"
        return f'{kinds} are int8 at calibrated scales: take activations="static".'
    if kind in (CONVOLUTION, POOL) and len(shape) == (3 if name.endswith("1d") else 4) and shape[0] != 1:
        return "There are kernels for one image at a time: give an example with a first axis of 1."
    if kind == CONVOLUTION:
        return "There are kernels for one and two axes, constant weights and as much padding on both sides."
    if kind == POOL:
        return f"There are kernels for pools of one and two axes {pool_refused(node)}."
    return "docs/operators.md lists what is covered: change the model, or lower it differently and pass it with --pte."
