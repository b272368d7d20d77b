"""What tools/loop_cycles.py makes of a disassembled loop; the tools that it asks are not needed here."""

from __future__ import annotations

from tools.loop_cycles import CONTROL, plain, products

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
