"""The small replacements of library functions: division by small numbers, memcpy, memmove and memset."""

from __future__ import annotations

import ctypes
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk import resources
from mcu_sdk.project.compile_flags import cxx_flags

SOURCE = """
#include "runtime/divide.h"
extern "C" uint64_t divide(uint64_t value, uint32_t divisor, uint32_t* rest) {
    return divide_by_small(value, divisor, rest);
}
#define memcpy small_memcpy
#define memmove small_memmove
#define memset small_memset
#include "platform/cortex_m/small_library.cpp"
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("small")
    (folder / "a.cpp").write_text(SOURCE)
    flags = cxx_flags(None, "-O2", "-fPIC", "-shared", "-fsanitize=undefined", "-fno-sanitize-recover=all")
    command = [
        "g++",
        *flags,
        f"-I{resources.firmware()}",
        "a.cpp",
        "-o",
        "a.so",
    ]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    loaded = ctypes.CDLL(str(folder / "a.so"))
    loaded.divide.restype = ctypes.c_uint64
    loaded.divide.argtypes = [ctypes.c_uint64, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]
    for name in ("small_memcpy", "small_memmove", "small_memset"):
        function = getattr(loaded, name)
        function.restype = ctypes.c_void_p
        kind = ctypes.c_int if name.endswith("set") else ctypes.c_void_p
        function.argtypes = [ctypes.c_void_p, kind, ctypes.c_size_t]
    return loaded


@given(
    st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 9, 10, 2**16, 2**32 - 1, 2**32, 2**64 - 1])),
    st.integers(1, 2**16 - 1),
)
def test_division(library: ctypes.CDLL, value: int, divisor: int) -> None:
    rest = ctypes.c_uint32()
    assert (library.divide(value, divisor, ctypes.byref(rest)), rest.value) == divmod(value, divisor)


SPANS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
"""(to, from, count) in a block of 96 bytes"""


@given(SPANS, st.integers(0, 2**32))
def test_memory_functions(library: ctypes.CDLL, span: tuple[int, int, int], seed: int) -> None:
    to, source, count = span
    before = bytes((seed * 31 + i * 7) % 256 for i in range(96))
    block = (ctypes.c_ubyte * 96).from_buffer_copy(before)
    base = ctypes.addressof(block)

    assert library.small_memmove(base + to, base + source, count) == base + to
    moved = bytearray(before)
    moved[to : to + count] = before[source : source + count]
    assert bytes(block) == bytes(moved)

    other = (ctypes.c_ubyte * 96)()
    assert (
        library.small_memcpy(ctypes.addressof(other) + to, base + source, count)
        == ctypes.addressof(other) + to
    )
    copied = bytearray(96)
    copied[to : to + count] = moved[source : source + count]
    assert bytes(other) == bytes(copied)

    assert library.small_memset(base + to, seed % 512 - 128, count) == base + to
    moved[to : to + count] = bytes([(seed % 512 - 128) % 256]) * count
    assert bytes(block) == bytes(moved)
