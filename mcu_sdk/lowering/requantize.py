"""Linears whose result is quantized right away become int8 from end to end: `mcu::linear_s8_requantize`.

PT2E leaves `quantize(relu(linear(dequantize(x), dequantize(w), b)))`, computed in float. Here that is one integer
operator; a clamp between the linear and the quantization becomes the bounds of its result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import SAME_BYTES, add_buffer, args, aten, constant_value, is_call, shape_of

decomposed = torch.ops.quantized_decomposed

INT32 = 2**31 - 1
LARGEST_SHIFT = 31


@dataclass(frozen=True)
class Epilogue:
    """What follows a linear: the node that quantizes, its scale and zero point, and the bounds of the int8 result."""

    quantize: Node
    scale: float
    zero_point: int
    low: int
    high: int


def find_epilogue(linear: Node) -> Epilogue | None:
    """The quantization that is the only use of a linear, looking through clamps and views; None if there is none."""
    bounds: list[tuple[float, float]] = []
    node = linear
    while True:
        if len(node.users) != 1:
            return None
        node = next(iter(node.users))
        clamp = clamp_bounds(node)
        if clamp is not None:
            bounds.append(clamp)
        elif is_call(node, decomposed.quantize_per_tensor.default):
            break
        elif not is_call(node, *SAME_BYTES):
            return None
    _, scale, zero_point, low, high, dtype = args(node)[:6]
    if dtype != torch.int8:
        return None
    for bottom, top in bounds:  # rounding is monotonic: clamping before it is clamping to the rounded bounds
        low = max(low, min(high, _rounded(bottom, scale, zero_point)))
        high = max(low, min(high, _rounded(top, scale, zero_point)))
    return Epilogue(node, float(scale), int(zero_point), int(low), int(high))


def clamp_bounds(node: Node) -> tuple[float, float] | None:
    """(low, high) of a ReLU, a ReLU6, a hard tanh or a clamp by numbers; None for anything else."""
    if is_call(node, aten.relu.default):
        return 0.0, math.inf
    if is_call(node, aten.relu6.default):
        return 0.0, 6.0
    if is_call(node, aten.hardtanh.default, aten.clamp.default):
        low, high = _argument(node, 1), _argument(node, 2)
        low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
        # A clamp whose bounds cross gives the upper one everywhere.
        return float(min(low, high)), float(high)
    return None


def _argument(node: Node, index: int) -> Any:
    """An argument wherever it was given: by place, by name, or not at all."""
    if index < len(args(node)):
        return args(node)[index]
    schema = node.target._schema.arguments[index]  # type: ignore[union-attr]  # an operator overload
    return node.kwargs.get(schema.name, schema.default_value)


def _rounded(bound: float, scale: float, zero_point: int) -> int:
    """The int8 value of a bound; far outside for an infinite one."""
    if math.isinf(bound):
        return int(math.copysign(1 << 30, bound))
    return int(max(-(1 << 30), min(1 << 30, round(bound / scale) + zero_point)))


@dataclass(frozen=True)
class Constants:
    """int32[N] each: what turns a sum of int8 products into an int8 result."""

    bias: torch.Tensor
    multiplier: torch.Tensor
    shift: torch.Tensor


def requantization(
    weight: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
    x_scale: float,
    x_zero_point: int,
    out_scale: float,
) -> Constants | None:
    """The constants for weight int8[N, K], weight_scale float[N], bias float[N] or None.

    The bias takes the input's zero point in: round(bias / (x_scale * weight_scale)) - x_zero_point * sum(weight).
    A factor x_scale * weight_scale / out_scale is multiplier / 2^31 * 2^shift with multiplier in [2^30, 2^31), as
    CMSIS-NN and TFLite have it. None if a sum could leave int32 on the way.
    """
    rows = weight.to(torch.int64)
    unit = weight_scale.to(torch.float64) * x_scale
    offset = -x_zero_point * rows.sum(1)
    if bias is not None:
        offset = offset + torch.round(bias.to(torch.float64) / unit).clamp(-(2.0**40), 2.0**40).to(
            torch.int64
        )
    factors = [multiplier_and_shift(float(factor)) for factor in unit / out_scale]
    if any(shift > LARGEST_SHIFT for _, shift in factors):
        return None
    multiplier = torch.tensor([m for m, _ in factors], dtype=torch.int32)
    shift = torch.tensor([s for _, s in factors], dtype=torch.int32)
    largest = 128 * rows.abs().sum(1) + offset.abs()
    if bool((largest << shift.clamp(min=0).to(torch.int64) > INT32).any()):
        return None
    return Constants(offset.to(torch.int32), multiplier, shift)


def multiplier_and_shift(factor: float) -> tuple[int, int]:
    """factor = multiplier / 2^31 * 2^shift, the multiplier in [2^30, 2^31); (0, 0) for one that is next to nothing."""
    mantissa, exponent = math.frexp(factor)
    multiplier = round(mantissa * (1 << 31))
    if multiplier == 1 << 31:
        multiplier, exponent = 1 << 30, exponent + 1
    return (0, 0) if exponent < -LARGEST_SHIFT else (multiplier, exponent)


def rewrite_requantized(
    program: ExportedProgram, linear: Node, values: Node, scales: Node, bias: Any
) -> bool:
    """Make one integer operator of `linear` and the quantization behind it, if there is one that can be.

    `linear` reads dequantize_per_tensor(x); `values` int8[N, K] and `scales` float32[N] are its weight.
    """
    epilogue = find_epilogue(linear)
    if epilogue is None or not (bias is None or isinstance(bias, Node)):
        return False
    x, x_scale, x_zero_point = args(args(linear)[0])[:3]
    constants = requantization(
        constant_value(program, values),
        constant_value(program, scales),
        None if bias is None else constant_value(program, bias),
        float(x_scale),
        int(x_zero_point),
        epilogue.scale,
    )
    if constants is None:
        return False
    name = values.name
    arguments = (
        x,
        values,
        add_buffer(program, f"{name}_bias", constants.bias),
        add_buffer(program, f"{name}_multiplier", constants.multiplier),
        add_buffer(program, f"{name}_shift", constants.shift),
        epilogue.zero_point,
        epilogue.low,
        epilogue.high,
    )
    graph, quantized = program.graph, epilogue.quantize
    target = torch.ops.mcu.linear_s8_requantize.default
    with graph.inserting_before(quantized):
        new = graph.call_function(target, arguments)
        new.meta = {**linear.meta, "val": target(*_fake(arguments))}
        result = new
        if shape_of(new) != shape_of(quantized):
            shape = list(shape_of(quantized))
            result = graph.call_function(aten.view.default, (new, shape))
            result.meta = {**linear.meta, "val": new.meta["val"].view(shape)}
    quantized.replace_all_uses_with(result)
    return True


def _fake(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.meta["val"] if isinstance(a, Node) else a for a in arguments)
