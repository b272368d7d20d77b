"""How each operator of ours, and those of Cortex-M's that we have, is called under ExecuTorch's runtime: types
and shapes to check, and the kernel that then runs.

What the emitters (planning/emitters/) decide when a plan is compiled, wrappers that are generated from these texts
(project/executorch_operators.py) decide at run time, for any file. One line each:

    name types axes       a tensor. Types: s8 s16 s32 s64 u8 f16 f32, joined by |; `?` behind: it may be absent, and binds no name; `@16`:
                          its address is a multiple of 16. Axes: [a, b, 1] with names that are bound where they are
                          new, and numbers or expressions that are compared; [*rows, n] where `rows` is the product of
                          all axes but the last; (count) for elements in any shape. None: only the type is checked.
    any order [but name]  its tensors are walked over side by side: they may all have one other dim order.
    unused name           a tensor that is not looked at.
    same name ...         inputs that the first output may be, byte for byte; it shares memory with no other one.
    copied name           an input that is copied to the output first; the in-place form writes into it.
    let name = expression
    declare Type name     a struct that a condition fills; calls take its address.
    require condition
    call kernel(arguments) [if condition]     the first one that applies. `scratch(bytes)` is temporary memory,
                          `sums(given, weight, bias, offset)` those or bias + offset * sum(weight) for each output.

Expressions are C++ over int64_t; firmware/operators/arguments.h has the functions that they use. A tensor's name is its
address in a call, and has .count, .rank and .size(axis) elsewhere. Nothing here imports torch.
"""

from __future__ import annotations

from mcu_sdk.operators.layouts import BLOCK_BYTES, COLUMNS, GROUP, ROWS
from mcu_sdk.operators.table import Operator, own_operators

LONGEST_SUM = 1 << 16
"""int8 products that an int32 accumulator holds: 2^16 * 2^14 < 2^31."""

_BLOCKS = f"blocks(n, {ROWS}), blocks(k, {COLUMNS}), {ROWS}, {COLUMNS}"
_CHANNELS = f"blocks(n, {ROWS}) * {ROWS}"
_SUM = f"require k < {LONGEST_SUM}"
_PACKED_SIZES = f"""
x s8[*rows, k]
require n >= 1
out {{kind}}(rows * n)
weight s8@16[{_BLOCKS}]
{_SUM}
"""
_PACKED_CONSTANTS = f"""
constants s32[blocks(n, {ROWS}), 3, {ROWS}]
require packed_requantizations(constants.as<int32_t>(), blocks(n, {ROWS}), {ROWS})
"""
_LIMITS = """
require is_int8(out_zero_point) && is_int8(out_min) && is_int8(out_max)
"""
_ADDED = """
self s16(rows * n)
same self
"""

_ROPE = """
x f32[*rows, n]
position s64(tokens)
require tokens == 1 || (position.rank == 1 && tokens == x.size(0))
cos f32[positions, half]
sin f32[positions, half]
require 2 * half <= n
out f32(rows * n)
same x
call {name}(x, cos, sin, position, out, rows, n, half, positions) if tokens == 1
call {name}_chunk(x, cos, sin, position, out, tokens, rows / tokens, n, half, positions)
"""
_CACHE = {
    False: "self s8[1, heads, positions, n]",
    True: "self s8[1, heads, n, positions]",
}
_WRITTEN = """
position s64(tokens)
require tokens == 1 || (position.rank == 1 && tokens == x.size(0))
x f32(tokens * heads * n)
"""


def _calibrated_write(name: str, *, columns: bool) -> str:
    return f"""
{_CACHE[columns]}
{_WRITTEN}
inverse_scale f32[heads, n]
out s8(self.count)
copied self
call {name}(out, x, inverse_scale, position, heads, positions, n) if tokens == 1
call {name}_chunk(out, x, inverse_scale, position, tokens, heads, positions, n)
"""


def _dynamic_write(name: str, *, columns: bool) -> str:
    return f"""
{_CACHE[columns]}
{_WRITTEN}
out s8(self.count)
copied self
call {name}(out, x, position, heads, positions, n) if tokens == 1
call {name}_chunk(out, x, position, tokens, heads, positions, n)
"""


_BIAS = """
bias f32?
let of_its_own = bias.rank == 3 ? 1 : 0
require !bias.present || bias.is({heads, positions}) || bias.is({tokens, heads, positions})
"""


