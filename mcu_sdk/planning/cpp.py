"""Arguments, numbers and tables of a plan as C++."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

from mcu_sdk.planning.instruction import Argument, ConstantArray, Parameters, Pointer, Scratch, Space, Tensor
from mcu_sdk.planning.pieces import WHOLE, Places

_ACCESSORS = {Space.ARENA: "arena", Space.KV_CACHE: "kv_cache", Space.MODEL: "weights"}
_INTEGERS = {
    "int8_t": (-(2**7), 2**7 - 1),
    "int16_t": (-(2**15), 2**15 - 1),
    "int32_t": (-(2**31), 2**31 - 1),
    "int64_t": (-(2**63), 2**63 - 1),
    "uint8_t": (0, 2**8 - 1),
    "uint16_t": (0, 2**16 - 1),
    "uint32_t": (0, 2**32 - 1),
    "uint64_t": (0, 2**64 - 1),
}


def render_argument(
    argument: Argument,
    tables: Mapping[tuple[str, tuple[str, ...]], str] | None = None,
    places: Places = WHOLE,
) -> str:
    """An argument as C++: `arena<int8_t>(1024)`, `weights<float>(64)`, `0x1.8p+1f`, `INT32_MIN`, `kTable3`.

    `tables` names the constant arrays by type and literals; `places` knows where the .pte's bytes lie. Raises ValueError for a number outside int64, a
    float outside float32's range, a table without a name, and scratch that has no place yet.
    """
    if isinstance(argument, Tensor):
        return _pointer(argument, 0, argument.dtype.c_type, places)
    if isinstance(argument, Pointer):
        c_type = argument.c_type or argument.tensor.dtype.c_type
        return _pointer(argument.tensor, argument.byte_offset, c_type, places)
    if isinstance(argument, (ConstantArray, Parameters)):
        key = table_key(argument)
        if tables is None or key not in tables:
            raise ValueError("a table without a name")
        return f"&{tables[key]}" if isinstance(argument, Parameters) else tables[key]
    if isinstance(argument, Scratch):
        raise ValueError("scratch has no place before the plan is compiled")
    if argument is None:
        return "nullptr"
    if isinstance(argument, bool):
        return "true" if argument else "false"
    if isinstance(argument, int):
        return render_integer(argument)
    return render_float(float(argument))  # numpy's float32 among them


def _pointer(tensor: Tensor, inside: int, c_type: str, places: Places) -> str:
    """A pointer to byte `inside` of a tensor."""
    found = places.find(tensor.offset, inside) if tensor.space is Space.MODEL else None
    if found is not None:
        return f"{found[0].array}<{c_type}>({found[1]})"
    return f"{_ACCESSORS[tensor.space]}<{c_type}>({tensor.offset + inside})"


def render_integer(value: int) -> str:
    """A literal of int32_t where it fits, else of int64_t. The lowest of each has a name: -N is no literal."""
    low32, high32 = _INTEGERS["int32_t"]
    low64, high64 = _INTEGERS["int64_t"]
    if value in (low32, low64):
        return "INT32_MIN" if value == low32 else "INT64_MIN"
    if low32 < value <= high32:
        return str(value)
    if low64 < value <= high64:
        return f"INT64_C({value})"
    raise ValueError(f"{value} is no 64-bit integer")


def render_float(value: float, c_type: str = "float") -> str:
    """The exact value (rounded to float32 for `float`) as a hexadecimal literal; infinities and NaN by builtin."""
    suffix = "f" if c_type == "float" else ""
    if math.isnan(value):
        return f'__builtin_nan{suffix}("")'
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}__builtin_inf{suffix}()"
    if c_type == "float":
        try:
            (value,) = struct.unpack("<f", struct.pack("<f", value))
        except OverflowError as error:
            raise ValueError(f"{value!r} is too large for a 32-bit float") from error
    mantissa, exponent = value.hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}{suffix}"


def table_name(table: ConstantArray | Parameters, number: int) -> str:
    """kTable0, and kWindow1 for a McuWindow."""
    return f"k{table.c_type.removeprefix('Mcu') if isinstance(table, Parameters) else 'Table'}{number}"


def table_key(table: ConstantArray | Parameters) -> tuple[str, tuple[str, ...]]:
    """Type and literals: equal keys are equal bytes (values alone are not: 0.0 equals -0.0)."""
    if isinstance(table, Parameters):
        return table.c_type, tuple(map(_field, table.values))
    if table.c_type in ("float", "double"):
        return table.c_type, tuple(render_float(float(value), table.c_type) for value in table.values)
    if table.c_type == "bool":
        return table.c_type, tuple("true" if value else "false" for value in table.values)
    if table.c_type not in _INTEGERS:
        raise ValueError(f"a table of the unknown type {table.c_type}")
    low, high = _INTEGERS[table.c_type]
    texts = []
    for value in table.values:
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{value!r} is no {table.c_type}")
        texts.append(f"UINT64_C({value})" if value > 2**63 - 1 else render_integer(value))
    return table.c_type, tuple(texts)


def _field(value: int | float) -> str:
    """A literal of int32_t or float."""
    if isinstance(value, float):
        return render_float(value)
    return table_key(ConstantArray("int32_t", (value,)))[1][0]
