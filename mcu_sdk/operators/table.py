"""What is known of each operator, one row for each: the only place that knows operators by their names.

A row of ours gives the schema that reference/ registers with torch; lowering, planning and reports ask the rows for
the rest. Operators of ExecuTorch and ATen have a row where something but their emitter has to know them; its
arguments are those that torch registers, up to the last one that matters here. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from mcu_sdk.operators.layouts import WeightLayout


class Work(Enum):
    """What an operator's arithmetic is counted by (planning/ideal.py)."""

    PRODUCT = "rows of the input times the rows of a weight"
    CONVOLUTION = "windows of the input times a filter for each output"
    DEPTHWISE = "windows of one channel of the input times its own filter"
    BATCHED = "products of two activations"
    ATTENTION = "products with the cache so far, and a softmax for each head"
    SEQUENCE = "products of every query with every key, and a softmax for each query and head"
    RECURRENT = "at each step the step's input and the state times a weight each"
    STREAM = "every byte once, and some instructions for each vector of results"


@dataclass(frozen=True)
class Operator:
    """A row. Arguments are named as in the schema.

    `arguments` is the schema between the parentheses, `outputs` the names of the results. `in_place`: a form whose
    name ends in `_` writes into the first argument. `weight`: the argument with the weights, `weight_bits` what one
    takes when it is quantized; `channels`: the arguments with a value for each of its rows. `layout`: how the weight
    has to lie; `packed`: the overload that takes it in the other layout.
    `caches`: arguments that live from step to step, and the axis of their positions. `one_of`: arguments of which a
    step reads or writes only what one index of an axis selects, and that axis; as many as `index` has elements.
    `every_step`: arguments that are read once for each step, along axis 1 of the first argument.
    `border`: it only makes integers of floats, or floats of integers, as around a delegate.
    `work` and `arithmetic` (vector instructions for 16 bytes of results) make the bound of its cost; `input` is what
    the weight multiplies.
    """

    name: str
    arguments: str
    outputs: tuple[str, ...] = ("out",)
    in_place: bool = False
    weight: str = ""
    weight_bits: int = 0
    channels: tuple[str, ...] = ()
    layout: WeightLayout = "rows"
    packed: str = ""
    caches: Mapping[str, int] = field(default_factory=dict)
    one_of: Mapping[str, int] = field(default_factory=dict)
    index: str = ""
    every_step: tuple[str, ...] = ()
    work: Work = Work.STREAM
    arithmetic: int = 1
    input: str = ""
    border: bool = False

    @property
    def argument_names(self) -> tuple[str, ...]:
        """The names of the arguments, in order."""
        parts = [part.strip() for part in self.arguments.split(",")]
        return tuple(part.split()[-1].partition("=")[0] for part in parts if part != "*")

    def position(self, argument: str) -> int:
        """The index of an argument in the schema."""
        return self.argument_names.index(argument)

    @property
    def input_position(self) -> int:
        """The index of what the weight multiplies; the first argument, unless the row names another."""
        return self.position(self.input) if self.input else 0

    @property
    def plain_name(self) -> str:
        """The name without the namespace."""
        return self.name.partition("::")[2]

    @property
    def out_name(self) -> str:
        """The out variant of one of ours, without the namespace: "rope.out", "linear_s8.packed_out"."""
        return f"{self.plain_name}_out" if "." in self.plain_name else f"{self.plain_name}.out"

    @property
    def in_place_name(self) -> str:
        """The in-place form, without the namespace: "lookup_s8_", "linear_s8_add_s16_.packed"."""
        name, dot, overload = self.plain_name.partition(".")
        return f"{name}_{dot}{overload}"

    @property
    def is_ours(self) -> bool:
        """Whether this SDK defines the operator."""
        return self.name.partition("::")[0] == OWN


OWN = "mcu"
"""The namespace of our operators."""

