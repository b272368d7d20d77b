"""TOSA graphs put together by hand: operations that no quantized PyTorch module leads to, but that Vela compiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tosa_serializer as ts

from tests.npu.lowering import Array

_TYPES = {
    "bool": ts.DType.BOOL,
    "int8": ts.DType.INT8,
    "int16": ts.DType.INT16,
    "int32": ts.DType.INT32,
    "int48": ts.DType.INT48,
}


class Graph:
    """A graph of one block; tensors go by name."""

    def __init__(self) -> None:
        self._graph = ts.TosaSerializer("", targetMinor=0, targetDraft=False)
        self._count = 0

    def input(self, dtype: str, *shape: int) -> str:
        name = self._name()
        self._graph.addInputTensor(ts.TosaSerializerTensor(name, list(shape), _TYPES[dtype]))
        return name

    def constant(self, values: Array, dtype: str | None = None) -> str:
        """`dtype` where it is another than the array's: "int48" in int64."""
        name = self._name()
        kind = dtype or values.dtype.name
        stored = values if kind == "int48" else values.astype(kind)
        self._graph.addConst(list(values.shape), _TYPES[kind], stored, name)
        return name

    def number(self, dtype: str, value: int) -> str:
        """A constant of one element."""
        return self.constant(np.array([value], np.int64), dtype)

    @staticmethod
    def type(dtype: str) -> Any:
        """TOSA's name of a type."""
        return _TYPES[dtype]

    def shape(self, *sizes: int) -> str:
        name = self._name()
        self._graph.addConst([len(sizes)], ts.DType.SHAPE, np.array(sizes, np.int64), name)
        return name

    def operation(
        self, op: Any, inputs: Sequence[str], attribute: str, values: Sequence[Any], dtype: str, *shape: int
    ) -> str:
        """An operation and its one result."""
        attributes = ts.TosaSerializerAttribute()
        getattr(attributes, attribute)(*values)
        name = self._name()
        self._graph.currRegion.currBasicBlock.addTensor(name, list(shape), _TYPES[dtype])
        self._graph.addOperator(op, list(inputs), [name], attributes)
        return name

    def finish(self, name: str, dtype: str, *shape: int) -> bytes:
        self._graph.addOutputTensor(ts.TosaSerializerTensor(name, list(shape), _TYPES[dtype]))
        return bytes(self._graph.serialize())

    def _name(self) -> str:
        self._count += 1
        return f"tensor_{self._count}"


SHAPE = (1, 5, 6, 19)


def _clz() -> bytes:
    graph = Graph()
    result = graph.operation(ts.Op.CLZ, [graph.input("int32", *SHAPE)], "ClzAttribute", (), "int32", *SHAPE)
    return graph.finish(result, "int32", *SHAPE)


def _shift(op: Any, attribute: str, values: Sequence[Any]) -> bytes:
    graph = Graph()
    amount = graph.constant(np.random.default_rng(1).integers(0, 32, SHAPE, np.int32))
    inputs = [graph.input("int32", *SHAPE), amount]
    return graph.finish(graph.operation(op, inputs, attribute, values, "int32", *SHAPE), "int32", *SHAPE)


def _rescale(
    source: str, target: str, rounding: Any, multiplier: int, shift: int, *, unsigned: bool = False
) -> bytes:
    graph = Graph()
    inputs = [
        graph.input(source, *SHAPE),
        graph.constant(np.array([multiplier], np.int32)),
        graph.constant(np.array([shift], np.int8)),
        graph.constant(np.array([0], source)),
        graph.constant(np.array([0], target)),
    ]
    values = (True, rounding, False, unsigned, False)
    result = graph.operation(ts.Op.RESCALE, inputs, "RescaleAttribute", values, target, *SHAPE)
    return graph.finish(result, target, *SHAPE)


def graphs() -> dict[str, Callable[[], bytes]]:
    """Every graph by name, as a function that makes it."""
    single, double = ts.RoundingMode.SINGLE_ROUND, ts.RoundingMode.DOUBLE_ROUND
    return {
        "clz": _clz,
        "shift_left": lambda: _shift(ts.Op.LOGICAL_LEFT_SHIFT, "LogicalLeftShiftAttribute", ()),
        "shift_right": lambda: _shift(ts.Op.ARITHMETIC_RIGHT_SHIFT, "ArithmeticRightShiftAttribute", (True,)),
        "shift_right_truncating": lambda: _shift(
            ts.Op.ARITHMETIC_RIGHT_SHIFT, "ArithmeticRightShiftAttribute", (False,)
        ),
        "rescale_8_single": lambda: _rescale("int8", "int8", single, 1518500250, 31),
        "rescale_8_double": lambda: _rescale("int8", "int8", double, 1518500250, 33),
        "rescale_32_double": lambda: _rescale("int32", "int8", double, 1518500250, 54),
        "rescale_32_single": lambda: _rescale("int32", "int8", single, 1518500250, 54),
        "rescale_8_to_32": lambda: _rescale("int8", "int32", single, 1518500250, 20),
        "rescale_16_double": lambda: _rescale("int16", "int16", double, 1518500250, 31),
        "rescale_16_to_8_double": lambda: _rescale("int16", "int8", double, 1518500250, 39),
        "rescale_unsigned": lambda: _rescale("int8", "int8", single, 1518500250, 31, unsigned=True),
    }
