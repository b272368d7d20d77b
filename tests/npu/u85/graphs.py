"""TOSA graphs put together by hand that between them make Vela emit what the U85 simulator knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tosa_serializer as ts

from tests.npu.graphs import Graph
from tests.npu.lowering import Array

Shape = tuple[int, ...]
_IMAGE = (1, 9, 10, 21)
_PROPAGATE = ts.NanPropagationMode.PROPAGATE
_SINGLE, _DOUBLE = ts.RoundingMode.SINGLE_ROUND, ts.RoundingMode.DOUBLE_ROUND


class Chain:
    """A graph under construction with one tensor in hand: its name, type and shape."""

    def __init__(self, dtype: str, *shape: int) -> None:
        self.graph = Graph()
        self.dtype, self.shape = dtype, shape
        self.name = self.graph.input(dtype, *shape)

    def beside(self, name: str, dtype: str, shape: Shape) -> Chain:
        """Another tensor of the same graph in hand."""
        other = copy(self)
        other.name, other.dtype, other.shape = name, dtype, shape
        return other

    def then(
        self,
        op: Any,
        attribute: str,
        values: Sequence[Any] = (),
        more: Sequence[str] = (),
        dtype: str | None = None,
        shape: Shape | None = None,
    ) -> Chain:
        """Put an operation behind; `more` are its further inputs."""
        self.dtype, self.shape = dtype or self.dtype, self.shape if shape is None else shape
        inputs = [self.name, *more]
        self.name = self.graph.operation(op, inputs, f"{attribute}Attribute", values, self.dtype, *self.shape)
        return self

    def rescale(
        self, dtype: str, multiplier: Any = 1518500250, shift: Any = 31, zero: tuple[int, int] = (0, 0), *,
        rounding: Any = _SINGLE,
    ) -> Chain:  # fmt: skip
        """To another type and scale; a multiplier for each channel if there are several."""
        wide = self.dtype != "int48"
        many = np.atleast_1d(multiplier)
        more = [
            self.graph.constant(many.astype(np.int32 if wide else np.int16)),
            self.graph.constant(np.broadcast_to(np.atleast_1d(shift), many.shape).astype(np.int8)),
            self.graph.number(self.dtype, zero[0]),
            self.graph.number(dtype, zero[1]),
        ]
        values = (wide, rounding, many.size > 1, False, False)
        return self.then(ts.Op.RESCALE, "Rescale", values, more, dtype)

    def finish(self) -> bytes:
        return self.graph.finish(self.name, self.dtype, *self.shape)


@dataclass(frozen=True)
class Conv:
    """A convolution of random weights; `spread` of their normal distribution, 0 for a uniform one."""

    out: int
    kernel: tuple[int, int]
    inputs: int
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    depthwise: bool = False
    bits: int = 8
    spread: float = 20
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    seed: int = 0

    def weights(self) -> Array:
        """int8[output channels, rows, columns, input channels]"""
        rng = np.random.default_rng(self.seed)
        shape = (self.out, *self.kernel, 1 if self.depthwise else self.inputs)
        if not self.spread:
            return rng.integers(-127, 128, shape, dtype=np.int8)
        return np.clip(np.round(rng.normal(0, self.spread, shape)), -127, 127).astype(np.int8)

    def graph(self, size: tuple[int, int] | None = None) -> bytes:
        """`size`: the input's rows and columns; by default they give three by three."""
        covered = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        around = [self.pad[0] + self.pad[1], self.pad[2] + self.pad[3]]
        wanted = size or tuple(c + 2 * s - a for c, s, a in zip(covered, self.stride, around, strict=True))
        result = [
            (n + a - c) // s + 1 for n, a, c, s in zip(wanted, around, covered, self.stride, strict=True)
        ]
        narrow, wide = ("int8", "int32") if self.bits == 8 else ("int16", "int48")
        chain = Chain(narrow, 1, *wanted, self.inputs)
        rng, graph, weights = np.random.default_rng(self.seed + 1), chain.graph, self.weights()
        kind = "DepthwiseConv2d" if self.depthwise else "Conv2d"
        packed = np.ascontiguousarray(weights.transpose(1, 2, 0, 3)) if self.depthwise else weights
        more = [
            graph.constant(packed),
            graph.constant(rng.integers(-1000, 1000, self.out).astype(np.int64), wide),
            graph.number(narrow, 3 if self.bits == 8 else 0),
            graph.number("int8", 0),
        ]
        values = (list(self.pad), list(self.stride), list(self.dilation), False, graph.type(wide))
        op = ts.Op.DEPTHWISE_CONV2D if self.depthwise else ts.Op.CONV2D
        chain.then(op, kind, values, more, wide, (1, *result, self.out))
        bits = 31 if self.bits == 8 else 15
        scales = rng.integers(1 << (bits - 1), (1 << bits) - 1, self.out)
        shifts = rng.integers(bits + 6, bits + 10, self.out)
        return chain.rescale(narrow, scales, shifts, (0, -5 if self.bits == 8 else 0)).finish()


