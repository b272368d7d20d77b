"""PyTorch's rules for the names of an operator's forms."""

from __future__ import annotations


def is_in_place(operator: str) -> bool:
    """Whether an operator writes into its arguments. PyTorch's rule for names: `add_` does, `__and__` does not."""
    return operator.endswith("_") and not operator.endswith("__")


def is_out_variant(overload: str) -> bool:
    """Whether an operator writes into tensors that come last. PyTorch's rule: the overload is `out` or `..._out`."""
    return overload == "out" or overload.endswith("_out")


def plain_overload(overload: str) -> str:
    """The overload that an out variant belongs to: "" for `out`, "packed" for `packed_out`."""
    return overload.removesuffix("out").removesuffix("_") if is_out_variant(overload) else overload


def variant(operator: str, overload: str) -> str:
    """The name of what an out variant or an in-place form computes: "aten::add", "mcu::linear_s8.packed"."""
    base = operator.removesuffix("_") if is_in_place(operator) else operator
    plain = plain_overload(overload)
    return f"{base}.{plain}" if plain else base