def _attention(name: str, *, dynamic: bool, shaped: bool) -> str:
    scales = "f16[1, groups, positions]" if dynamic else "f32[groups, n]"
    k, v = ("k_scales", "v_scales") if dynamic else ("k_scale", "v_scale")
    beside, numbers = ("bias, sinks, ", "scale, cap") if shaped else ("", "scale")
    step = "of_its_own * heads * positions, " if shaped else ""
    tensors = f"q, k_cache, v_cache, {k}, {v}, position, {beside}out, scratch"
    return f"""
q f32[tokens, heads, 1, n]
position s64(tokens)
k_cache s8[1, groups, positions, n]
v_cache s8[1, groups, n, positions]
{k} {scales}
{v} {scales}
require heads % groups == 0
require positions < {LONGEST_SUM} && n < {LONGEST_SUM}
{_BIAS if shaped else ""}
{"sinks f32?[heads]" if shaped else ""}
out f32(tokens * heads * n)
scratch u8@16
require scratch.count >= up(4 * positions, 16) + up(positions, 16) + up(n, 16)
call {name}({tensors}, heads, groups, positions, n, {numbers}) if tokens == 1
call {name}_chunk({tensors}, tokens, {step}heads, groups, positions, n, {numbers})
"""


def _sliding(name: str, *, dynamic: bool) -> str:
    scales = "f16[1, groups, positions]" if dynamic else "f32[groups, n]"
    k, v = ("k_scales", "v_scales") if dynamic else ("k_scale", "v_scale")
    tensors = f"q, q_sinks, q_before, k_cache, v_cache, {k}, {v}, position, slot, out, scratch"
    return f"""
q f32[1, heads, 1, n]
q_sinks f32[1, heads, 1, n]
q_before f32[1, heads, 1, n]
k_cache s8[1, groups, positions, n]
v_cache s8[1, groups, n, positions]
{k} {scales}
{v} {scales}
position s64[1]
slot s64[1]
require heads % groups == 0 && sinks >= 0 && sinks < positions
require positions < {LONGEST_SUM} && n < {LONGEST_SUM}
out f32(heads * n)
scratch u8@16
require scratch.count >= up(4 * positions, 16) + up(positions, 16) + up(n, 16)
call {name}({tensors}, heads, groups, positions, n, sinks, scale, cap)
"""


_SEQUENCES = f"""
q s8[sequences, queries, q_width]
k s8[sequences, positions, k_width]
v s8[sequences, positions, v_width]
require heads >= 1 && q_width % heads == 0
let n = q_width / heads
require k_width % n == 0
let groups = k_width / n
require heads % groups == 0 && v_width % groups == 0
let m = v_width / groups
require positions < {LONGEST_SUM} && n < {LONGEST_SUM}
require is_scale(score_scale) && is_scale(out_scale) && is_int8(out_zero_point)
out s8[sequences, queries, heads * m]
scratch u8@16
require scratch.count >= sequence_scratch(positions, n, m)
"""

_ROTATED_ROWS = """
x {kind}[1, positions, width]
require n >= 1 && width % n == 0
cos f32[positions, half]
sin f32[positions, half]
require 2 * half <= n
out {kind}(positions * width)
same x
"""

_CONVOLUTION = """
x s8[batch, height, width, inputs]
out s8[batch, out_height, out_width, outputs]
bias s32[outputs]
multiplier s32[outputs]
shift s32[outputs]
require requantizations(multiplier.as<int32_t>(), shift.as<int32_t>(), outputs, 31)
require input_offset >= -127 && input_offset <= 128 && is_int8(out_zero_point)
require is_int8(out_min) && is_int8(out_max) && out_min <= out_max
declare McuWindow window
require fits_window(window, Pairs{stride, padding, dilation}, x, out, rows, columns)
"""
_MOST_TAPS = f"require {{inputs}} * rows * columns < {1 << 16}"
_CONVOLUTION_STRUCT = (
    "McuConvolution{{{inputs}, {outputs}, {steps}, input_offset, out_zero_point, out_min, out_max}}"
)
_FULL = _CONVOLUTION_STRUCT.format(
    inputs="group_inputs",
    outputs="outputs / (inputs / group_inputs)",
    steps="rows * columns * group_inputs, group_inputs",
)
_BY_CHANNEL = _CONVOLUTION_STRUCT.format(inputs=1, outputs="outputs / inputs", steps="1, outputs")

_POOL = f"""
x s8[batch, height, width, channels]
out s8[batch, out_height, out_width, channels]
require size.size() == 2 && size[0] >= 1 && size[0] <= 4096 && size[1] >= 1 && size[1] <= 4096
let rows = size[0]
let columns = size[1]
require rows * columns < {1 << 16}
declare McuWindow window
require fits_window(window, Pairs{{stride, padding, {{dilation}}}}, x, out, rows, columns)
"""

