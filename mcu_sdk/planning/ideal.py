"""The least that a step could cost on a core: a bound for each operator, to compare counts with.

A product needs its weights loaded once, as many at a time as the core can, and multiplied and added. Everything else
has to read and write its bytes once, and needs a fixed number of instructions for each vector of results (the rows of
operators/table). Loops, addresses, reductions and tails are not in it: no kernel reaches it, a good one comes
close. docs/performance.md explains how to read the ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from mcu_sdk.board.devices import Core
from mcu_sdk.operators.table import Operator, Work
from mcu_sdk.planning.instruction import DType, Instruction, Tensor
from mcu_sdk.planning.operands import tensors_in, touched
from mcu_sdk.planning.plan import Plan


@dataclass(frozen=True)
class Rate:
    """`products` multiplications by weights that are loaded for them take `instructions`."""

    products: int
    instructions: int

    def of(self, count: int) -> int:
        """Instructions for `count` products."""
        return _up(count * self.instructions, self.products)


@dataclass(frozen=True)
class Rates:
    """What a kind of core does at once: bytes of one load or store, and products of each type of weights.

    `int8_rows`: of several rows, which share the loads of the weights.
    """

    vector_bytes: int
    int8: Rate
    int8_rows: Rate
    int4: Rate
    float32: Rate


HELIUM = Rates(
    vector_bytes=16,
    int8=Rate(16, 2),  # a load, a multiply-accumulate in 16 lanes
    int8_rows=Rate(128, 14),  # eight sums: six loads for two rows and four channels
    int4=Rate(32, 5),  # a load, two instructions that make bytes of nibbles, two multiply-accumulates
    float32=Rate(4, 2),
)
DSP = Rates(
    vector_bytes=4,
    int8=Rate(4, 5),  # a load, two that make halfwords of bytes, two multiply-accumulates of two halfwords
    int8_rows=Rate(16, 15),  # two rows, halfwords already, in one load; the weights of two channels as above
    int4=Rate(
        8, 10
    ),  # a load, one that lifts the low nibbles, four that make halfwords, four multiply-accumulates
    float32=Rate(1, 2),
)
SCALAR = Rates(
    vector_bytes=4,
    int8=Rate(1, 2),  # a load, a multiply-accumulate
    int8_rows=Rate(1, 2),
    int4=Rate(2, 5),  # a load, one for each nibble, two multiply-accumulates
    float32=Rate(1, 2),
)

SOFTMAX = 12
"""Instructions for a vector of float32 probabilities: e^x, the sum, the division, rounding."""


def rates_of(core: Core) -> Rates:
    """What a core does at once; a processor that this program runs on counts as one without vectors."""
    return HELIUM if core.helium else DSP if core.dsp else SCALAR


def plan_macs(plan: Plan) -> int:
    """Multiplications by weights in one step: what the ideal of a case is made of."""
    return sum(linear_macs(instruction) for instruction in _instructions(plan))


def plan_ideal(plan: Plan, rates: Rates, position: int = 0) -> int:
    """The sum of the bounds of one step."""
    return sum(ideal_instructions(instruction, rates, position) for instruction in _instructions(plan))


def _instructions(plan: Plan) -> list[Instruction]:
    """Each instruction once, though several calls may come from it."""
    return list({planned.instruction.index: planned.instruction for planned in plan.calls}.values())


def linear_macs(instruction: Instruction) -> int:
    """Multiplications of a product or a convolution with weights; 0 for other operators."""
    row = instruction.row
    if row is None or row.work not in _BY_WEIGHTS:
        return 0
    return _MACS[row.work](instruction, row)


def ideal_instructions(instruction: Instruction, rates: Rates, position: int = 0) -> int:
    """The bound for one execution; `position` counts for operators that read the KV cache up to there."""
    if not _operands(instruction):
        return 0
    row = instruction.row
    if row is None or row.work in (Work.STREAM, Work.UNKNOWN):
        return _stream(instruction, row, rates)
    if row.work is Work.ATTENTION:
        return _attention(instruction, rates, position)
    if row.work is Work.SEQUENCE:
        return _sequence(instruction, row, rates)
    return _rate(instruction, row, rates).of(_MACS[row.work](instruction, row))


def _rate(instruction: Instruction, row: Operator, rates: Rates) -> Rate:
    if row.weight_bits == 4:
        return rates.int4
    x = _input(instruction, row)
    if x.dtype is DType.F32:
        return rates.float32
    one = row.work is Work.PRODUCT and x.elements == x.shape[-1]
    return rates.int8 if one or row.work in (Work.DEPTHWISE, Work.RECURRENT) else rates.int8_rows


def _product_macs(instruction: Instruction, row: Operator) -> int:
    return _input(instruction, row).shape[-1] * _result(instruction, row).elements


def _convolution_macs(instruction: Instruction, row: Operator) -> int:
    weight = instruction.arguments[row.position(row.weight)]
    assert isinstance(weight, Tensor)
    return _result(instruction, row).elements * prod(weight.shape[1:])


def _depthwise_macs(instruction: Instruction, row: Operator) -> int:
    """An output is the sum of its channel's taps: the weight is [1, rows, columns, outputs]."""
    weight = instruction.arguments[row.position(row.weight)]
    assert isinstance(weight, Tensor)
    return _result(instruction, row).elements * prod(weight.shape[1:3])