def _product(bits: int, batch: int, shapes: tuple[int, int, int]) -> bytes:
    """[batch, rows, depth] x [batch, depth, columns]."""
    rows, depth, columns = shapes
    narrow, wide = ("int8", "int32") if bits == 8 else ("int16", "int48")
    chain = Chain(narrow, batch, rows, depth)
    zeros = [
        chain.graph.number(narrow, 3 if bits == 8 else 0),
        chain.graph.number(narrow, -4 if bits == 8 else 0),
    ]
    more = [chain.graph.input(narrow, batch, depth, columns), *zeros]
    chain.then(ts.Op.MATMUL, "MatMul", (), more, wide, (batch, rows, columns))
    return chain.rescale(narrow, 1518500250 if bits == 8 else 23000, 38 if bits == 8 else 30).finish()


def _binary(op: Any, attribute: str, two: Shape, values: Any, *, constant: bool = False) -> bytes:
    """An image and a map of another shape, int32."""
    chain = Chain("int32", *_IMAGE)
    value = np.random.default_rng(4).integers(-100, 100, two).astype(np.int32)
    second = chain.graph.constant(value) if constant else chain.graph.input("int32", *two)
    return chain.then(op, attribute, values, [second]).finish()


def _scaled(op: Any, attribute: str, bits: int, one: Shape, two: Shape) -> bytes:
    """Two int8 or int16 maps, each rescaled to int32, then an operation, then rescaled back."""
    narrow = f"int{bits}"
    chain = Chain(narrow, *one)
    second = chain.graph.input(narrow, *two)
    other = chain.beside(second, narrow, two)
    zeros = (5, -7) if bits == 8 else (0, 0)
    is_product = op is ts.Op.MUL
    up = 31 if is_product else 20 if bits == 8 else 27
    other.rescale("int32", 1 << 30 if is_product else 1234567890, 30 if is_product else up, (zeros[1], 0))
    chain.rescale("int32", 1 << 30 if is_product else 1987654321, 30 if is_product else up, (zeros[0], 0))
    shape = tuple(max(a, b) for a, b in zip(one, two, strict=True))
    more = [other.name, *([chain.graph.number("int8", 0)] if is_product else [])]
    chain.then(op, attribute, (), more, "int32", shape)
    down = (38 if bits == 8 else 46) if is_product else 43 if bits == 8 else 36
    return chain.rescale(narrow, 1345678901, down, (0, zeros[0])).finish()