_LAYER = f"""
x s8[sequences, steps, inputs]
require n >= 1
require inputs < {LONGEST_SUM} && n < {LONGEST_SUM}
let packed = input_weight.rank == 4 ? 1 : 0
let groups = blocks({{gates}} * n, {ROWS})
input_weight s8
state_weight s8
require packed == 1 || (input_weight.is({{{{ {{gates}} * n, inputs}}}}) && state_weight.is({{{{ {{gates}} * n, n}}}}))
require packed == 0 || input_weight.is({{{{groups, blocks(inputs, {COLUMNS}), {ROWS}, {COLUMNS}}}}})
require packed == 0 || state_weight.is({{{{groups, blocks(n, {COLUMNS}), {ROWS}, {COLUMNS}}}}})
require packed == 0 || (input_weight.is_aligned() && state_weight.is_aligned())
constants s32
require packed == 1 || constants.is({{{{2, 3, {{gates}} * n}}}})
require packed == 0 || constants.is({{{{2, groups, 3, {ROWS}}}}})
require packed == 1 || gate_requantizations(constants.as<int32_t>(), {{gates}} * n)
require packed == 0 || packed_requantizations(constants.as<int32_t>(), 2 * groups, {ROWS})
tables s16[2, 257]
require not_negative(tables.as<int16_t>(), tables.count)
require bits >= 0 && bits <= 15 && out_multiplier >= 0 && out_shift >= -31 && out_shift <= 15
out s8[sequences, steps, n]
state s16[sequences, n]
"""
_LAYER_STRUCT = (
    "McuRecurrent{sequences, steps, inputs, n, bits, out_multiplier, out_shift, backwards ? 1 : 0}"
)
_LAYER_WEIGHTS = "input_weight, state_weight, constants, tables, out, state"


def _layer(name: str, gates: int, begins: tuple[str, ...], bytes_a_cell: int) -> str:
    """`begins`: name and type of what the states begin with, where they are given."""
    states = "\n".join(f"{each}?[sequences, n]" for each in begins)
    given = ", ".join(each.split()[0] for each in begins)
    arguments = f"x, {given}, {_LAYER_WEIGHTS}, scratch({bytes_a_cell} * n), {_LAYER_STRUCT}"
    return f"""
{_LAYER.format(gates=gates)}
{states}
call {name}_packed({arguments}) if packed == 1
call {name}({arguments})
"""


def _by_pairs(name: str, tensors: str) -> str:
    return f"""
call {name}({tensors}, rows, k, n) if rows == 1
call {name}_pairs({tensors}, scratch(pair_bytes(k, 1)), rows, k, n)
"""


def _packed(name: str, arguments: str, numbers: str) -> str:
    """For one row there is a kernel with less code."""
    return f"""
call {name}_row({arguments}, {numbers}) if rows == 1
call {name}({arguments}, rows, {numbers})
"""


_LINEAR = f"""
x s8[*rows, k]
weight s8[n, k]
{_SUM}
"""
_REQUANTIZED = """
bias s32[n]
multiplier s32[n]
shift s32[n]
require requantizations(multiplier.as<int32_t>(), shift.as<int32_t>(), n, 31)
"""

