"""What ExecuTorch's runtime is given for our operators: one wrapper for each form, that compiles for two cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk.operators.executorch_kernels import kernels_of
from mcu_sdk.operators.table import KINDS, OPERATORS, called_operators, own_operators
from mcu_sdk.project.wrappers import all_wrappers, names_of, registered_names, wrappers
from tests.official import compile_for, package, write_all


def test_every_operator_of_ours_has_a_wrapper_for_each_form() -> None:
    assert all(row.call for row in own_operators())
    rows = list(called_operators().values())
    made = all_wrappers(rows)
    assert [wrapper.name for wrapper in made] == sorted(name for row in rows for name in names_of(row))
    assert len({wrapper.function for wrapper in made}) == len(made) == len(registered_names())


def test_a_row_stands_in_the_file_of_its_kernel_s_kind() -> None:
    for kind in KINDS:
        called = [wrapper for row in kind.ROWS if row.call for wrapper in wrappers(row)]
        folder = f"kernels/{kind.__name__.rpartition('.')[2]}/"
        assert {header for wrapper in called for header in wrapper.headers if folder not in header} == set()


def test_the_names_are_those_of_a_pte() -> None:
    assert names_of(OPERATORS["mcu::linear_s8_add_s16.packed"]) == [
        "mcu::linear_s8_add_s16.packed_out",
        "mcu::linear_s8_add_s16_.packed",
    ]


def test_a_form_in_place_writes_into_its_first_argument() -> None:
    out, in_place = wrappers(OPERATORS["mcu::cache_write"])
    assert (out.count, in_place.count) == (5, 4) and (out.copied, in_place.copied) == ("self", "")
    assert "const Operand out = self;" in in_place.reads
    assert "const Operand out = arguments.tensor(4, kS8);" in out.reads


def test_outputs_share_memory_with_what_they_may_be_alone() -> None:
    (norm,) = wrappers(OPERATORS["mcu::rms_norm"])
    assert norm.checks[-1].startswith("if (out.overlaps(weight) || (out.overlaps(x) && !out.is_at(x)))")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("call rms_norm(x, weight, out, rows, n)", "5 arguments for mcu_rms_norm"),
        ("let's see", "none of the lines"),
    ],
)
def test_a_text_that_says_something_else_is_an_error(line: str, why: str) -> None:
    row = OPERATORS["mcu::rms_norm"]
    with pytest.raises(ValueError, match=why):
        wrappers(replace(row, call=row.call.partition("call")[0] + line))


def test_a_tensor_that_the_schema_has_and_the_text_has_not_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"does not say of out"):
        wrappers(replace(OPERATORS["mcu::silu"], call="x f32(count)\ncall silu(x, x, count)"))


def test_no_size_comes_from_a_tensor_that_may_be_absent() -> None:
    row = OPERATORS["mcu::linear_s8"]
    with pytest.raises(ValueError, match="bias may be absent"):
        wrappers(replace(row, call="bias f32?[n]\n" + row.call))


def test_what_the_libraries_have_is_named_as_they_do() -> None:
    """By the lists of kernels that ExecuTorch generates its libraries from; but for silu, which it has none for, and linear,
    which its library for larger processors has alone."""
    names = {name for name, row in registered_names().items() if row.is_of_libraries}
    lacking = names - kernels_of("portable") - kernels_of("quantized")
    assert lacking == {"aten::linear.out", "aten::silu.out"}


@pytest.mark.parametrize("core", ["cortex-m55", pytest.param("cortex-m4", marks=pytest.mark.slow)])
def test_all_wrappers_compile_for_a_core_without_a_warning(core: str, tmp_path: Path) -> None:
    folder = write_all(tmp_path / "operators")
    for source in (
        "operators.cpp",
        *(f"sdk/operators/{name}.cpp" for name in ("arguments", "broadcast", "images", "reduce", "sound")),
    ):
        assert compile_for(core, folder, source, package()).stat().st_size > 0