def _pool(op: Any, attribute: str, dtype: str, kernel: int, stride: int, pad: Sequence[int]) -> bytes:
    chain = Chain(dtype, *_IMAGE)
    covered = [_IMAGE[1] + pad[0] + pad[1] - kernel, _IMAGE[2] + pad[2] + pad[3] - kernel]
    assert not any(c % stride for c in covered)
    shape = (1, *(c // stride + 1 for c in covered), _IMAGE[3])
    sizes = ([kernel] * 2, [stride] * 2, list(pad))
    if op is ts.Op.MAX_POOL2D:
        return chain.then(op, attribute, (*sizes, _PROPAGATE), (), dtype, shape).finish()
    zeros = [chain.graph.number(dtype, 4 if dtype == "int8" else 0) for _ in range(2)]
    return chain.then(op, attribute, (*sizes, ts.DType.INT32), zeros, dtype, shape).finish()


def _transpose(dtype: str, axes: Sequence[int], shape: Shape) -> bytes:
    chain = Chain(dtype, *shape)
    return chain.then(
        ts.Op.TRANSPOSE, "Transpose", (list(axes),), (), dtype, tuple(shape[a] for a in axes)
    ).finish()


def _reduce(op: Any, attribute: str, dtype: str, axis: int, shape: Shape = _IMAGE) -> bytes:
    chain = Chain(dtype, *shape)
    values = (axis,) if op is ts.Op.REDUCE_SUM else (axis, _PROPAGATE)
    if op is ts.Op.REDUCE_SUM:
        chain.rescale("int32", 1 << 30, 30)
    result = tuple(1 if a == axis else n for a, n in enumerate(shape))
    chain.then(op, attribute, values, (), None, result)
    return (chain.rescale(dtype, 1518500250, 36) if op is ts.Op.REDUCE_SUM else chain).finish()


def _table(source: str, target: str, shape: Shape = _IMAGE) -> bytes:
    chain = Chain(source, *shape)
    rng = np.random.default_rng(9)
    entries = (
        rng.integers(-128, 128, 256) if source == "int8" else np.sort(rng.integers(-(1 << 15), 1 << 15, 513))
    )
    table = chain.graph.constant(entries.astype(source))
    return chain.then(ts.Op.TABLE, "Table", (), [table], target, shape).finish()


def _clamp(dtype: str) -> bytes:
    chain = Chain(dtype, *_IMAGE)
    limits = [np.array([value], dtype).tobytes() for value in (-41, 93)]
    return chain.then(ts.Op.CLAMP, "Clamp", (*map(list, limits), _PROPAGATE)).finish()


def _reverse(axis: int) -> bytes:
    return Chain("int8", *_IMAGE).then(ts.Op.REVERSE, "Reverse", (axis,)).finish()


def _compared(op: Any, attribute: str) -> bytes:
    chain = Chain("int32", *_IMAGE)
    other = chain.graph.input("int32", *_IMAGE)
    first, second = chain.name, other
    chain.then(op, attribute, (), [other], "bool")
    return chain.then(ts.Op.SELECT, "Select", (), [second, first], "int32").finish()


def _gather() -> bytes:
    chain = Chain("int8", 1, 40, 21)
    rows = chain.graph.constant(np.random.default_rng(0).integers(0, 40, (1, 9)).astype(np.int32))
    return chain.then(ts.Op.GATHER, "Gather", (), [rows], None, (1, 9, 21)).finish()


def _scatter() -> bytes:
    chain = Chain("int8", 1, 40, 21)
    rows = chain.graph.constant(np.random.default_rng(0).permutation(40)[:9].reshape(1, 9).astype(np.int32))
    return chain.then(ts.Op.SCATTER, "Scatter", (), [rows, chain.graph.input("int8", 1, 9, 21)]).finish()


def _negate() -> bytes:
    chain = Chain("int8", *_IMAGE)
    zeros = [chain.graph.number("int8", value) for value in (3, -2)]
    return chain.then(ts.Op.NEGATE, "Negate", (), zeros).finish()


def _wide_sum() -> bytes:
    chain = Chain("int16", *_IMAGE).rescale("int32", 1 << 30, 28)
    chain.then(ts.Op.ABS, "Abs").then(ts.Op.REDUCE_SUM, "ReduceSum", (3,), (), None, (*_IMAGE[:3], 1))
    return chain.rescale("int16", 1518500250, 40).finish()


def _argmax(axis: int) -> bytes:
    shape = tuple(n for a, n in enumerate(_IMAGE) if a != axis)
    return (
        Chain("int8", *_IMAGE).then(ts.Op.ARGMAX, "ArgMax", (axis, _PROPAGATE), (), "int32", shape).finish()
    )


def _resize(mode: Any, up: int, down: int) -> bytes:
    """By up / down; between the elements `up` has to be a power of two, for the scale to be one."""
    rows, columns, depth = 5, 7, 21
    chain = Chain("int8", 1, rows, columns, depth)
    more = [chain.graph.shape(up, down, up, down), chain.graph.shape(0, 0), chain.graph.shape(0, 0)]
    shape = (1, (rows - 1) * up // down + 1, (columns - 1) * up // down + 1, depth)
    if mode is ts.ResizeMode.NEAREST:
        return chain.then(ts.Op.RESIZE, "Resize", (mode,), more, None, shape).finish()
    chain.then(ts.Op.RESIZE, "Resize", (mode,), more, "int32", shape)
    return chain.rescale("int8", 1 << 30, 30 + 2 * (up.bit_length() - 1)).finish()


def _transposed_conv(stride: int) -> bytes:
    chain = Chain("int8", 1, 5, 6, 13)
    rng, graph = np.random.default_rng(0), chain.graph
    more = [
        graph.constant(rng.integers(-127, 128, (9, 3, 3, 13)).astype(np.int8)),
        graph.constant(np.arange(9).astype(np.int32)),
        graph.number("int8", 3),
        graph.number("int8", 0),
    ]
    values = ([0, 0, 0, 0], [stride, stride], False, ts.DType.INT32)
    shape = (1, 4 * stride + 3, 5 * stride + 3, 9)
    chain.then(ts.Op.TRANSPOSE_CONV2D, "TransposeConv2d", values, more, "int32", shape)
    return chain.rescale("int8", 1518500250, 39).finish()


def _conv_3d() -> bytes:
    chain = Chain("int8", 1, 4, 5, 6, 7)
    rng, graph = np.random.default_rng(0), chain.graph
    more = [
        graph.constant(rng.integers(-127, 128, (9, 2, 3, 3, 7)).astype(np.int8)),
        graph.constant(np.arange(9).astype(np.int32)),
        graph.number("int8", 3),
        graph.number("int8", 0),
    ]
    values = ([0] * 6, [1, 1, 1], [1, 1, 1], False, ts.DType.INT32)
    chain.then(ts.Op.CONV3D, "Conv3d", values, more, "int32", (1, 3, 3, 4, 9))
    return chain.rescale("int8", 1518500250, 39).finish()


def _with_constant(op: Any, attribute: str, dtype: str, limits: tuple[int, int], values: Any = ()) -> bytes:
    chain = Chain(dtype, *_IMAGE)
    constant = np.random.default_rng(1).integers(*limits, _IMAGE).astype(dtype)
    return chain.then(op, attribute, values, [chain.graph.constant(constant)]).finish()


def _moved() -> dict[str, Callable[[], bytes]]:
    """Graphs that only move data."""
    height, width, depth = _IMAGE[1:]

    def concat(axis: int) -> bytes:
        chain = Chain("int8", *_IMAGE)
        shape = tuple(2 * n if a == axis else n for a, n in enumerate(_IMAGE))
        other = chain.graph.input("int8", *_IMAGE)
        return chain.then(ts.Op.CONCAT, "Concat", (axis,), [other], None, shape).finish()

    def pad() -> bytes:
        chain = Chain("int8", *_IMAGE)
        more = [chain.graph.shape(0, 0, 1, 2, 3, 0, 0, 4), chain.graph.number("int8", 7)]
        return chain.then(ts.Op.PAD, "Pad", (), more, None, (1, height + 3, width + 3, depth + 4)).finish()

    def part() -> bytes:
        chain = Chain("int8", *_IMAGE)
        more = [chain.graph.shape(0, 2, 1, 3), chain.graph.shape(1, 5, 6, 17)]
        return chain.then(ts.Op.SLICE, "Slice", (), more, None, (1, 5, 6, 17)).finish()

    def tile() -> bytes:
        chain = Chain("int8", 1, 3, 4, 5)
        return chain.then(
            ts.Op.TILE, "Tile", (), [chain.graph.shape(1, 2, 3, 2)], None, (1, 6, 12, 10)
        ).finish()

    return {
        "concat_rows": lambda: concat(1),
        "concat_channels": lambda: concat(3),
        "pad": pad,
        "slice": part,
        "tile": tile,
        "gather": _gather,
        "scatter": _scatter,
        "cast_8_to_16": lambda: Chain("int8", *_IMAGE).then(ts.Op.CAST, "Cast", (), (), "int16").finish(),
        "cast_32_to_8": lambda: Chain("int32", *_IMAGE).then(ts.Op.CAST, "Cast", (), (), "int8").finish(),
    }


def graphs() -> dict[str, Callable[[], bytes]]:
    """Every graph by name, as a function that makes it."""
    row, column, number = (1, 1, 10, 21), (1, 9, 1, 21), (1, 1, 1, 1)
    found: dict[str, Callable[[], bytes]] = {
        **_moved(),
        "conv_3x3": lambda: Conv(24, (3, 3), 20, pad=(1, 1, 1, 1)).graph((9, 10)),
        "conv_plain_weights": lambda: Conv(40, (3, 3), 70, spread=0).graph(),
        "conv_few_levels": lambda: Conv(40, (1, 1), 150, spread=1).graph((7, 5)),
        "conv_stride": lambda: Conv(17, (5, 4), 9, stride=(2, 3)).graph(),
        "conv_dilated": lambda: Conv(17, (3, 3), 40, dilation=(2, 2)).graph((8, 9)),
        "conv_large_kernel": lambda: Conv(9, (11, 10), 6).graph(),
        "conv_deep": lambda: Conv(70, (1, 1), 300, spread=30).graph((1, 6)),
        "conv_16": lambda: Conv(24, (3, 3), 20, bits=16).graph((9, 10)),
        "conv_16_deep": lambda: Conv(33, (1, 1), 170, bits=16, spread=0).graph((4, 4)),
        "depthwise": lambda: Conv(21, (3, 3), 21, depthwise=True, pad=(1, 1, 1, 1)).graph((9, 10)),
        "depthwise_stride": lambda: Conv(40, (5, 3), 40, stride=(2, 2), depthwise=True).graph(),
        "depthwise_16": lambda: Conv(21, (3, 4), 21, depthwise=True, bits=16).graph((9, 10)),
        "product": lambda: _product(8, 2, (7, 19, 11)),
        "product_long": lambda: _product(8, 1, (33, 70, 45)),
        "product_16": lambda: _product(16, 3, (5, 24, 9)),
        "average_pool": lambda: _pool(ts.Op.AVG_POOL2D, "AvgPool2d", "int8", 3, 1, (1, 1, 1, 1)),
        "average_pool_16": lambda: _pool(ts.Op.AVG_POOL2D, "AvgPool2d", "int16", 2, 1, (0, 0, 0, 0)),
        "average_pool_large": lambda: _pool(ts.Op.AVG_POOL2D, "AvgPool2d", "int8", 9, 1, (0, 0, 0, 0)),
        "max_pool": lambda: _pool(ts.Op.MAX_POOL2D, "MaxPool2d", "int8", 3, 1, (1, 1, 1, 1)),
        "max_pool_16": lambda: _pool(ts.Op.MAX_POOL2D, "MaxPool2d", "int16", 3, 1, (1, 1, 0, 0)),
        "table_8": lambda: _table("int8", "int8"),
        "table_16": lambda: _table("int16", "int32"),
        "clamp": lambda: _clamp("int8"),
        "clamp_16": lambda: _clamp("int16"),
        "select_greater": lambda: _compared(ts.Op.GREATER, "Greater"),
        "select_equal": lambda: _compared(ts.Op.EQUAL, "Equal"),
        "select_greater_equal": lambda: _compared(ts.Op.GREATER_EQUAL, "GreaterEqual"),
        "negate": _negate,
        "reduce_sum_32": _wide_sum,
        "argmax_h": lambda: _argmax(1),
        "argmax_c": lambda: _argmax(3),
        "resize_between": lambda: _resize(ts.ResizeMode.BILINEAR, 4, 1),
        "resize_nearest": lambda: _resize(ts.ResizeMode.NEAREST, 3, 2),
        "transposed_conv": lambda: _transposed_conv(2),
        "conv_3d": _conv_3d,
        "not": lambda: Chain("int32", *_IMAGE).then(ts.Op.BITWISE_NOT, "BitwiseNot").finish(),
        "abs_32": lambda: Chain("int32", *_IMAGE).then(ts.Op.ABS, "Abs").finish(),
        "divide": lambda: _with_constant(ts.Op.INTDIV, "IntDiv", "int32", (2, 9999)),
        "shift_right_logical": lambda: _with_constant(
            ts.Op.LOGICAL_RIGHT_SHIFT, "LogicalRightShift", "int32", (0, 32)
        ),
        "shift_right_16": lambda: _with_constant(
            ts.Op.ARITHMETIC_RIGHT_SHIFT, "ArithmeticRightShift", "int16", (0, 16), (True,)
        ),
        "reduce_max_32": lambda: _reduce(ts.Op.REDUCE_MAX, "ReduceMax", "int32", 3),
    }
    for axes in ((0, 2, 1, 3), (0, 1, 3, 2), (0, 2, 3, 1), (0, 3, 1, 2), (0, 3, 2, 1)):
        name = "transpose_" + "".join(map(str, axes[1:]))
        found[name] = partial(_transpose, "int8", axes, (1, 6, 7, 37))
    found["transpose_16"] = lambda: _transpose("int16", (0, 2, 3, 1), (1, 6, 7, 37))
    found["transpose_32"] = lambda: _transpose("int32", (0, 3, 1, 2), (1, 6, 7, 37))
    found["transpose_5d"] = lambda: _transpose("int8", (0, 3, 1, 4, 2), (2, 3, 4, 5, 6))
    for axis, letter in ((1, "h"), (2, "w"), (3, "c")):
        found[f"reverse_{letter}"] = partial(_reverse, axis)
        found[f"reduce_sum_{letter}"] = partial(_reduce, ts.Op.REDUCE_SUM, "ReduceSum", "int8", axis)
        found[f"reduce_max_{letter}"] = partial(_reduce, ts.Op.REDUCE_MAX, "ReduceMax", "int8", axis)
        found[f"reduce_min_{letter}"] = partial(_reduce, ts.Op.REDUCE_MIN, "ReduceMin", "int16", axis)
    for name, op, attribute in (
        ("add", ts.Op.ADD, "Add"),
        ("sub", ts.Op.SUB, "Sub"),
        ("mul", ts.Op.MUL, "Mul"),
    ):
        found[name] = partial(_scaled, op, attribute, 8, _IMAGE, _IMAGE)
        found[f"{name}_16"] = partial(_scaled, op, attribute, 16, _IMAGE, _IMAGE)
        found[f"{name}_both_broadcast"] = partial(_scaled, op, attribute, 8, row, column)
    for name, op, attribute, values in (
        ("maximum", ts.Op.MAXIMUM, "Maximum", (_PROPAGATE,)),
        ("minimum", ts.Op.MINIMUM, "Minimum", (_PROPAGATE,)),
        ("and", ts.Op.BITWISE_AND, "BitwiseAnd", ()),
        ("or", ts.Op.BITWISE_OR, "BitwiseOr", ()),
        ("xor", ts.Op.BITWISE_XOR, "BitwiseXor", ()),
    ):
        found[name] = partial(_binary, op, attribute, row, values)
        found[f"{name}_constant"] = partial(_binary, op, attribute, number, values, constant=True)
    return found
