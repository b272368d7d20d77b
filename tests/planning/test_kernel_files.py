"""What firmware/ says of a kernel is found from its name, whatever folder and file it lies in."""

from __future__ import annotations

import re

import pytest

from mcu_sdk import resources
from mcu_sdk.planning.emitters.checks import call
from mcu_sdk.planning.kernel_files import closure, kernel, kernel_sources, kernels

KERNELS = resources.firmware() / "kernels"


def test_a_kernel_of_its_own_file() -> None:
    found = kernel("rms_norm")
    assert found.header == "kernels/norm/rms_norm.h"
    assert found.parameters == ("x", "weight", "out", "rows", "n", "eps")
    assert kernel_sources(found.header) == ("kernels/norm/rms_norm.cpp",)


@pytest.mark.parametrize(
    ("name", "header", "parameters"),
    [
        ("add_f32", "arithmetic_f32.h", "a b out shape axes"),
        ("div_f32", "arithmetic_f32.h", "a b out shape axes"),
        ("mul_s64", "arithmetic_int.h", "a b out shape axes"),
        ("logical_xor", "compare.h", "a b out shape axes"),
        ("neg_s32", "unary.h", "x out n"),
        ("gated_silu", "activation.h", "gate up out n"),
        ("where_s64", "where.h", "condition a b out shape axes"),
        ("clamp_s8", "clamp.h", "x out n low high"),
        ("convert_bool", "convert.h", "x out n kind"),
    ],
)
def test_a_row_of_a_table(name: str, header: str, parameters: str) -> None:
    found = kernel(name)
    assert found.header == f"kernels/elementwise/{header}"
    assert found.parameters == tuple(parameters.split())
    assert kernel_sources(found.header) == (f"kernels/elementwise/{header.replace('.h', '.cpp')}",)


def test_a_source_defines_what_a_header_declares() -> None:
    """Every source of a kind belongs to a header that declares kernels, and no name is used twice."""
    headers = {declaration.header for declaration in kernels().values()}
    sources = {source for header in headers for source in kernel_sources(header)}
    there = {path.relative_to(KERNELS.parent).as_posix() for path in KERNELS.glob("*/*") if path.suffix in (".cpp", ".S")}  # fmt: skip
    assert sources == there
    stems = [path.stem for path in KERNELS.glob("*/*.cpp")]
    assert sorted(stems) == sorted(set(stems))
    assert not [path for path in KERNELS.iterdir() if path.is_file()]


def test_every_row_of_every_table_is_found() -> None:
    """The number of rows, counted another way."""
    rows = 0
    for table in KERNELS.glob("*/*.inc"):
        if table.stem.endswith("_macros"):
            continue  # of assembly
        lines = [line for line in table.read_text().splitlines() if line and not line.startswith("//")]
        rows += len(lines)
        for line in lines:
            name = line.split("(")[1].split(",")[0]
            assert kernel(name).header == table.with_suffix(".h").relative_to(KERNELS.parent).as_posix()
    assert rows >= 70


def test_whatever_a_function_gives_it_is_found() -> None:
    """Also what kernels call of each other, and not only void: libraries rename all that links under a name of its own."""
    declared = [
        name
        for header in KERNELS.glob("*/*.h")
        for line in header.read_text().splitlines()
        if line.startswith('extern "C"')
        for name in re.findall(r"\bmcu_(\w+)\(", line)
    ]
    assert set(declared) <= kernels().keys() and len(declared) > 100
    assert {"row_magnitude", "row_scale", "exp_shares_s8"} <= set(declared)


def test_a_name_without_a_kernel() -> None:
    with pytest.raises(KeyError, match="no_such_kernel"):
        kernel("no_such_kernel")
    with pytest.raises(ValueError, match=r"2 arguments for mcu_silu\(x, out, n\)"):
        call("silu", 1, 2)


def test_assembly_comes_with_the_header_that_declares_it() -> None:
    assert kernel_sources("kernels/linear/linear_s8_packed.h") == (
        "kernels/linear/gemv_s8_helium.S",
        "kernels/linear/linear_s8_packed.cpp",
        "kernels/linear/linear_s8_packed_helium.cpp",
        "kernels/linear/linear_s8_packed_row.cpp",
        "kernels/linear/linear_s8_packed_row_helium.cpp",
        "kernels/linear/pairs_s8_helium.S",
    )
    assert kernel_sources("kernels/linear/linear_s8.h") == (
        "kernels/linear/dot_s8.S",
        "kernels/linear/linear_s8.cpp",
    )


def test_a_closure_is_closed() -> None:
    """Every quoted include of what is copied is copied too, except what is generated."""
    files = closure([kernel("attention_s8").header, kernel("exp_f32").header, "runtime/language_model.cpp"])
    for name in files:
        text = (KERNELS.parent / name).read_text()
        for included in re.findall(r'#include "([^"]+)"', text):
            assert included in files or included.startswith("model/"), (name, included)
    with pytest.raises(FileNotFoundError):
        closure(["kernels/none.cpp"])
