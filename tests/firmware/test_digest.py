"""A run's digest: FNV-1a over raw bytes, and one NaN for all, on the device as in Python."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcu_sdk import resources
from mcu_sdk.project.compile_flags import cxx_flags
from mcu_sdk.project.tensors import with_one_nan

SOURCE = """
#include "runtime/digest.h"
template <typename Add>
static uint64_t digest(Add add) {
    Digest result;
    add(&result);
    return result.value();
}
extern "C" uint64_t float16(const void* x, uint64_t n) { return digest([&](Digest* d) { d->add_f16(x, n); }); }
extern "C" uint64_t float32(const void* x, uint64_t n) { return digest([&](Digest* d) { d->add_f32(x, n); }); }
extern "C" uint64_t float64(const void* x, uint64_t n) { return digest([&](Digest* d) { d->add_f64(x, n); }); }
"""
BITS = {
    "float16": [0x0000, 0x8000, 0x3C00, 0x7BFF, 0x7C00, 0xFC00, 0x7C01, 0x7E00, 0xFE00, 0xFFFF],
    "float32": [0, 1 << 31, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0x7FC00000, 0xFFC00000],
    "float64": [0, 1 << 63, 0x3FF0 << 48, 0x7FF0 << 48, 0xFFF0 << 48, (0x7FF0 << 48) + 1, 0x7FF8 << 48, 0xFFF8 << 48],
}  # fmt: skip
"""Zeros, ordinary numbers, infinities and NaNs, quiet and signalling, of both signs."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("digest")
    (folder / "digest.cpp").write_text(SOURCE)
    flags = cxx_flags(None, "-O2", "-shared", "-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover=all")
    command = [
        "g++",
        *flags,
        "-I",
        str(resources.firmware()),
        str(folder / "digest.cpp"),
        "-o",
        str(folder / "d.so"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "d.so"))


@pytest.fixture(params=sorted(BITS))
def kind(request: pytest.FixtureRequest, library: ctypes.CDLL) -> tuple[str, Callable[[NDArray[Any]], int]]:
    """A type, and the device's digest of an array of it."""
    function = getattr(library, request.param)
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_uint64), ctypes.c_uint64
    return request.param, lambda array: int(function(array.ctypes.data, array.size))


def fnv(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def test_every_nan_is_the_same_and_everything_else_is_itself(
    kind: tuple[str, Callable[[NDArray[Any]], int]],
) -> None:
    name, on_device = kind
    array = np.array(BITS[name], f"uint{name[5:]}").view(name)
    assert on_device(array) == fnv(with_one_nan(array).tobytes())
    each = [on_device(array[i : i + 1]) for i in range(len(array))]
    nans = np.isnan(array)
    assert len({digest for digest, is_nan in zip(each, nans, strict=True) if is_nan}) == 1
    assert len(set(each)) == len(array) - nans.sum() + 1
    finite = array[~nans]
    assert with_one_nan(finite).tobytes() == finite.tobytes()
    assert on_device(finite) == fnv(finite.tobytes())