_LINEAR_S8 = "Tensor x, Tensor x_scale, Tensor weight, Tensor weight_scale, Tensor? bias"
_CHOSEN = {"weight": 0, "weight_scale": 0, "bias": 0}
_LINEAR_STATIC = "Tensor x, Tensor weight, Tensor offset, Tensor scale, Tensor? bias"
_REQUANTIZED = "int out_zero_point, int out_min, int out_max"
_ADDED = "Tensor self, Tensor x, Tensor weight"
_CALIBRATED_WRITE = "Tensor self, Tensor x, Tensor inverse_scale, Tensor position"
_DYNAMIC_WRITE = "Tensor self, Tensor x, Tensor position"
_RECURRENT = (
    "Tensor input_weight, Tensor state_weight, Tensor constants, Tensor tables, int bits, int out_multiplier, "
    "int out_shift, bool backwards, int n"
)
_CONVOLUTION = "Tensor input, Tensor weight"
_CONVOLUTION_S8 = (
    "Tensor x, Tensor weight, Tensor bias, int[] stride, int[] padding, int[] dilation, int input_offset, "
    "int out_zero_point, Tensor multiplier, Tensor shift, int out_min, int out_max"
)
_WINDOWS = "int[] size, int[] stride, int[] padding"
_KEYS, _VALUES = {"self": 2}, {"self": 3}
_SHAPED = "Tensor position, Tensor? bias, Tensor? sinks, float scale, float cap"
_ATTENDED = {"k_cache": 2, "v_cache": 3}
_SLIDING = "Tensor q, Tensor q_sinks, Tensor q_before, Tensor k_cache, Tensor v_cache"
_SLIDES = "Tensor position, Tensor slot, int sinks, float scale, float cap"


def _product(
    name: str, arguments: str, *, bits: int = 8, channels: tuple[str, ...] = (), packed: str = ""
) -> Operator:
    """A linear of ours with its weight row by row or, with int4, in its only layout."""
    return Operator(
        name,
        arguments,
        weight="weight",
        weight_bits=bits,
        channels=channels,
        packed=packed,
        work=Work.PRODUCT,
    )


def _packed_product(name: str, arguments: str) -> Operator:
    return Operator(name, arguments, weight="weight", weight_bits=8, layout="helium-8x16", work=Work.PRODUCT)


def _cache_write(
    name: str, arguments: str, axes: Mapping[str, int], arithmetic: int, caches: Mapping[str, int]
) -> Operator:
    return Operator(
        name,
        arguments,
        in_place=True,
        caches=caches,
        one_of=axes,
        index="position",
        arithmetic=arithmetic,
    )


def _recurrent(name: str, arguments: str) -> Operator:
    return Operator(
        name,
        arguments,
        ("out", "state"),
        weight="state_weight",
        weight_bits=8,
        every_step=("input_weight", "state_weight", "constants"),
        work=Work.RECURRENT,
    )


