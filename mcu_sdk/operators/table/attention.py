"""Attention: the KV cache, rotary embeddings, products with the cache or of a sequence with itself."""

from __future__ import annotations

from mcu_sdk.operators.limits import LONGEST_SUM
from mcu_sdk.operators.table.row import Operator, Work

_TOKENS = """
    position s64(tokens)
    require tokens == 1 || (position.rank == 1 && tokens == x.size(0))
"""


def _by_tokens(name: str, tensors: str, numbers: str, *, of_several: str = "") -> str:
    """A kernel for one token, and one for several, which takes other numbers where `of_several` are given."""
    return f"""
        call {name}({tensors}, {numbers}) if tokens == 1
        call {name}_chunk({tensors}, tokens, {of_several or numbers})
    """


def _rope(name: str) -> Operator:
    """Two products for each element, the second one with the addition."""
    sizes = "n, half, positions"
    calls = _by_tokens(
        name, "x, cos, sin, position, out", f"rows, {sizes}", of_several=f"rows / tokens, {sizes}"
    )
    return Operator(
        f"mcu::{name}",
        "Tensor x, Tensor cos, Tensor sin, Tensor position",
        one_of={"cos": 0, "sin": 0},
        index="position",
        arithmetic=2,
        call=f"""
            x f32[*rows, n]
            {_TOKENS}
            cos f32[positions, half]
            sin f32[positions, half]
            require 2 * half <= n
            out f32(rows * n)
            same x
            {calls}
        """,
    )


def _rotated_rows(kernel: str, x: str, kind: str, ratio: str, *, check: str = "") -> str:
    return f"""
        {x} {kind}[1, positions, width]
        require n >= 1 && width % n == 0
        cos f32[positions, half]
        sin f32[positions, half]
        require 2 * half <= n
        out {kind}(positions * width)
        same {x}
        {check}
        call {kernel}({x}, cos, sin, out, McuRopeRows{{positions, width / n, n, half, interleaved ? 2 : 1, interleaved ? 1 : half, {ratio}}})
    """


def _cache_write(name: str, arguments: str, axis: int, arithmetic: int, call: str) -> Operator:
    """`axis`: the one of the positions."""
    return Operator(
        name,
        f"Tensor self, Tensor x, {arguments}",
        in_place=True,
        caches={"self": axis},
        one_of={"self": axis},
        index="position",
        arithmetic=arithmetic,
        call=call,
    )


def _cache_write_s8(name: str, *, columns: bool, dynamic: bool) -> Operator:
    """Of keys, or of values as `columns`; with scales that are found (`dynamic`) or that were calibrated."""
    inverse = "" if dynamic else "inverse_scale, "
    call = f"""
        self s8[1, heads, {"n, positions" if columns else "positions, n"}]
        {_TOKENS}
        x f32(tokens * heads * n)
        {"" if dynamic else "inverse_scale f32[heads, n]"}
        out s8(self.count)
        copied self
        {_by_tokens(name, f"out, x, {inverse}position", "heads, positions, n")}
    """
    arguments = "Tensor position" if dynamic else "Tensor inverse_scale, Tensor position"
    return _cache_write(f"mcu::{name}", arguments, 3 if columns else 2, 20 if dynamic else 12, call)


_FIT = f"require positions < {LONGEST_SUM} && n < {LONGEST_SUM}"
_SCRATCH = """
    scratch u8@16
    require scratch.count >= up(4 * positions, 16) + up(positions, 16) + up(n, 16)
"""


def _scales(dynamic: bool) -> tuple[str, str]:
    """The names of the caches' scales."""
    return ("k_scales", "v_scales") if dynamic else ("k_scale", "v_scale")


def _caches(dynamic: bool) -> str:
    kind = "f16[1, groups, positions]" if dynamic else "f32[groups, n]"
    k, v = _scales(dynamic)
    return f"""
        k_cache s8[1, groups, positions, n]
        v_cache s8[1, groups, n, positions]
        {k} {kind}
        {v} {kind}
    """