def _recurrent_macs(instruction: Instruction, row: Operator) -> int:
    """At each step the rows of both weights: of the input and of the state, be they packed."""
    x = _input(instruction, row)
    weights = [instruction.arguments[row.position(name)] for name in ("input_weight", "state_weight")]
    return prod(x.shape[:2]) * sum(weight.elements for weight in weights if isinstance(weight, Tensor))


_BY_WEIGHTS = (Work.PRODUCT, Work.CONVOLUTION, Work.DEPTHWISE, Work.RECURRENT)

_MACS: dict[Work, Callable[[Instruction, Operator], int]] = {
    Work.PRODUCT: _product_macs,
    Work.BATCHED: _product_macs,
    Work.CONVOLUTION: _convolution_macs,
    Work.DEPTHWISE: _depthwise_macs,
    Work.RECURRENT: _recurrent_macs,
}


def _attention(instruction: Instruction, rates: Rates, position: int) -> int:
    """Scores and weighted sum over the positions so far, keys and values being int8, and a softmax for each head."""
    q = _operands(instruction)[0]
    positions = position + 1
    heads = q.elements // q.shape[-1]
    softmax = heads * SOFTMAX * _up(positions * DType.F32.size, rates.vector_bytes)
    return rates.int8.of(2 * q.elements * positions) + softmax + 2 * _up(q.nbytes, rates.vector_bytes)


def _sequence(instruction: Instruction, row: Operator, rates: Rates) -> int:
    """Scores and weighted sums of q[S, Lq, heads * n] over the Lk rows of k[S, Lk, ...] and v, and a softmax for each query
    and head. Queries share a load of a key, so that a multiply-accumulate is what a product costs at least."""
    q, k, v = instruction.arguments[:3]
    heads = instruction.arguments[row.position("heads")]
    assert (
        isinstance(q, Tensor) and isinstance(k, Tensor) and isinstance(v, Tensor) and isinstance(heads, int)
    )
    length, rows = k.shape[1], q.shape[0] * q.shape[1]
    softmax = heads * rows * SOFTMAX * _up(length * DType.F32.size, rates.vector_bytes)
    results = rows * v.shape[2] * q.shape[2] // k.shape[2]
    products = (q.elements + results) * length
    return _up(products * rates.int8.instructions, 2 * rates.int8.products) + softmax


def _stream(instruction: Instruction, row: Operator | None, rates: Rates) -> int:
    """Every byte that is touched once, and the arithmetic for the results."""
    amounts = [amount for tensor, amount in touched(instruction) if not _is_scratch(tensor)]
    moved = sum(_up(amount, rates.vector_bytes) for amount in amounts)
    if row is None:
        return moved + _up(amounts[-1], rates.vector_bytes)
    updates = row.in_place
    results = amounts[0] if updates else _result(instruction, row).nbytes
    return moved + row.arithmetic * _up(results, rates.vector_bytes)


def _input(instruction: Instruction, row: Operator) -> Tensor:
    value = instruction.arguments[row.input_position]
    assert isinstance(value, Tensor)
    return value


def _result(instruction: Instruction, row: Operator) -> Tensor:
    """The first result. The rows of others' operators may end early: of theirs it is the last tensor."""
    if row.is_ours:
        value = instruction.arguments[0 if instruction.in_place else len(row.argument_names)]
        assert isinstance(value, Tensor)
        return value
    return _operands(instruction)[-1]


def _operands(instruction: Instruction) -> list[Tensor]:
    """The tensors among the arguments, scratch left out."""
    return [tensor for tensor in tensors_in(instruction.arguments) if not _is_scratch(tensor)]


def _is_scratch(tensor: Tensor) -> bool:
    return tensor.dtype is DType.U8


def _up(value: int, unit: int) -> int:
    return -(-value // unit)
