"""The rows of operators/table are true: torch has these operators with these arguments, and ours have kernels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from executorch.backends.cortex_m import passes  # noqa: F401  comes first: the operators' module imports it in a circle
from executorch.backends.cortex_m.ops import operators  # noqa: F401  registers torch.ops.cortex_m

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.operators import table
from mcu_sdk.operators.table import (
    KINDS,
    OPERATORS,
    OWN,
    Operator,
    find,
    is_in_place,
    is_out_variant,
    own_operators,
    variant,
)
from mcu_sdk.planning.registry import load_emitters

ROWS = pytest.mark.parametrize("row", OPERATORS.values(), ids=lambda row: row.name)


def schema(name: str) -> torch._C.FunctionSchema:
    """What torch registered for "mcu::linear_s8.packed"."""
    base, _, overload = name.partition(".")
    return torch._C._get_schema(base, overload)


def test_every_file_of_the_table_is_read_and_no_row_stands_twice() -> None:
    names = [row.name for kind in KINDS for row in kind.ROWS]
    assert sorted(names) == sorted(OPERATORS)
    files = {path.stem for path in Path(table.__file__).parent.glob("*.py")}
    assert files - {"__init__", "names", "parts", "row"} == {kind.__name__.split(".")[-1] for kind in KINDS}


def test_torch_has_our_rows_and_no_other_operators_of_ours() -> None:
    wanted = set()
    for row in own_operators():
        wanted |= {row.name, f"{OWN}::{row.out_name}"}
        if row.in_place:
            wanted.add(f"{OWN}::{row.in_place_name}")
    defined = {name for name in torch._C._dispatch_get_all_op_names() if name.startswith(f"{OWN}::")}
    assert defined == wanted


@ROWS
def test_arguments_are_those_that_torch_knows(row: Operator) -> None:
    known = [argument.name for argument in schema(row.name).arguments]
    names = list(row.argument_names)
    assert names == (known if row.is_ours or row.call else known[: len(names)])


@pytest.mark.parametrize("row", own_operators(), ids=lambda row: row.name)
def test_outputs_come_last_and_an_update_writes_its_first_argument(row: Operator) -> None:
    out = schema(f"{OWN}::{row.out_name}").arguments
    assert [argument.name for argument in out] == [*row.argument_names, *row.outputs]
    if row.in_place:
        first, *rest = schema(f"{OWN}::{row.in_place_name}").arguments
        assert first.alias_info.is_write and [first.name, *(a.name for a in rest)] == list(row.argument_names)


@ROWS
def test_rows_speak_of_their_own_arguments(row: Operator) -> None:
    named = {row.weight, row.index, row.input, *row.channels, *row.caches, *row.one_of} - {""}
    assert named <= set(row.argument_names)
    assert bool(row.one_of) == bool(row.index)


@ROWS
def test_what_can_be_packed_has_an_overload_that_takes_it(row: Operator) -> None:
    if not row.packed:
        return
    packed = OPERATORS[f"{row.name}.{row.packed}"]
    assert (row.layout, packed.layout) == ("rows", "helium-8x16")
    made = {"n", "constants"}  # by the packing pass
    assert set(packed.argument_names) - made <= set(row.argument_names)


def test_every_operator_of_ours_has_a_kernel() -> None:
    emitters = load_emitters()
    for row in own_operators():
        assert row.name in emitters
        assert not row.in_place or f"{OWN}::{row.in_place_name}" in emitters


def test_an_operator_is_found_in_all_its_forms() -> None:
    linear, packed = OPERATORS["mcu::linear_s8"], OPERATORS["mcu::linear_s8.packed"]
    assert find("mcu::linear_s8") is find("mcu::linear_s8", "out") is linear
    assert find("mcu::linear_s8", "packed") is find("mcu::linear_s8", "packed_out") is packed
    assert find("mcu::cache_write_") is find("mcu::cache_write", "out") is OPERATORS["mcu::cache_write"]
    assert find("aten::linear", "out") is OPERATORS["aten::linear"]
    assert find("aten::relu", "out") is find("mcu::linear_s80") is None
    assert find("aten::topk", "values") is OPERATORS["aten::topk"]


def test_the_border_of_a_delegate_is_found_by_row() -> None:
    for name in ("quantize_per_tensor", "dequantize_per_tensor"):
        for overload in ("default", "out", "tensor", "tensor_out"):
            row = find(f"quantized_decomposed::{name}", overload)
            assert row is not None and row.border, (name, overload)
    for other in ("quantize_per_channel", "dequantize_per_channel", "choose_qparams"):
        assert find(f"quantized_decomposed::{other}", "default") is None
    assert sum(row.border for row in OPERATORS.values()) == 2


def test_pytorchs_rules_for_names() -> None:
    assert is_in_place("aten::add_") and not is_in_place("aten::add") and not is_in_place("aten::__and__")
    assert is_out_variant("out") and is_out_variant("Tensor_out") and not is_out_variant("Tensor")
    assert variant("aten::add", "out") == variant("aten::add_", "") == "aten::add"
    assert variant("aten::add", "Tensor_out") == "aten::add.Tensor"
