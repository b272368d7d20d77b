"""Recurrent layers."""

from __future__ import annotations

from mcu_sdk.operators.layouts import COLUMNS
from mcu_sdk.operators.layouts import ROWS as BLOCK_ROWS
from mcu_sdk.operators.limits import LONGEST_SUM
from mcu_sdk.operators.table.row import Operator, Work

_ARGUMENTS = (
    "Tensor input_weight, Tensor state_weight, Tensor constants, Tensor tables, int bits, int out_multiplier, "
    "int out_shift, bool backwards, int n"
)
_STRUCT = "McuRecurrent{sequences, steps, inputs, n, bits, out_multiplier, out_shift, backwards ? 1 : 0}"


def _layer(name: str, gates: int, begins: dict[str, str], bytes_a_cell: int) -> Operator:
    """`begins`: what the states begin with, where they are given, and its type; `bytes_a_cell` of scratch."""
    given = ", ".join(f"Tensor? {state}" for state in begins)
    states = "\n".join(f"{state} {kind}?[sequences, n]" for state, kind in begins.items())
    channels = f"{gates} * n"
    passed = (
        f"x, {', '.join(begins)}, input_weight, state_weight, constants, tables, out, state, "
        f"scratch({bytes_a_cell} * n), {_STRUCT}"
    )
    return Operator(
        f"mcu::{name}",
        f"Tensor x, {given}, {_ARGUMENTS}",
        ("out", "state"),
        weight="state_weight",
        weight_bits=8,
        every_step=("input_weight", "state_weight", "constants"),
        work=Work.RECURRENT,
        call=f"""
            x s8[sequences, steps, inputs]
            require n >= 1
            require inputs < {LONGEST_SUM} && n < {LONGEST_SUM}
            let packed = input_weight.rank == 4 ? 1 : 0
            let groups = blocks({channels}, {BLOCK_ROWS})
            input_weight s8
            state_weight s8
            require packed == 1 || (input_weight.is({{ {channels}, inputs}}) && state_weight.is({{ {channels}, n}}))
            require packed == 0 || input_weight.is({{groups, blocks(inputs, {COLUMNS}), {BLOCK_ROWS}, {COLUMNS}}})
            require packed == 0 || state_weight.is({{groups, blocks(n, {COLUMNS}), {BLOCK_ROWS}, {COLUMNS}}})
            require packed == 0 || (input_weight.is_aligned() && state_weight.is_aligned())
            constants s32
            require packed == 1 || constants.is({{2, 3, {channels}}})
            require packed == 0 || constants.is({{2, groups, 3, {BLOCK_ROWS}}})
            require packed == 1 || gate_requantizations(constants.as<int32_t>(), {channels})
            require packed == 0 || packed_requantizations(constants.as<int32_t>(), 2 * groups, {BLOCK_ROWS})
            tables s16[2, 257]
            require not_negative(tables.as<int16_t>(), tables.count)
            require bits >= 0 && bits <= 15 && out_multiplier >= 0 && out_shift >= -31 && out_shift <= 15
            out s8[sequences, steps, n]
            state s16[sequences, n]
            {states}
            call {name}_packed({passed}) if packed == 1
            call {name}({passed})
        """,
    )


ROWS = (
    _layer("lstm_s8", 4, {"hidden": "s8", "cell": "s16"}, 16),
    _layer("gru_s8", 3, {"before": "s16"}, 19),
)
