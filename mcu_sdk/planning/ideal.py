"""The least that a step could cost on a core with 16-byte vectors: a bound for each operator, to compare counts with.

A product needs one 16-byte weight load and one 16-lane multiply-accumulate for 16 multiplications. Everything else
has to read and write its bytes once, 16 at a time, and needs a fixed number of vector instructions for each vector of
results (`ARITHMETIC`). Loops, addresses, reductions and tails are not in it: no kernel reaches it, a good one comes
close. docs/performance.md explains how to read the ratio.
"""

from __future__ import annotations

from math import prod

from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.planning.plan import Plan

VECTOR_BYTES = 16
MACS_PER_INSTRUCTION = 8
"""16 int8 products for one load and one multiply-accumulate."""

S4_INSTRUCTIONS = 5
"""For 32 int4 products: one load, two instructions that make bytes of nibbles, two multiply-accumulates."""

PRODUCTS = (
    "mcu::linear_s8",
    "mcu::linear_s4",
    "cortex_m::quantized_linear",
    "aten::linear",
    "aten::addmm",
    "aten::mm",
)
CONVOLUTIONS = (
    "cortex_m::quantized_conv2d",
    "cortex_m::quantized_depthwise_conv2d",
    "cortex_m::quantized_transpose_conv2d",
)
BATCHED = ("cortex_m::quantized_batch_matmul", "aten::bmm")

ARITHMETIC = {
    # Vector instructions for 16 bytes of results, between the loads and the stores.
    "mcu::rms_norm": 3,  # square and add; scale; weight
    "mcu::layer_norm": 5,  # sum; centre, square and add; scale, weight, bias
    "mcu::rope": 2,  # two products for each element, the second one with the addition
    "mcu::quantize": 12,  # for 16 elements: scale and round 4 vectors, narrow
    "mcu::quantize_rows": 20,  # the same behind a pass for the greatest magnitude
    "mcu::silu": 13,  # e^x as a polynomial of degree 6, its scaling, a division by two Newton steps
    "mcu::gated_silu": 14,
    "mcu::gelu": 15,
    "mcu::gated_gelu": 16,
    "mcu::cache_write": 12,
    "mcu::cache_write_dynamic": 20,
    "mcu::cache_write_columns": 12,
    "mcu::cache_write_columns_dynamic": 20,
}
DEFAULT_ARITHMETIC = 1
SOFTMAX = 12
"""Vector instructions for four probabilities: e^x, the sum, the division, rounding."""


def plan_macs(plan: Plan) -> int:
    """Multiplications by weights in one step: what "linear MACs" means in the table of results."""
    return sum(linear_macs(instruction) for instruction in _instructions(plan))


def plan_ideal(plan: Plan, position: int = 0) -> int:
    """The sum of the bounds of one step."""
    return sum(ideal_instructions(instruction, position) for instruction in _instructions(plan))


def _instructions(plan: Plan) -> list[Instruction]:
    """Each instruction once, though several calls may come from it."""
    return list({planned.instruction.index: planned.instruction for planned in plan.calls}.values())


def linear_macs(instruction: Instruction) -> int:
    """Multiplications of a matrix-vector or matrix-matrix product with weights; 0 for other operators."""
    if not instruction.operator.startswith(PRODUCTS):
        return 0
    tensors = _tensors(instruction.arguments)
    return tensors[0].shape[-1] * tensors[-1].elements


def ideal_instructions(instruction: Instruction, position: int = 0) -> int:
    """The bound for one execution; `position` counts for operators that read the KV cache up to there."""
    tensors = _tensors(instruction.arguments)
    if not tensors:
        return 0
    operator, out = instruction.operator, tensors[-1]
    if operator == "mcu::linear_s4":
        return _up(S4_INSTRUCTIONS * linear_macs(instruction), 32)
    if operator.startswith(PRODUCTS):
        return _up(linear_macs(instruction), MACS_PER_INSTRUCTION)
    if operator in CONVOLUTIONS:
        weight = tensors[1]
        return _up(out.elements * prod(weight.shape[1:]), MACS_PER_INSTRUCTION)
    if operator in BATCHED:
        return _up(out.elements * tensors[0].shape[-1], MACS_PER_INSTRUCTION)
    if operator.startswith("mcu::attention"):
        return _attention(tensors[0], position)
    if operator.startswith("mcu::embedding"):
        return _traffic(out.nbytes // out.dtype.size, out.nbytes) + _vectors(out)
    return _elementwise(instruction, tensors)


def _attention(q: Tensor, position: int) -> int:
    """Scores and weighted sum over the positions so far, keys and values being int8, and a softmax for each head."""
    positions = position + 1
    heads = q.elements // q.shape[-1]
    products = _up(2 * q.elements * positions, MACS_PER_INSTRUCTION)
    return products + heads * SOFTMAX * _up(positions, 4) + _traffic(q.nbytes, q.nbytes)


def _elementwise(instruction: Instruction, tensors: list[Tensor]) -> int:
    """Every byte once, and the arithmetic for the results. A cache is touched in one row only."""
    name = instruction.operator.removesuffix("_")
    touched = [tensor for tensor in tensors if tensor.space is not Space.KV_CACHE]
    results = touched[0] if name.startswith("mcu::cache") else tensors[-1]
    if name == "mcu::quantize_rows":
        results = tensors[1]  # the scales come last
    if name.startswith("mcu::cache"):
        read, written = results.nbytes, results.elements
        vectors = _up(results.elements, VECTOR_BYTES)
    elif name == "mcu::rope":
        # Of the tables one row; each is half a head wide.
        read, written, vectors = results.nbytes + results.shape[-1] * 4, results.nbytes, _vectors(results)
    else:
        read = sum(tensor.nbytes for tensor in tensors[:-1])
        written, vectors = tensors[-1].nbytes, _vectors(results)
    return _traffic(read, written) + ARITHMETIC.get(name, DEFAULT_ARITHMETIC) * vectors


def _vectors(tensor: Tensor) -> int:
    return _up(tensor.nbytes, VECTOR_BYTES)


def _traffic(read: int, written: int) -> int:
    return _up(read, VECTOR_BYTES) + _up(written, VECTOR_BYTES)


def _up(value: int, unit: int) -> int:
    return -(-value // unit)


def _tensors(values: tuple[Value, ...] | list[Value]) -> list[Tensor]:
    """The tensors among the arguments, those in lists too, scratch left out; the last one is the result."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            if value.dtype is not DType.U8:
                found.append(value)
        elif isinstance(value, list):
            found += _tensors(value)
    return found
