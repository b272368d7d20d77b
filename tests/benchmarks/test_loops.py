"""What `make bench` makes of a disassembled loop; the tools that it asks are not needed here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import loops
from benchmarks.loops import CONTROL, Row, plain, products
from mcu_sdk.errors import ToolMissingError

ROW = Row("linear/dot_s8.S .Lround", "cortex-m4", 23.0, 23.0)

LOOP = [
    "ldm.w\tr11!, {r0, r8}",
    "ldr\tr12, [r1], #4",
    "vldrb.u8\tq1, [r3], #16",
    "vmlava.s8\tr0, q0, q1",
    "vmladav.s8\tr2, q0, q1",
    "smlad\tr7, r11, lr, r7",
    "cbz\tr5, 0x2c6 <.Llast>",
    "subs\tr5, #0x1",
]


def test_products_are_counted() -> None:
    assert products(LOOP) == 16 + 16 + 2


def test_loads_are_what_llvm_mca_counts() -> None:
    assert plain(LOOP[0]) == "ldr r0, [r11]\nldr r8, [r11]"
    assert plain(LOOP[1]) == "ldr r12, [r1]"
    assert plain(LOOP[2]) == LOOP[2]


def test_what_counts_rounds_is_left_out() -> None:
    assert [line for line in LOOP if CONTROL.match(line)] == LOOP[-2:]
    assert not any(map(CONTROL.match, ("bic r0, r1", "sub r1, r2", "bfi r0, r1, #0, #4")))


def test_a_row_complains_beyond_its_baseline() -> None:
    assert not ROW.complaint and not replace(ROW, baseline=0).complaint
    assert "where the baseline has 22.00" in replace(ROW, baseline=22.0).complaint


def test_every_loop_has_a_baseline_on_each_of_its_cores(tmp_path: Path) -> None:
    known = json.loads(loops.FIGURES.read_text(encoding="utf-8"))
    assert {name: set(cores) for name, cores in known.items()} == {
        loop.name: set(loop.cores) for loop in loops.LOOPS
    }
    rows = [Row(name, core, cycles) for name, cores in known.items() for core, cycles in cores.items()]
    loops.write_baseline(rows, tmp_path / "loops.json")
    assert json.loads((tmp_path / "loops.json").read_text()) == known


def test_a_tool_that_is_not_there_is_named_with_its_package() -> None:
    with pytest.raises(ToolMissingError) as found:
        loops.measure("llvm-mca-of-nowhere")
    assert "llvm-mca-of-nowhere" in str(found.value) and "llvm-19" in found.value.hint
