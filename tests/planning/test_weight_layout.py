"""What a report says of weights that are not as asked for."""

from __future__ import annotations

from mcu_sdk.planning.weight_layout import weight_notes


def test_linears_that_keep_int8_are_named() -> None:
    assert weight_notes({"weights": "int8"}) == weight_notes({"kept_int8": [], "int4_linears": 7}) == []
    (note,) = weight_notes({"kept_int8": ["a.b", "c"], "int4_linears": 12})
    assert note.startswith("2 of 14 linears keep int8 weights") and note.endswith(": a.b, c.")
    (note,) = weight_notes({"kept_int8": list("abcdef"), "int4_linears": 0})
    assert note.endswith(": a, b, c, d and more.")