def _over_cache(name: str, queries: str, others: str, dynamic: bool, call: str) -> Operator:
    k, v = _scales(dynamic)
    caches = {"k_cache": 2, "v_cache": 3}
    return Operator(
        f"mcu::{name}",
        f"{queries}, Tensor k_cache, Tensor v_cache, Tensor {k}, Tensor {v}, Tensor position, {others}",
        ("out", "scratch"),
        caches={**caches, k: 2, v: 2} if dynamic else caches,
        work=Work.ATTENTION,
        call=call,
    )


_BIAS = """
    bias f32?
    let of_its_own = bias.rank == 3 ? 1 : 0
    require !bias.present || bias.is({heads, positions}) || bias.is({tokens, heads, positions})
    sinks f32?[heads]
"""


def _attention(*, dynamic: bool, shaped: bool) -> Operator:
    """With scales of channels, or with one for each position (`dynamic`); `shaped`: with what is added to its scores."""
    name = f"attention_s8{'_dynamic' if dynamic else ''}{'_shaped' if shaped else ''}"
    tensors = f"q, k_cache, v_cache, {', '.join(_scales(dynamic))}, position, {'bias, sinks, ' if shaped else ''}out, scratch"
    sizes = f"heads, groups, positions, n, {'scale, cap' if shaped else 'scale'}"
    step = "of_its_own * heads * positions, " if shaped else ""
    call = f"""
        q f32[tokens, heads, 1, n]
        position s64(tokens)
        {_caches(dynamic)}
        require heads % groups == 0
        {_FIT}
        {_BIAS if shaped else ""}
        out f32(tokens * heads * n)
        {_SCRATCH}
        {_by_tokens(name, tensors, sizes, of_several=step + sizes)}
    """
    others = "Tensor? bias, Tensor? sinks, float scale, float cap" if shaped else "float scale"
    return _over_cache(name, "Tensor q", others, dynamic, call)


def _sliding(*, dynamic: bool) -> Operator:
    """Over a cache whose first positions stay while the others are written over."""
    name = f"attention_s8{'_dynamic' if dynamic else ''}_sliding"
    tensors = (
        f"q, q_sinks, q_before, k_cache, v_cache, {', '.join(_scales(dynamic))}, position, slot, out, scratch"
    )
    call = f"""
        q f32[1, heads, 1, n]
        q_sinks f32[1, heads, 1, n]
        q_before f32[1, heads, 1, n]
        {_caches(dynamic)}
        position s64[1]
        slot s64[1]
        require heads % groups == 0 && sinks >= 0 && sinks < positions
        {_FIT}
        out f32(heads * n)
        {_SCRATCH}
        call {name}({tensors}, heads, groups, positions, n, sinks, scale, cap)
    """
    others = "Tensor slot, int sinks, float scale, float cap"
    return _over_cache(name, "Tensor q, Tensor q_sinks, Tensor q_before", others, dynamic, call)


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
    {_FIT}
    require is_scale(score_scale) && is_scale(out_scale) && is_int8(out_zero_point)
    out s8[sequences, queries, heads * m]
    scratch u8@16
    require scratch.count >= sequence_scratch(positions, n, m)
