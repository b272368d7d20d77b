"""Numbers and arguments as C++ literals, exactly."""

from __future__ import annotations

import math
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.planning.cpp import render_argument, render_float, render_integer
from mcu_sdk.planning.instruction import Argument, DType, Pointer, Space, Tensor
from mcu_sdk.project.compile_flags import cxx_flags


def f32(space: Space, offset: int, *shape: int) -> Tensor:
    return Tensor(DType.F32, shape, space, offset)


@given(st.floats(width=32))
def test_float_literals_are_exact(value: float) -> None:
    text = render_float(value)
    if math.isnan(value):
        assert text == '__builtin_nanf("")'
    elif math.isinf(value):
        assert text == ("-" if value < 0 else "") + "__builtin_inff()"
    else:
        assert text.endswith("f") and "p" in text
        assert struct.pack("<f", float.fromhex(text[:-1])) == struct.pack("<f", value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_double_literals_are_exact(value: float) -> None:
    assert struct.pack("<d", float.fromhex(render_float(value, "double"))) == struct.pack("<d", value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integer_literals(value: int) -> None:
    names = {"INT32_MIN": -(2**31), "INT64_MIN": -(2**63)}
    text = render_integer(value)
    assert (
        names[text] == value
        if text in names
        else int(text.removeprefix("INT64_C(").removesuffix(")")) == value
    )


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, "nullptr"),
        (1, "1"),
        (1.0, "0x1p+0f"),
        (0.1, "0x1.99999ap-4f"),
        (-(2**31), "INT32_MIN"),
        (2**31, "INT64_C(2147483648)"),
        (Pointer(f32(Space.ARENA, 0, 8), 8, "int8_t"), "arena<int8_t>(8)"),
        (Pointer(f32(Space.MODEL, 64, 2), 4), "weights<float>(68)"),
    ],
)
def test_rendered_arguments(argument: Argument, text: str) -> None:
    assert render_argument(argument) == text


def test_a_compiler_takes_the_literals(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    floats = [0.0, -0.0, 1.5, 3.4028234663852886e38, 1e-45, math.inf, -math.inf, math.nan]
    integers = [0, -1, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63)]
    lines = ["#include <cstdint>"]
    lines += [f"constexpr float f{n} = {render_float(v)};" for n, v in enumerate(floats)]
    lines += [f"constexpr int64_t i{n} = {render_integer(v)};" for n, v in enumerate(integers)]
    lines += ['static_assert(f2 == 1.5f && f5 > f3 && i3 < 0 && i6 < i3 && i4 == -(i3 + 0), "");']
    source = tmp_path / "literals.cpp"
    source.write_text("\n".join(lines) + "\n")
    flags = cxx_flags(None, "-O0", "-fsyntax-only", "-pedantic")
    subprocess.run([compiler, *flags, "-Wno-unused", str(source)], check=True, timeout=60)