CALLS: dict[str, str] = {
    "mcu::embedding_s8": """
        weight s8[vocabulary, n]
        scale f32[vocabulary]
        ids s64(count)
        out f32(count * n)
        call embedding_s8(weight, scale, ids, out, count, vocabulary, n)
    """,
    "mcu::embedding_s8.packed": f"""
        scale f32[vocabulary]
        require vocabulary % {ROWS} == 0 && n >= 1
        let k = n
        weight s8@16[vocabulary / {ROWS}, blocks(k, {COLUMNS}), {ROWS}, {COLUMNS}]
        ids s64(count)
        out f32(count * n)
        call embedding_s8_packed(weight, scale, ids, out, count, vocabulary, n)
    """,
    "mcu::quantize": """
        x f32(count)
        out s8(count)
        require is_divisor(scale) && is_int8(zero_point)
        call quantize(x, out, count, 1.0f / narrow(scale), zero_point, -128, 127)
    """,
    "mcu::quantize_rows": """
        x f32[*rows, n]
        q s8(rows * n)
        scale f32(rows)
        call quantize_rows(x, q, scale, rows, n)
    """,
    "mcu::linear_s8": f"""
        {_LINEAR}
        x_scale f32(rows)
        weight_scale f32[n]
        bias f32?[n]
        out f32(rows * n)
        {_by_pairs("linear_s8", "x, x_scale, weight, weight_scale, bias, out")}
    """,
    "mcu::linear_s8.packed": f"""
        {_PACKED_SIZES.format(kind="f32")}
        x_scale f32(rows)
        weight_scale f32[{_CHANNELS}]
        bias f32?[{_CHANNELS}]
        {_packed("linear_s8_packed", "x, x_scale, weight, weight_scale, bias, out", "k, n")}
    """,
    "mcu::linear_s8_static": f"""
        {_LINEAR}
        offset s32[n]
        scale f32[n]
        bias f32?[n]
        out f32(rows * n)
        {_by_pairs("linear_s8_static", "x, weight, offset, scale, bias, out")}
    """,
    "mcu::linear_s8_static.packed": f"""
        {_PACKED_SIZES.format(kind="f32")}
        offset s32[{_CHANNELS}]
        scale f32[{_CHANNELS}]
        bias f32?[{_CHANNELS}]
        {_packed("linear_s8_static_packed", "x, weight, offset, scale, bias, out", "k, n")}
    """,
    "mcu::linear_s8_requantize": f"""
        {_LINEAR}
        {_REQUANTIZED}
        {_LIMITS}
        out s8(rows * n)
        call linear_rows_s8(x, weight, bias, multiplier, shift, out, McuLinearRows{{rows, k, n, 1, out_zero_point, out_min, out_max}}, scratch(pair_bytes(k, 8))) if rows > 1 && shifts_right(shift.as<int32_t>(), n)
        call linear_s8_requantize(x, weight, bias, multiplier, shift, out, rows, k, n, out_zero_point, out_min, out_max)
    """,
    "mcu::linear_s8_requantize.packed": f"""
        {_PACKED_SIZES.format(kind="s8")}
        {_PACKED_CONSTANTS}
        {_LIMITS}
        {_packed("linear_s8_requantize_packed", "x, weight, constants, out", "k, n, out_zero_point, out_min, out_max")}
    """,
    "mcu::linear_s8_add_s16": f"""
        {_LINEAR}
        {_REQUANTIZED}
        out s16(rows * n)
        {_ADDED}
        call linear_s8_add_s16(self, x, weight, bias, multiplier, shift, out, rows, k, n)
    """,
    "mcu::linear_s8_add_s16.packed": f"""
        {_PACKED_SIZES.format(kind="s16")}
        {_PACKED_CONSTANTS}
        {_ADDED}
        call linear_s8_add_s16_packed(self, x, weight, constants, out, rows, k, n)
    """,
    "mcu::expert_linear_s8": f"""
        x s8[*rows, k]
        x_scale f32(rows)
        weight s8[experts, n, k]
        weight_scale f32[experts, n]
        bias f32?[experts, n]
        expert s64(chosen)
        require rows == 1 || rows == chosen
        {_SUM}
        out f32(chosen * n)
        call expert_linear_s8(x, x_scale, weight, weight_scale, bias, expert, out, McuExperts{{chosen, rows > 1 ? 1 : 0, experts, k, n}})
    """,
    "mcu::expert_linear_s8.packed": f"""
        x s8[*rows, k]
        x_scale f32(rows)
        require n >= 1
        weight_scale f32[experts, {_CHANNELS}]
        weight s8@16[experts, {_BLOCKS}]
        bias f32?[experts, {_CHANNELS}]
        expert s64(chosen)
        require rows == 1 || rows == chosen
        {_SUM}
        out f32(chosen * n)
        call expert_linear_s8_packed(x, x_scale, weight, weight_scale, bias, expert, out, McuExperts{{chosen, rows > 1 ? 1 : 0, experts, k, n}})
    """,
    "mcu::linear_s4": f"""
        x s8[*rows, k]
        x_scale f32(rows)
        require n >= 1
        weight s8@16[blocks(n, {ROWS}), blocks(k, {GROUP}), {BLOCK_BYTES}]
        bias f32?[n]
        out f32(rows * n)
        call linear_s4(x, x_scale, weight, bias, out, rows, k, n)
    """,
    "mcu::expert_linear_s4": f"""
        x s8[*rows, k]
        x_scale f32(rows)
        require n >= 1
        weight s8@16[experts, blocks(n, {ROWS}), blocks(k, {GROUP}), {BLOCK_BYTES}]
        bias f32?[experts, n]
        expert s64(chosen)
        require rows == 1 || rows == chosen
        out f32(chosen * n)
        call expert_linear_s4(x, x_scale, weight, bias, expert, out, McuExperts{{chosen, rows > 1 ? 1 : 0, experts, k, n}})
    """,
    "mcu::rms_norm": """
        x f32[*rows, n]
        weight f32[n]
        out f32(rows * n)
        same x
        call rms_norm(x, weight, out, rows, n, eps)
    """,
    "mcu::layer_norm": """
        x f32[*rows, n]
        weight f32[n]
        bias f32[n]
        out f32(rows * n)
        same x
        call layer_norm(x, weight, bias, out, rows, n, eps)
    """,
    "mcu::rope": _ROPE.format(name="rope"),
    "mcu::rope_pairs": _ROPE.format(name="rope_pairs"),
    "mcu::rope_rows": f"""
        {_ROTATED_ROWS.format(kind="f32")}
        call rope_rows(x, cos, sin, out, McuRopeRows{{positions, width / n, n, half, interleaved ? 2 : 1, interleaved ? 1 : half, 1.0f}})
    """,
    "mcu::rope_rows_s8": f"""
        {_ROTATED_ROWS.format(kind="s8").replace("x s8", "self s8").replace("same x", "same self")}
        require is_scale(ratio)
        call rope_rows_s8(self, cos, sin, out, McuRopeRows{{positions, width / n, n, half, interleaved ? 2 : 1, interleaved ? 1 : half, ratio}})
    """,
    "mcu::silu": """
        x f32(count)
        out f32(count)
        same x
        call silu(x, out, count)
    """,
    "mcu::gated_silu": """
        gate f32(count)
        up f32(count)
        out f32(count)
        same gate up
        call gated_silu(gate, up, out, count)
    """,
    "mcu::gelu": """
        x f32(count)
        out f32(count)
        same x
        call gelu_tanh(x, out, count) if tanh
        call gelu_erf(x, out, count)
    """,
    "mcu::gated_gelu": """
        gate f32(count)
        up f32(count)
        out f32(count)
        same gate up
        call gated_gelu_tanh(gate, up, out, count) if tanh
        call gated_gelu_erf(gate, up, out, count)
    """,
    "mcu::cache_write": _calibrated_write("cache_write", columns=False),
    "mcu::cache_write_columns": _calibrated_write("cache_write_columns", columns=True),
    "mcu::cache_write_dynamic": _dynamic_write("cache_write_dynamic", columns=False),
    "mcu::cache_write_columns_dynamic": _dynamic_write("cache_write_columns_dynamic", columns=True),
    "mcu::cache_scale_write": """
        self f16[1, heads, positions]
        position s64(tokens)
        require tokens == 1 || (position.rank == 1 && tokens == x.size(0))
        x f32(values)
        require values % (tokens * heads) == 0
        let n = values / (tokens * heads)
        out f16(self.count)
        copied self
        call cache_scale_write(out, x, position, heads, positions, n) if tokens == 1
        call cache_scale_write_chunk(out, x, position, tokens, heads, positions, n)
    """,
    "mcu::key_bias_scores": """
        q f32[tokens, heads, 1, n]
        position s64(tokens)
        table f32[groups, channels, positions]
        require heads % groups == 0
        columns s32[channels]
        require within(columns.as<int32_t>(), channels, n)
        out f32[tokens, heads, positions]
        call key_bias_scores(q, table, columns, position, out, heads, groups, channels, positions, n, scale) if tokens == 1
        call key_bias_scores_chunk(q, table, columns, position, out, tokens, heads, groups, channels, positions, n, scale)
    """,
    "mcu::attention_s8": _attention("attention_s8", dynamic=False, shaped=False),
    "mcu::attention_s8_dynamic": _attention("attention_s8_dynamic", dynamic=True, shaped=False),
    "mcu::attention_s8_shaped": _attention("attention_s8_shaped", dynamic=False, shaped=True),
    "mcu::attention_s8_dynamic_shaped": _attention("attention_s8_dynamic_shaped", dynamic=True, shaped=True),
    "mcu::ring_slot": """
        position s64(count)
        out s64(count)
        require sinks >= 0 && sinks < length && length <= 1 << 30
        call ring_slot(position, out, count, sinks, length)
    """,
    "mcu::attention_s8_sliding": _sliding("attention_s8_sliding", dynamic=False),
    "mcu::attention_s8_dynamic_sliding": _sliding("attention_s8_dynamic_sliding", dynamic=True),
    "mcu::sequence_attention_s8": f"""
        {_SEQUENCES}
        padding s64?[sequences, positions]
        require !padding.present || sequences == 1
        bias f32?
        tables s32?[sequences]
        require !bias.present || fits_bias(bias, heads, queries, positions)
        require !tables.present || (bias.present && within(tables.as<int32_t>(), sequences, bias.size(0)))
        let bias_tables = bias.present ? bias.size(0) : 1
        let bias_heads = bias.present ? bias.size(1) : 1
        let bias_rows = bias.present ? bias.size(2) : 1
        let bias_stride = bias.present ? bias.size(2) * bias.size(3) : 0
        call sequence_attention_s8(q, k, v, padding, bias, tables, out, scratch, McuSequenceAttention{{sequences, queries, positions, heads, groups, n, m, bias_tables, bias_heads, bias_rows, bias_stride, bias_heads * bias_stride, score_scale, out_scale, out_zero_point}})
    """,
    "mcu::relative_attention_s8": f"""
        {_SEQUENCES}
        require sequences == 1 && queries == positions && groups == heads && m == n
        padding s64?[1, positions]
        key_table s8?[heads, 2 * positions - 1, n]
        query_table s8?[heads, 2 * positions - 1, n]
        require is_scale(key_table_scale) && is_scale(query_table_scale)
        call relative_attention_s8(q, k, v, padding, key_table, query_table, out, scratch, McuRelativeAttention{{positions, heads, n, score_scale, key_table_scale, query_table_scale, out_scale, out_zero_point}})
    """,
    "mcu::lstm_s8": _layer("lstm_s8", 4, ("hidden s8", "cell s16"), 16),
    "mcu::gru_s8": _layer("gru_s8", 3, ("before s16",), 19),
    "mcu::lookup_s8": """
        self s8(count)
        table s8(256)
        out s8(count)
        same self
        call lookup_s8(self, table, out, count)
    """,
    "mcu::layer_norm_s8": """
        x s8|s16|f32[*rows, n]
        y s8?(rows * n)
        weight f32[n]
        bias f32[n]
        out s8(rows * n)
        require !y.present || (x.is_s8() && is_finite(y_ratio))
        same x y
        require x.is_s8() || !out.overlaps(x)
        call layer_norm_s8(x.as<int8_t>(), y, weight, bias, out, scratch(4 * n), rows, n, y_ratio, eps) if x.is_s8()
        call layer_norm_s16_to_s8(x.as<int16_t>(), weight, bias, out, scratch(4 * n), rows, n, eps) if x.is_s16()
        call layer_norm_to_s8(x.as<float>(), weight, bias, out, rows, n, eps)
    """,
    "mcu::softmax_gate_s8": """
        self s8[*rows, n]
        scores s8[*rows, n]
        out s8(rows * n)
        same self
        require is_scale(score_scale) && is_scale(ratio) && is_int8(zero_point) && is_int8(out_zero_point)
        call softmax_gate_s8(self, scores, out, scratch(4 * n), rows, n, score_scale, ratio, zero_point, out_zero_point)
    """,
    "mcu::embedding_s8_add": """
        weight s8[vocabulary, n]
        scale f32[vocabulary]
        ids s64(count)
        self f32(count * n)
        out f32(count * n)
        copied self
        call embedding_s8_add(out, weight, scale, ids, count, vocabulary, n)
    """,
    "mcu::conv2d_s8": f"""
        weight s8[outputs, rows, columns, group_inputs]
        {_CONVOLUTION}
        require inputs % group_inputs == 0 && outputs % (inputs / group_inputs) == 0
        {_MOST_TAPS.format(inputs="group_inputs")}
        call conv2d_s8(x, weight, bias, multiplier, shift, out, window, {_FULL})
    """,
    "mcu::depthwise_conv2d_s8": f"""
        weight s8[1, rows, columns, outputs]
        {_CONVOLUTION}
        require outputs % inputs == 0
        {_MOST_TAPS.format(inputs=1)}
        call depthwise_conv2d_s8(x, weight, bias, multiplier, shift, out, window, {_BY_CHANNEL}, scratch(depthwise_scratch(window))) if inputs == outputs && outputs > 1 && is_small(window) && shifts_right(shift.as<int32_t>(), outputs)
        call conv2d_s8(x, weight, bias, multiplier, shift, out, window, {_BY_CHANNEL})
    """,
    "mcu::log_mel": """
        samples s16(length)
        count s64?(1)
        window f32(width)
        roots f32[points, 2]
        require is_transform(points) && width <= points && width <= 512
        spans s32[bins, 2]
        filters f32(weights)
        require are_spans(spans.as<int32_t>(), bins, points / 2 + 1, weights)
        let spare = centered ? width / 2 : 0
        require frames >= 1 && hop >= 1 && length > spare && (frames - 1) * hop + width - spare <= length + spare
        require floor > 1e-30 && floor < 1e30
        require is_finite(preemphasis) && is_finite(gain) && is_finite(offset) && is_finite(reach)
        out f32
        require bins_first ? out.is({1, bins, frames}) : out.is({1, frames, bins})
        scratch u8@16[8 * points]
        call log_mel(samples, count, window, roots, filters, spans, out, scratch, McuLogMel{length, width, points, bins, frames, hop, centered ? 1 : 0, from_mean ? 1 : 0, bins_first ? 1 : 0, preemphasis, floor, gain, offset, reach})
    """,
    "mcu::normalize_wave": f"""
        samples s16(n)
        count s64?(1)
        out f32(n)
        require n <= {1 << 20}
        call normalize_wave(samples, count, out, n, normalizes)
    """,
    "mcu::resize_frame": """
        frame u8[1, height, width, channels]
        column_spans s32[columns, 2]
        row_spans s32[rows, 2]
        column_weights s32(column_parts)
        row_weights s32(row_parts)
        require are_lines(column_spans.as<int32_t>(), column_weights.as<int32_t>(), columns, width, column_parts)
        require are_lines(row_spans.as<int32_t>(), row_weights.as<int32_t>(), rows, height, row_parts)
        require are_in_order(row_spans.as<int32_t>(), rows)
        require ring >= 1 && ring <= height && ring >= longest_span(row_spans.as<int32_t>(), rows)
        table f32|s8[channels, 256]
        out f32|s8[1, rows, columns, channels]
        require out.type == table.type
        scratch u8[((rows_first ? width : ring * columns) + columns) * channels]
        call resize_frame_s8(frame, column_spans, column_weights, row_spans, row_weights, table.as<int8_t>(), out.as<int8_t>(), scratch, McuResizeFrame{width, channels, columns, rows, ring, rows_first ? 1 : 0}) if table.is_s8()
        call resize_frame_f32(frame, column_spans, column_weights, row_spans, row_weights, table.as<float>(), out.as<float>(), scratch, McuResizeFrame{width, channels, columns, rows, ring, rows_first ? 1 : 0})
    """,
    "mcu::max_pool2d_s8": f"""
        {_POOL.replace("{dilation}", "dilation")}
        call max_pool2d_s8(x, out, window, -128, 127)
    """,
    "mcu::avg_pool2d_s8": f"""
        {_POOL.replace("{dilation}", "{}")}
        require is_divisor(scale) && is_int8(zero_point)
        call avg_pool2d_s8(x, out, window, zero_point, scale)
    """,
}
"""By the operator's name in operators/table.py."""