"""

_KEY_BIASES = "heads, groups, channels, positions, n, scale"

ROWS = (
    _rope("rope"),
    _rope("rope_pairs"),
    Operator(
        "mcu::rope_rows",
        "Tensor x, Tensor cos, Tensor sin, int n, bool interleaved",
        arithmetic=2,
        call=_rotated_rows("rope_rows", "x", "f32", "1.0f"),
    ),
    # For 16 elements, four vectors each time: convert, two products, scale, round.
    Operator(
        "mcu::rope_rows_s8",
        "Tensor self, Tensor cos, Tensor sin, int n, bool interleaved, float ratio",
        in_place=True,
        arithmetic=28,
        call=_rotated_rows("rope_rows_s8", "self", "s8", "ratio", check="require is_scale(ratio)"),
    ),
    _cache_write_s8("cache_write", columns=False, dynamic=False),
    _cache_write_s8("cache_write_columns", columns=True, dynamic=False),
    _cache_write_s8("cache_write_dynamic", columns=False, dynamic=True),
    _cache_write_s8("cache_write_columns_dynamic", columns=True, dynamic=True),
    _cache_write(
        "mcu::cache_scale_write",
        "Tensor position",
        axis=2,
        arithmetic=1,
        call=f"""
            self f16[1, heads, positions]
            {_TOKENS}
            x f32(values)
            require values % (tokens * heads) == 0
            let n = values / (tokens * heads)
            out f16(self.count)
            copied self
            {_by_tokens("cache_scale_write", "out, x, position", "heads, positions, n")}
        """,
    ),
    # A load and a multiply-accumulate for each channel, of which there are two for each pair that is known.
    Operator(
        "mcu::key_bias_scores",
        "Tensor q, Tensor table, Tensor columns, Tensor position, float scale",
        arithmetic=4,
        call=f"""
            q f32[tokens, heads, 1, n]
            position s64(tokens)
            table f32[groups, channels, positions]
            require heads % groups == 0
            columns s32[channels]
            require within(columns.as<int32_t>(), channels, n)
            out f32[tokens, heads, positions]
            {_by_tokens("key_bias_scores", "q, table, columns, position, out", _KEY_BIASES)}
        """,
    ),
    *(_attention(dynamic=dynamic, shaped=shaped) for shaped in (False, True) for dynamic in (False, True)),
    # The slot of a position in a cache that slides, and attention over such a cache.
    Operator(
        "mcu::ring_slot",
        "Tensor position, int sinks, int length",
        call="""
            position s64(count)
            out s64(count)
            require sinks >= 0 && sinks < length && length <= 1 << 30
            call ring_slot(position, out, count, sinks, length)
        """,
    ),
    _sliding(dynamic=False),
    _sliding(dynamic=True),
    Operator(
        "mcu::sequence_attention_s8",
        "Tensor q, Tensor k, Tensor v, Tensor? padding, Tensor? bias, Tensor? tables, int heads, float score_scale, "
        "float out_scale, int out_zero_point",
        ("out", "scratch"),
        work=Work.SEQUENCE,
        call=f"""
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
    ),
    Operator(
        "mcu::gated_attention_s8",
        "Tensor q, Tensor k, Tensor v, Tensor gates, Tensor bias, int heads, float score_scale, float out_scale, "
        "int out_zero_point",
        ("out", "scratch"),
        work=Work.SEQUENCE,
        call=f"""
            {_SEQUENCES}
            require sequences == 1 && groups == heads
            gates f32[heads, queries]
            bias f32
            require fits_bias(bias, heads, queries, positions) && bias.size(0) == 1
            let bias_heads = bias.size(1)
            let bias_rows = bias.size(2)
            call gated_attention_s8(q, k, v, gates, bias, out, scratch, McuGatedAttention{{queries, positions, heads, n, m, bias_heads, bias_rows, bias_rows * bias.size(3), score_scale, out_scale, out_zero_point}})
        """,
    ),
    Operator(
        "mcu::relative_attention_s8",
        "Tensor q, Tensor k, Tensor v, Tensor? padding, Tensor? key_table, Tensor? query_table, int heads, "
        "float score_scale, float key_table_scale, float query_table_scale, float out_scale, int out_zero_point",
        ("out", "scratch"),
        work=Work.SEQUENCE,
        call=f"""
            {_SEQUENCES}
            require sequences == 1 && queries == positions && groups == heads && m == n
            padding s64?[1, positions]
            key_table s8?[heads, 2 * positions - 1, n]
            query_table s8?[heads, 2 * positions - 1, n]
            require is_scale(key_table_scale) && is_scale(query_table_scale)
            call relative_attention_s8(q, k, v, padding, key_table, query_table, out, scratch, McuRelativeAttention{{positions, heads, n, score_scale, key_table_scale, query_table_scale, out_scale, out_zero_point}})
        """,
    ),
)