_ROWS = (
    Operator(
        "mcu::embedding_s8",
        "Tensor weight, Tensor scale, Tensor ids",
        weight="weight",
        weight_bits=8,
        channels=("scale",),
        packed="packed",
        one_of={"weight": 0, "scale": 0},
        index="ids",
    ),
    Operator(
        "mcu::embedding_s8.packed",
        "Tensor weight, Tensor scale, Tensor ids, int n",
        weight="weight",
        weight_bits=8,
        layout="helium-8x16",
        one_of={"weight": 0, "scale": 0},
        index="ids",
    ),
    # For 16 elements: scale and round 4 vectors, narrow.
    Operator("mcu::quantize", "Tensor x, float scale, int zero_point", arithmetic=12),
    # The same behind a pass for the greatest magnitude.
    Operator("mcu::quantize_rows", "Tensor x", ("q", "scale"), arithmetic=20),
    _product("mcu::linear_s8", _LINEAR_S8, channels=("weight_scale", "bias"), packed="packed"),
    _packed_product("mcu::linear_s8.packed", f"{_LINEAR_S8}, int n"),
    _product("mcu::linear_s8_static", _LINEAR_STATIC, channels=("offset", "scale", "bias"), packed="packed"),
    _packed_product("mcu::linear_s8_static.packed", f"{_LINEAR_STATIC}, int n"),
    _product(
        "mcu::linear_s8_requantize",
        f"Tensor x, Tensor weight, Tensor bias, Tensor multiplier, Tensor shift, {_REQUANTIZED}",
        channels=("bias", "multiplier", "shift"),
        packed="packed",
    ),
    _packed_product(
        "mcu::linear_s8_requantize.packed",
        f"Tensor x, Tensor weight, Tensor constants, {_REQUANTIZED}, int n",
    ),
    Operator(
        "mcu::linear_s8_add_s16",
        f"{_ADDED}, Tensor bias, Tensor multiplier, Tensor shift",
        in_place=True,
        weight="weight",
        weight_bits=8,
        channels=("bias", "multiplier", "shift"),
        packed="packed",
        work=Work.PRODUCT,
        input="x",
    ),
    Operator(
        "mcu::linear_s8_add_s16.packed",
        f"{_ADDED}, Tensor constants, int n",
        in_place=True,
        weight="weight",
        weight_bits=8,
        layout="helium-8x16",
        work=Work.PRODUCT,
        input="x",
    ),
    Operator(
        "mcu::expert_linear_s8",
        f"{_LINEAR_S8}, Tensor expert",
        weight="weight",
        weight_bits=8,
        channels=("weight_scale", "bias"),
        packed="packed",
        one_of=_CHOSEN,
        index="expert",
        work=Work.PRODUCT,
    ),
    Operator(
        "mcu::expert_linear_s8.packed",
        f"{_LINEAR_S8}, Tensor expert, int n",
        weight="weight",
        weight_bits=8,
        layout="helium-8x16",
        one_of=_CHOSEN,
        index="expert",
        work=Work.PRODUCT,
    ),
    _product("mcu::linear_s4", "Tensor x, Tensor x_scale, Tensor weight, Tensor? bias, int n", bits=4),
    Operator(
        "mcu::expert_linear_s4",
        "Tensor x, Tensor x_scale, Tensor weight, Tensor? bias, Tensor expert, int n",
        weight="weight",
        weight_bits=4,
        one_of={"weight": 0, "bias": 0},
        index="expert",
        work=Work.PRODUCT,
    ),
    # Square and add; scale; weight.
    Operator("mcu::rms_norm", "Tensor x, Tensor weight, float eps", arithmetic=3),
    # Sum; centre, square and add; scale, weight, bias.
    Operator("mcu::layer_norm", "Tensor x, Tensor weight, Tensor bias, float eps", arithmetic=5),
    # Two products for each element, the second one with the addition.
    Operator(
        "mcu::rope",
        "Tensor x, Tensor cos, Tensor sin, Tensor position",
        one_of={"cos": 0, "sin": 0},
        index="position",
        arithmetic=2,
    ),
    Operator(
        "mcu::rope_pairs",
        "Tensor x, Tensor cos, Tensor sin, Tensor position",
        one_of={"cos": 0, "sin": 0},
        index="position",
        arithmetic=2,
    ),
    Operator("mcu::rope_rows", "Tensor x, Tensor cos, Tensor sin, int n, bool interleaved", arithmetic=2),
    # For 16 elements, four vectors each time: convert, two products, scale, round.
    Operator(
        "mcu::rope_rows_s8",
        "Tensor self, Tensor cos, Tensor sin, int n, bool interleaved, float ratio",
        in_place=True,
        arithmetic=28,
    ),
    # e^x as a polynomial of degree 6, its scaling, a division by two Newton steps.
    Operator("mcu::silu", "Tensor x", arithmetic=13),
    Operator("mcu::gated_silu", "Tensor gate, Tensor up", arithmetic=14),
    Operator("mcu::gelu", "Tensor x, bool tanh", arithmetic=15),
    Operator("mcu::gated_gelu", "Tensor gate, Tensor up, bool tanh", arithmetic=16),
    _cache_write("mcu::cache_write", _CALIBRATED_WRITE, _KEYS, 12, _KEYS),
    _cache_write("mcu::cache_write_columns", _CALIBRATED_WRITE, _VALUES, 12, _VALUES),
    _cache_write("mcu::cache_write_dynamic", _DYNAMIC_WRITE, _KEYS, 20, _KEYS),
    _cache_write("mcu::cache_write_columns_dynamic", _DYNAMIC_WRITE, _VALUES, 20, _VALUES),
    _cache_write("mcu::cache_scale_write", _DYNAMIC_WRITE, _KEYS, 1, _KEYS),
    # A load and a multiply-accumulate for each channel, of which there are two for each pair that is known.
    Operator(
        "mcu::key_bias_scores",
        "Tensor q, Tensor table, Tensor columns, Tensor position, float scale",
        arithmetic=4,
    ),
    Operator(
        "mcu::attention_s8",
        "Tensor q, Tensor k_cache, Tensor v_cache, Tensor k_scale, Tensor v_scale, Tensor position, float scale",
        ("out", "scratch"),
        caches=_ATTENDED,
        work=Work.ATTENTION,
    ),
    Operator(
        "mcu::attention_s8_dynamic",
        "Tensor q, Tensor k_cache, Tensor v_cache, Tensor k_scales, Tensor v_scales, Tensor position, float scale",
        ("out", "scratch"),
        caches={**_ATTENDED, "k_scales": 2, "v_scales": 2},
        work=Work.ATTENTION,
    ),
    Operator(
        "mcu::attention_s8_shaped",
        f"Tensor q, Tensor k_cache, Tensor v_cache, Tensor k_scale, Tensor v_scale, {_SHAPED}",
        ("out", "scratch"),
        caches=_ATTENDED,
        work=Work.ATTENTION,
    ),
    Operator(
        "mcu::attention_s8_dynamic_shaped",
        f"Tensor q, Tensor k_cache, Tensor v_cache, Tensor k_scales, Tensor v_scales, {_SHAPED}",
        ("out", "scratch"),
        caches={**_ATTENDED, "k_scales": 2, "v_scales": 2},
        work=Work.ATTENTION,
    ),
    # The slot of a position in a cache that slides, and attention over such a cache.
    Operator("mcu::ring_slot", "Tensor position, int sinks, int length"),
    Operator(
        "mcu::attention_s8_sliding",
        f"{_SLIDING}, Tensor k_scale, Tensor v_scale, {_SLIDES}",
        ("out", "scratch"),
        caches=_ATTENDED,
        work=Work.ATTENTION,
    ),
    Operator(
        "mcu::attention_s8_dynamic_sliding",
        f"{_SLIDING}, Tensor k_scales, Tensor v_scales, {_SLIDES}",
        ("out", "scratch"),
        caches={**_ATTENDED, "k_scales": 2, "v_scales": 2},
        work=Work.ATTENTION,
    ),
    Operator(
        "mcu::sequence_attention_s8",
        "Tensor q, Tensor k, Tensor v, Tensor? padding, Tensor? bias, Tensor? tables, int heads, float score_scale, "
        "float out_scale, int out_zero_point",
        ("out", "scratch"),
        work=Work.SEQUENCE,
    ),
    Operator(
        "mcu::relative_attention_s8",
        "Tensor q, Tensor k, Tensor v, Tensor? padding, Tensor? key_table, Tensor? query_table, int heads, "
        "float score_scale, float key_table_scale, float query_table_scale, float out_scale, int out_zero_point",
        ("out", "scratch"),
        work=Work.SEQUENCE,
    ),
    _recurrent("mcu::lstm_s8", f"Tensor x, Tensor? hidden, Tensor? cell, {_RECURRENT}"),
    _recurrent("mcu::gru_s8", f"Tensor x, Tensor? before, {_RECURRENT}"),
    # One load that gathers from the table.
    Operator("mcu::lookup_s8", "Tensor self, Tensor table", in_place=True, arithmetic=2),
    # For 16 elements, four vectors each time: convert both and add; centre, square and add; scale, weight, bias, round.
    Operator(
        "mcu::layer_norm_s8",
        "Tensor x, Tensor? y, Tensor weight, Tensor bias, float y_ratio, float eps",
        arithmetic=44,
    ),
    # For 16 elements, four vectors each time: a difference, converted and scaled, e^x, the sum; converted, two products, round.
    Operator(
        "mcu::softmax_gate_s8",
        "Tensor self, Tensor scores, float score_scale, float ratio, int zero_point, int out_zero_point",
        in_place=True,
        arithmetic=104,
    ),
    Operator(
        "mcu::embedding_s8_add",
        "Tensor self, Tensor weight, Tensor scale, Tensor ids",
        in_place=True,
        one_of={"weight": 0, "scale": 0},
        index="ids",
        arithmetic=2,
    ),
    Operator("mcu::conv2d_s8", _CONVOLUTION_S8, weight="weight", weight_bits=8, work=Work.CONVOLUTION),
    Operator(
        "mcu::depthwise_conv2d_s8", _CONVOLUTION_S8, weight="weight", weight_bits=8, work=Work.DEPTHWISE
    ),
    # For 4 bins: a window of 400 samples, a Fourier transform of 512 points and 40 sums of its powers make some 8,000 steps.
    Operator(
        "mcu::log_mel",
        "Tensor samples, Tensor? count, Tensor window, Tensor roots, Tensor filters, Tensor spans, int frames, int hop, "
        "bool centered, bool from_mean, bool bins_first, float preemphasis, float floor, float gain, float offset, "
        "float reach",
        ("out", "scratch"),
        arithmetic=800,
    ),
    # Sum; centre, square and add; centre and scale.
    Operator("mcu::normalize_wave", "Tensor samples, Tensor? count, bool normalizes", arithmetic=6),
    # Per 16 pixels some four columns and rows each, byte by byte, and a table.
    Operator(
        "mcu::resize_frame",
        "Tensor frame, Tensor column_spans, Tensor column_weights, Tensor row_spans, Tensor row_weights, Tensor table, "
        "int ring, bool rows_first",
        ("out", "scratch"),
        arithmetic=300,
    ),
    Operator("mcu::max_pool2d_s8", f"Tensor x, {_WINDOWS}, int[] dilation"),
    Operator("mcu::avg_pool2d_s8", f"Tensor x, {_WINDOWS}, int zero_point, float scale"),
    Operator(
        "cortex_m::quantized_linear",
        "Tensor input, Tensor weights",
        weight="weights",
        weight_bits=8,
        work=Work.PRODUCT,
    ),
    Operator(
        "cortex_m::quantized_conv2d", _CONVOLUTION, weight="weight", weight_bits=8, work=Work.CONVOLUTION
    ),
    Operator(
        "cortex_m::quantized_depthwise_conv2d",
        _CONVOLUTION,
        weight="weight",
        weight_bits=8,
        work=Work.DEPTHWISE,
    ),
    Operator(
        "cortex_m::quantized_transpose_conv2d",
        _CONVOLUTION,
        weight="weight",
        weight_bits=8,
        work=Work.CONVOLUTION,
    ),
    Operator("cortex_m::quantized_batch_matmul", "Tensor lhs", work=Work.BATCHED),
    Operator("aten::linear", "Tensor input, Tensor weight", weight="weight", work=Work.PRODUCT),
    Operator(
        "aten::addmm", "Tensor self, Tensor mat1, Tensor mat2", weight="mat2", input="mat1", work=Work.PRODUCT
    ),
    Operator("aten::mm", "Tensor self, Tensor mat2", weight="mat2", work=Work.PRODUCT),
    Operator("aten::bmm", "Tensor self, Tensor mat2", work=Work.BATCHED),
    Operator(
        "aten::embedding",
        "Tensor weight, Tensor indices",
        weight="weight",
        one_of={"weight": 0},
        index="indices",
    ),
    Operator("quantized_decomposed::quantize_per_tensor", "Tensor input", border=True),
    Operator("quantized_decomposed::dequantize_per_tensor", "Tensor input", border=True),
)

OPERATORS: dict[str, Operator] = {row.name: row for row in _ROWS}
"""By name: "mcu::linear_s8", and "mcu::linear_s8.packed" for an overload that has a row of its own."""


def own_operators() -> Iterable[Operator]:
    """The rows of this SDK's operators."""
    return (row for row in _ROWS if row.is_ours)


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


def find(operator: str, overload: str = "") -> Operator | None:
    """The row of an operator in any of its forms; None if it has none.

    An overload without a row of its own is the operator's ("aten::mm.out", "aten::add.Tensor_out").
    """
    name = variant(operator, overload)
    return OPERATORS.get(name) or OPERATORS.get(name.partition(".")[0])
