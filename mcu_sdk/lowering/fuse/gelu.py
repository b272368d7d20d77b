"""GELU as models spell it out, found by what it computes: x / 2 times 1 + tanh or 1 + erf of a polynomial in x."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import args, aten, constant_scalar, either_order, is_call, shape_of

CLOSE = 1e-6
"""Relative; what models round their constants to (0.79788456, 0.70710678)."""
Polynomial = tuple[float, ...]
"""Coefficients, from the constant one up."""
_ARGUMENTS: dict[Any, Polynomial] = {
    aten.tanh.default: (0.0, math.sqrt(2 / math.pi), 0.0, math.sqrt(2 / math.pi) * 0.044715),
    aten.erf.default: (0.0, math.sqrt(0.5)),
}
"""Of each function its argument's coefficients, from the constant one up."""
_DEGREE = max(len(wanted) for wanted in _ARGUMENTS.values()) - 1
_STEPS = (aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, aten.div.Tensor, aten.pow.Tensor_Scalar)
_FACTORS = (aten.mul.Tensor, aten.div.Tensor)


def spelt_out_gelu(program: ExportedProgram, node: Node) -> tuple[Node, bool] | None:
    """(x, whether it is the one with a tanh) of 0.5 * x * (1 + f(u(x))), in any order of factors and terms; else None."""
    if not is_call(node, *_FACTORS):
        return None
    for one_plus in _parts(node, *_FACTORS):
        if not is_call(one_plus, aten.add.Tensor) or one_plus.kwargs:
            continue
        for curve, one in either_order(one_plus):
            if not is_call(curve, *_ARGUMENTS) or constant_scalar(program, one) != 1:
                continue
            argument, wanted = args(curve)[0], _ARGUMENTS[curve.target]
            for x in _parts(argument, *_STEPS):
                found = _Polynomials(program, x).of(argument)
                alike = found is not None and _equal(found, wanted) and shape_of(x) == shape_of(node)
                if alike and _is_half_of_product(program, node, x, one_plus):
                    return x, curve.target == aten.tanh.default
    return None


class _Polynomials:
    """Values as polynomials in x: their coefficients from the constant one up, None for what is none of a degree up to 3."""

    def __init__(self, program: ExportedProgram, x: Node) -> None:
        self._program = program
        self._known: dict[Node, Polynomial | None] = {x: (0.0, 1.0)}

    def of(self, value: object) -> Polynomial | None:
        if isinstance(value, Node) and value in self._known:
            return self._known[value]
        number = constant_scalar(self._program, value)
        found = (number,) if number is not None else self._of_call(value)
        if isinstance(value, Node):
            self._known[value] = found
        return found

    def _of_call(self, value: object) -> Polynomial | None:
        if not is_call(value, *_STEPS) or value.kwargs:
            return None
        left, right = (self.of(each) for each in args(value)[:2])
        if left is None or right is None:
            return None
        if value.target == aten.mul.Tensor:
            return _product(left, right)
        if value.target == aten.pow.Tensor_Scalar:
            return _power(left, right[0])
        if value.target == aten.div.Tensor:
            return tuple(each / right[0] for each in left) if len(right) == 1 and right[0] else None
        sign = -1.0 if value.target == aten.sub.Tensor else 1.0
        size = max(len(left), len(right))
        padded = (each + (0.0,) * (size - len(each)) for each in (left, right))
        return tuple(a + sign * b for a, b in zip(*padded, strict=True))


def _power(base: Polynomial, exponent: float) -> Polynomial | None:
    if exponent not in range(1, _DEGREE + 1):
        return None
    found: Polynomial | None = base
    for _ in range(int(exponent) - 1):
        found = _product(found, base) if found is not None else None
    return found


def _product(left: Polynomial, right: Polynomial) -> Polynomial | None:
    if len(left) + len(right) - 2 > _DEGREE:
        return None
    found = [0.0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            found[i + j] += a * b
    return tuple(found)


def _equal(found: Polynomial, wanted: Polynomial) -> bool:
    padded = found + (0.0,) * (len(wanted) - len(found))
    return len(padded) == len(wanted) and all(
        math.isclose(a, b, rel_tol=CLOSE) for a, b in zip(padded, wanted, strict=True)
    )


def _parts(value: object, *targets: Any) -> Iterator[Node]:
    """What is reached from a value through calls of `targets`, itself first, each once."""
    waiting, seen = [value], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Node) and node not in seen:
            seen.add(node)
            yield node
            if is_call(node, *targets):
                waiting += args(node)[:2]


def _is_half_of_product(program: ExportedProgram, node: Node, x: Node, one_plus: Node) -> bool:
    """Whether a product is 0.5 * x * one_plus."""
    factors, number, waiting = [], 1.0, [node]
    while waiting:
        value = waiting.pop()
        scalar = constant_scalar(program, value)
        if scalar is not None:
            number *= scalar
        elif value in (x, one_plus):
            factors.append(value)
        elif is_call(value, aten.mul.Tensor):
            waiting += args(value)[:2]
        elif is_call(value, aten.div.Tensor) and (divisor := constant_scalar(program, args(value)[1])):
            number /= divisor
            waiting.append(args(value)[0])
        else:
            return False
    return math.isclose(number, 0.5, rel_tol=CLOSE) and set(factors) == {x, one_plus} and len(factors) == 2