_REQUANTIZES = "require is_requantization(output_multiplier, output_shift)"
_POINTS = "require is_int8({0}_zero_point) && is_int8({1}_zero_point) && is_int8(output_zero_point)"
_BROADCAST = """
    out s8
    any order
    same self other
    declare Broadcast table
    require table.fits(self, other, out)
"""
_LONGEST_DOT = 1 << 15
"""Products of two offset int8 numbers (up to 255 * 255) that an int32 sum holds."""

_QUANTIZES = """
    require (dtype == 1 && {kind}.is_s8()) || (dtype == 2 && {kind}.is_s16())
    require quant_min <= quant_max && is_int16(quant_min) && is_int16(quant_max) && is_int16(zero_point)
    require !{kind}.is_s8() || (is_int8(quant_min) && is_int8(quant_max) && is_int8(zero_point))
"""

CORTEX_M: dict[str, tuple[str, str]] = {
    "cortex_m::quantize_per_tensor": (
        "Tensor input, float scale, int zero_point, int quant_min, int quant_max, ScalarType dtype",
        f"""
            input f32(count)
            out s8|s16(count)
            any order
            require is_divisor(scale)
            {_QUANTIZES.format(kind="out")}
            call quantize(input, out.as<int8_t>(), count, 1.0 / scale, zero_point, quant_min, quant_max) if out.is_s8()
            call quantize_s16(input, out.as<int16_t>(), count, 1.0 / scale, zero_point, quant_min, quant_max)
        """,
    ),
    "cortex_m::dequantize_per_tensor": (
        "Tensor input, float scale, int zero_point, int quant_min, int quant_max, ScalarType dtype",
        f"""
            input s8|s16(count)
            out f32(count)
            any order
            require is_finite(scale)
            {_QUANTIZES.format(kind="input")}
            call dequantize(input.as<int8_t>(), out, count, scale, zero_point) if input.is_s8()
            call dequantize_s16(input.as<int16_t>(), out, count, scale, zero_point)
        """,
    ),
    "cortex_m::quantized_add": (
        "Tensor self, int self_zero_point, int self_multiplier, int self_shift, "
        "Tensor other, int other_zero_point, int other_multiplier, int other_shift, "
        "int output_zero_point, int output_multiplier, int output_shift, "
        "int activation_min, int activation_max",
        f"""
            self s8
            other s8
            {_BROADCAST}
            {_POINTS.format("self", "other")}
            require is_signed_requantization(self_multiplier, self_shift)
            require is_signed_requantization(other_multiplier, other_shift)
            {_REQUANTIZES}
            require is_int8(activation_min) && is_int8(activation_max) && activation_min <= activation_max
            call quantized_add(self, other, out, table.sizes, table.axes, McuQuantizedAdd{{self_zero_point, self_multiplier, self_shift, other_zero_point, other_multiplier, other_shift, output_zero_point, output_multiplier, output_shift, activation_min, activation_max}})
        """,
    ),
    "cortex_m::quantized_mul": (
        "Tensor self, int self_zero_point, Tensor other, int other_zero_point, "
        "int output_zero_point, int output_multiplier, int output_shift",
        f"""
            self s8
            other s8
            {_BROADCAST}
            {_POINTS.format("self", "other")}
            {_REQUANTIZES}
            call quantized_mul(self, other, out, table.sizes, table.axes, McuQuantizedMul{{self_zero_point, other_zero_point, output_zero_point, output_multiplier, output_shift}})
        """,
    ),
    "cortex_m::quantized_div": (
        "Tensor self, int self_zero_point, Tensor other, int other_zero_point, "
        "int output_zero_point, float output_scale",
        f"""
            self s8(count)
            other s8(count)
            require self.has_shape_of(other)
            out s8(count)
            any order
            same self other
            {_POINTS.format("self", "other")}
            require is_divisor(output_scale)
            call quantized_div(self, other, out, count, self_zero_point, other_zero_point, output_zero_point, output_scale)
        """,
    ),
    "cortex_m::quantized_activation": (
        "Tensor input, Tensor lut",
        """
            input s8(count)
            lut s8(256)
            out s8(count)
            any order but lut
            same input
            call lookup_s8(input, lut, out, count)
        """,
    ),
    "cortex_m::softmax": (
        "Tensor input, int dim, int input_zero_point, int output_zero_point, int input_multiplier, int input_shift, "
        "int diff_min",
        """
            input s8[*rows, n]
            require dim == -1 || dim == input.rank - 1
            out s8(rows * n)
            same input
            require is_int8(input_zero_point) && output_zero_point == -128
            require is_requantization(input_multiplier, input_shift) && input_multiplier > 0
            call softmax_s8(input, out, rows, n, softmax_scale(input_multiplier, input_shift), input_zero_point, scratch(4 * n))
        """,
    ),
    "cortex_m::quantized_batch_matmul": (
        "Tensor lhs, int lhs_zero_point, Tensor rhs_transposed, int rhs_zero_point, int output_zero_point, "
        "int output_multiplier, int output_shift, Tensor scratch",
        f"""
            lhs s8[batch, m, k]
            rhs_transposed s8[batch, n, k]
            require k < {_LONGEST_DOT}
            out s8(batch * m * n)
            unused scratch
            require lhs_zero_point >= -127 && lhs_zero_point <= 128
            require rhs_zero_point >= -127 && rhs_zero_point <= 128 && is_int8(output_zero_point)
            {_REQUANTIZES}
            call batch_matmul_rows_s8(lhs, rhs_transposed, out, McuBatchMatmul{{batch, m, k, n, lhs_zero_point, rhs_zero_point, output_zero_point, output_multiplier, output_shift}}, scratch(pair_bytes(k, 1) + 4 * n)) if m > 1 && output_shift < 0
            call batch_matmul_s8(lhs, rhs_transposed, out, McuBatchMatmul{{batch, m, k, n, lhs_zero_point, rhs_zero_point, output_zero_point, output_multiplier, output_shift}})
        """,
    ),
    "cortex_m::transpose": (
        "Tensor input, int[] perm",
        """
            input u8|s8|s16|s32|s64|f16|f32
            out u8|s8|s16|s32|s64|f16|f32
            declare Permutation table
            require table.fits(input, perm, out)
            call strided_copy(input.as<uint8_t>(), out.as<uint8_t>(), table.sizes, table.axes, table.element_size)
        """,
    ),
    "cortex_m::quantized_linear": (
        "Tensor input, Tensor weights, Tensor? bias, Tensor? kernel_sum, int input_offset, int filter_offset, "
        "int output_offset, int[] requantize_multipliers, int[] requantize_shifts, int activation_max, "
        "int activation_min",
        f"""
            input s8[*rows, k]
            weights s8[n, k]
            require k < {_LONGEST_DOT}
            bias s32?(n)
            kernel_sum s32?(n)
            out s8(rows * n)
            require filter_offset == 0 && input_offset >= -127 && input_offset <= 128 && is_int8(output_offset)
            require is_int8(activation_min) && is_int8(activation_max) && activation_min <= activation_max
            require requantize_multipliers.size() > 0 && requantize_shifts.size() > 0
            require is_requantization(requantize_multipliers[0], requantize_shifts[0])
            let multiplier = requantize_multipliers[0]
            let shift = requantize_shifts[0]
            declare FourFactors factors
            require factors.fill(multiplier, shift)
            call linear_rows_s8(input, weights, sums(kernel_sum, weights, bias, input_offset), factors.multiplier, factors.shift, out, McuLinearRows{{rows, k, n, 0, output_offset, activation_min, activation_max}}, scratch(pair_bytes(k, 8))) if rows > 1 && shift < 0
            call linear_s8_per_tensor(input, weights, sums(kernel_sum, weights, bias, input_offset), out, rows, k, n, McuRequantization{{multiplier, shift, output_offset, activation_min, activation_max}})
        """,
    ),
}
"""Of ExecuTorch's operators for Cortex-M those that models of ours have: what torch registers between the parentheses, and
the lines. Their specification is executorch/backends/cortex_m/ops/operators.py."""


def called_operators() -> dict[str, Operator]:
    """Every operator that can be called, by name."""
    theirs = {name: Operator(name, arguments) for name, (arguments, _) in CORTEX_M.items()}
    return {**{row.name: row for row in own_operators()}, **theirs}


def lines_of(name: str) -> str:
    """What is said of an operator."""
    return CALLS[name] if name in CALLS else CORTEX_M[name][1]
