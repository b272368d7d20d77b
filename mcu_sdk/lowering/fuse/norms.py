"""RMSNorm as models spell it out -> mcu::rms_norm; LayerNorm -> mcu::layer_norm."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    computes_same,
    constant_scalar,
    either_order,
    is_call,
    is_constant,
    replace,
    shape_of,
    tidy,
)
from mcu_sdk.lowering.fuse.new_node import call_before

mcu = torch.ops.mcu


def fuse_rms_norm(program: ExportedProgram) -> int:
    """weight * (x * rsqrt(mean(x^2) + eps)), in any order of factors; returns how many there were.

    A weight such as Gemma's 1 + w must have been folded to one constant before.
    """
    count = 0
    _multiply_by_roots(program)
    for node in list(program.graph.nodes):
        match = _match_rms_norm(program, node)
        if match is not None:
            replace(program.graph, node, mcu.rms_norm.default, match)
            count += 1
    return count + _fuse_without_weight(program)


def _multiply_by_roots(program: ExportedProgram) -> None:
    """x / sqrt(mean(x^2) + eps) -> x * rsqrt(mean(x^2) + eps), as I-BERT's norms need it."""
    for node in list(program.graph.nodes):
        if not is_call(node, aten.div.Tensor) or not is_call(args(node)[1], aten.sqrt.default):
            continue
        x, root = args(node)[:2]
        if _eps_of_mean_square(program, args(root)[0], x) is not None:
            inverse = call_before(program.graph, node, aten.rsqrt.default, args(root)[0])
            replace(program.graph, node, aten.mul.Tensor, (x, inverse))


def _fuse_without_weight(program: ExportedProgram) -> int:
    """x * rsqrt(mean(x^2) + eps) alone has a weight of ones."""
    count = 0
    tidy(program)
    ones: dict[int, Node] = {}
    for node in list(program.graph.nodes):
        if not is_call(node, aten.mul.Tensor):
            continue
        for x, root in either_order(node):
            eps = _eps_of_rsqrt_of_mean_square(program, root, x)
            if eps is not None and shape_of(node) == shape_of(x):
                size = shape_of(x)[-1]
                if size not in ones:
                    ones[size] = add_buffer(program, f"ones_{size}", torch.ones(size))
                replace(program.graph, node, mcu.rms_norm.default, (x, ones[size], eps))
                count += 1
                break
    return count


def fuse_centred(program: ExportedProgram) -> int:
    """An RMSNorm of x - mean(x) is a LayerNorm, as Cohere's models spell it, whose bias is what is added to that alone; returns
    how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, mcu.rms_norm.default) or not is_call(args(node)[0], aten.sub.Tensor):
            continue
        centred, weight, eps = args(node)
        x, mean = args(centred)[:2]
        over_last = (
            is_call(mean, aten.mean.dim) and args(mean)[0] is x and len(args(mean)) > 2 and args(mean)[2]
        )
        if over_last and [axis % len(shape_of(x)) for axis in args(mean)[1]] == [len(shape_of(x)) - 1]:
            whole, bias = _with_bias(program, node)
            if bias is None:
                bias = add_buffer(program, "layer_norm_bias", torch.zeros(shape_of(x)[-1]))
            replace(program.graph, whole, mcu.layer_norm.default, (x, weight, bias, eps))
            count += 1
    return count


def _with_bias(program: ExportedProgram, norm: Node) -> tuple[Node, Node | None]:
    """(norm + bias, the bias), if a constant for each channel is all that the norm is used for; else (norm, None)."""
    total = next(iter(norm.users)) if len(norm.users) == 1 else None
    if is_call(total, aten.add.Tensor) and total.kwargs.get("alpha", 1) == 1:
        for value, bias in either_order(total):
            constant = isinstance(bias, Node) and is_constant(program, bias)
            if value is norm and constant and shape_of(bias) == shape_of(norm)[-1:]:
                return total, bias
    return norm, None


def _match_rms_norm(program: ExportedProgram, node: Node) -> tuple[Node, Node, float] | None:
    if is_call(node, aten.rms_norm.default):
        x, shape, weight, eps = (list(args(node)) + [None] * 4)[:4]
        assert isinstance(x, Node)
        if isinstance(weight, Node) and eps is not None and list(shape) == [shape_of(x)[-1]]:
            return x, weight, float(eps)
        return None
    if not is_call(node, aten.mul.Tensor):
        return None
    for weight, normed in either_order(node):
        if not (
            isinstance(weight, Node) and is_constant(program, weight) and is_call(normed, aten.mul.Tensor)
        ):
            continue
        for x, root in either_order(normed):
            eps = _eps_of_rsqrt_of_mean_square(program, root, x)
            if eps is not None and shape_of(weight) == shape_of(x)[-1:]:
                return x, weight, eps
    return None


def _eps_of_rsqrt_of_mean_square(program: ExportedProgram, root: object, x: object) -> float | None:
    """eps, when `root` is rsqrt(mean(x^2, -1, keepdim) + eps), or the same spelt as a power of -0.5."""
    if not isinstance(x, Node):
        return None
    if not is_call(root, aten.rsqrt.default, aten.pow.Tensor_Scalar):
        return None
    if root.target == aten.pow.Tensor_Scalar and args(root)[1] != -0.5:
        return None
    return _eps_of_mean_square(program, args(root)[0], x)


def _eps_of_mean_square(program: ExportedProgram, total: object, x: object) -> float | None:
    """eps, when `total` is mean(x^2, -1, keepdim) + eps."""
    if not isinstance(x, Node) or not is_call(total, aten.add.Tensor):
        return None
    for mean, constant in either_order(total):
        eps = constant_scalar(program, constant)
        if eps is None or not is_call(mean, aten.mean.dim) or len(args(mean)) < 3 or not args(mean)[2]:
            continue
        if [axis % len(shape_of(x)) for axis in args(mean)[1]] != [len(shape_of(x)) - 1]:
            continue
        square = args(mean)[0]
        as_power = is_call(square, aten.pow.Tensor_Scalar) and args(square)[1] == 2
        as_product = is_call(square, aten.mul.Tensor) and computes_same(*args(square)[:2])
        if as_power or as_product or is_call(square, aten.square.default):
            return eps if computes_same(args(square)[0], x) else None
    return None


def fuse_layer_norm(program: ExportedProgram) -> int:
    """aten.layer_norm over the last axis; a missing weight or bias becomes ones or zeros."""
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, aten.layer_norm.default):
            continue
        x, shape, weight, bias, eps = (list(args(node)) + [None, None, 1e-5][len(args(node)) - 2 :])[:5]
        assert isinstance(x, Node)
        size = shape_of(x)[-1]
        if list(shape) != [size]:
            continue
        if weight is None:
            weight = add_buffer(program, "layer_norm_weight", torch.ones(size))
        if bias is None:
            bias = add_buffer(program, "layer_norm_bias", torch.zeros(size))
        replace(program.graph, node, mcu.layer_norm.default, (x, weight, bias, eps))
        count += 1
    return count
