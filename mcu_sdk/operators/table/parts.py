"""What several kinds of rows say alike."""

from __future__ import annotations

from dataclasses import replace

from mcu_sdk.operators.layouts import COLUMNS, ROWS
from mcu_sdk.operators.limits import LONGEST_SUM
from mcu_sdk.operators.table.row import Operator

BLOCKS = f"blocks(n, {ROWS}), blocks(k, {COLUMNS}), {ROWS}, {COLUMNS}"
"""The axes of a packed weight of n rows and k columns."""
CHANNELS = f"blocks(n, {ROWS}) * {ROWS}"
"""Values for each of its rows, those that pad it among them."""
SUMMED = f"require k < {LONGEST_SUM}"

REQUANTIZATION = "Tensor bias, Tensor multiplier, Tensor shift"
"""Of a schema: three values for each output."""

CORTEX_M_REQUANTIZES = "require is_requantization(output_multiplier, output_shift)"
CORTEX_M_LIMITS = (
    "require is_int8(activation_min) && is_int8(activation_max) && activation_min <= activation_max"
)


def requantized(outputs: str) -> str:
    """The tensors of REQUANTIZATION."""
    return f"""
        bias s32[{outputs}]
        multiplier s32[{outputs}]
        shift s32[{outputs}]
        require requantizations(multiplier.as<int32_t>(), shift.as<int32_t>(), {outputs}, 31)
    """


def with_packed(row: Operator, call: str) -> tuple[Operator, Operator]:
    """A row, and the one of the overload for a packed weight of n rows, of which `call` is said.

    What has a value for each row of the weight is padded there, and a requantization's values are one tensor.
    """
    arguments = row.arguments.replace(REQUANTIZATION, "Tensor constants")
    packed = replace(
        row,
        name=f"{row.name}.packed",
        arguments=f"{arguments}, int n",
        channels=(),
        layout="helium-8x16",
        call=call,
    )
    return replace(row, packed="packed"), packed
