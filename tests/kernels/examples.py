"""One example of each operator of ours, or more: what its instruction, its kernel and its lowering are tested on.

An operator that is added gets a line here; the tests that read this file do the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcu_sdk.operators.reference.fourier import roots_of
from mcu_sdk.operators.reference.recurrent import curves
from mcu_sdk.operators.table import find, is_in_place
from mcu_sdk.planning.instruction import Space
from tests.kernels.call import int8, normal
from tests.kernels.test_int4 import operands

ARENA, CACHE, MODEL = Space.ARENA, Space.KV_CACHE, Space.MODEL


@dataclass(frozen=True)
class Case:
    """An operator's arguments: arrays with the space they lie in, or plain values."""

    operator: str
    arguments: tuple[Any, ...]
    reference: Callable[..., Any] | None = None

    @property
    def in_place(self) -> bool:
        return is_in_place(self.operator)


def own_examples() -> list[Case]:
    """Seeded; an operator with an in-place form comes in both."""
    rng = np.random.default_rng(0)

    def f(*shape: int, space: Space = ARENA) -> tuple[Any, Space]:
        return normal(rng, *shape), space

    def q(*shape: int, space: Space = ARENA) -> tuple[Any, Space]:
        return int8(rng, *shape), space

    def i(kind: Any, low: int, high: int, *shape: int, space: Space = ARENA) -> tuple[Any, Space]:
        return rng.integers(low, high, shape).astype(kind), space

    def halves(*shape: int) -> tuple[Any, Space]:
        return rng.uniform(0.001, 1, shape).astype(np.float16), CACHE

    def halfwords(*shape: int) -> tuple[Any, Space]:
        return i(np.int16, -(2**15), 2**15, *shape)

    padded = q(1, 5, 24), q(1, 9, 12), q(1, 9, 12), i(np.int64, 0, 2, 1, 9)
    windows = q(3, 5, 12), q(3, 9, 12), q(3, 9, 14), None
    numbers = i(np.int32, 0, 2, 3, space=MODEL)
    relative = *(q(1, 9, 12) for _ in range(3)), i(np.int64, 0, 2, 1, 9), q(4, 17, 3, space=MODEL), None
    gated = q(1, 5, 24), q(1, 9, 24), q(1, 9, 28)
    at, k, n = i(np.int64, 3, 4, 1), 19, 5
    cache, row = (1, 2, 7, 8), (1, 2, 1, 8)
    requantize = (
        q(n, k, space=MODEL),
        i(np.int32, -99, 99, n, space=MODEL),
        i(np.int32, 2**30, 2**31 - 1, n, space=MODEL),
        i(np.int32, -9, -3, n, space=MODEL),
    )
    columns = (1, 2, 8, 7)
    attention = (f(1, 4, 1, 8), q(*cache, space=CACHE), q(*columns, space=CACHE))
    by_channel = (f(2, 8, space=MODEL), f(2, 8, space=MODEL))
    turned = (f(1, 4, 1, 8), f(1, 4, 1, 8), *attention)
    turning = (i(np.int64, 9, 10, 1), i(np.int64, 4, 5, 1), 2)
    norm = f(k, space=MODEL), f(k, space=MODEL)
    int4 = operands(rng, 2, 70, n, with_bias=True)
    blocks = np.stack([operands(rng, 1, 70, n, with_bias=False)[2] for _ in range(4)])

    def cells(gates: int) -> tuple[Any, ...]:
        """Weights, constants and the rest of a recurrent layer of 6 inputs and 5 cells."""
        factors = np.zeros((2, 3, gates * 5), np.int32) + np.array([0, 2**30, -8], np.int32)[:, None]
        weights = q(gates * 5, 6, space=MODEL), q(gates * 5, 5, space=MODEL)
        return *weights, (factors, MODEL), (curves().numpy(), MODEL), 13, 2**30, -7, True, 5

    cases = [
        Case("mcu::embedding_s8", (q(9, k, space=MODEL), f(9, space=MODEL), i(np.int64, 0, 9, 1, 2))),
        Case("mcu::rms_norm", (f(1, 2, k), f(k, space=MODEL), 1e-6)),
        Case("mcu::layer_norm", (f(2, k), f(k, space=MODEL), f(k, space=MODEL), 1e-5)),
        Case("mcu::quantize_rows", (f(1, 3, k),)),
        Case("mcu::quantize", (f(3, k), 0.0123, -7)),
        Case(
            "mcu::linear_s8",
            (q(1, 2, k), f(1, 2), q(n, k, space=MODEL), f(n, space=MODEL), f(n, space=MODEL)),
        ),
        Case("mcu::linear_s8", (q(2, k), f(2), q(n, k, space=MODEL), f(n, space=MODEL), None)),
        *(
            Case(
                "mcu::expert_linear_s8",
                (q(r, k), f(r), q(4, n, k, space=MODEL), f(4, n, space=MODEL), bias, i(np.int64, -1, 5, 3)),
            )
            for r, bias in ((1, f(4, n, space=MODEL)), (3, None))
        ),
        Case(
            "mcu::linear_s8_static",
            (q(2, k), q(n, k, space=MODEL), i(np.int32, -99, 99, n, space=MODEL), f(n, space=MODEL), None),
        ),
        Case("mcu::linear_s8_requantize", (q(2, k), *requantize, 3, -128, 100)),
        Case("mcu::linear_s8_add_s16", (i(np.int16, -999, 999, 2, n), q(2, k), *requantize)),
        Case("mcu::rope", (f(1, 4, 1, 10), f(7, 4, space=MODEL), f(7, 4, space=MODEL), at)),
        Case("mcu::rope_pairs", (f(1, 4, 1, 11), f(7, 5, space=MODEL), f(7, 5, space=MODEL), at)),
        Case("mcu::rope_rows", (f(1, 5, 20), f(5, 4, space=MODEL), f(5, 4, space=MODEL), 10, False)),
        Case("mcu::rope_rows", (f(1, 5, 20), f(5, 5, space=MODEL), f(5, 5, space=MODEL), 10, True)),
        Case("mcu::rope_rows_s8", (q(1, 5, 20), f(5, 4, space=MODEL), f(5, 4, space=MODEL), 10, True, 0.6)),
        Case("mcu::cache_write", (q(*cache, space=CACHE), f(*row), f(2, 8, space=MODEL), at)),
        Case("mcu::cache_write_dynamic", (q(*cache, space=CACHE), f(*row), at)),
        Case("mcu::cache_write_columns", (q(*columns, space=CACHE), f(*row), f(2, 8, space=MODEL), at)),
        Case("mcu::cache_write_columns_dynamic", (q(*columns, space=CACHE), f(*row), at)),
        Case("mcu::cache_scale_write", (halves(1, 2, 7), f(*row), at)),
        Case("mcu::attention_s8", (*attention, *by_channel, at, 0.35)),
        Case("mcu::attention_s8_dynamic", (*attention, halves(1, 2, 7), halves(1, 2, 7), at, 0.35)),
        Case(
            "mcu::attention_s8_shaped", (*attention, *by_channel, at, f(4, 7, space=MODEL), None, 0.35, 0.0)
        ),
        Case(
            "mcu::attention_s8_dynamic_shaped",
            (*attention, halves(1, 2, 7), halves(1, 2, 7), at, None, f(4, space=MODEL), 0.35, 2.5),
        ),
        Case("mcu::attention_s8_shaped", (*attention, *by_channel, at, f(1, 4, 7), None, 0.35, 0.0)),
        Case(
            "mcu::key_bias_scores",
            (f(1, 4, 1, 8), f(2, 3, 7, space=MODEL), i(np.int32, 0, 8, 3, space=MODEL), at, 0.35),
        ),
        Case("mcu::ring_slot", (i(np.int64, 0, 40, 3), 2, 7)),
        Case("mcu::attention_s8_sliding", (*turned, *by_channel, *turning, 0.35, 2.5)),
        Case(
            "mcu::attention_s8_dynamic_sliding",
            (*turned, halves(1, 2, 7), halves(1, 2, 7), *turning, 0.35, 0.0),
        ),
        Case("mcu::silu", (f(2, k),)),
        Case("mcu::gelu", (f(2, k), True)),
        Case("mcu::gelu", (f(2, k), False)),
        Case("mcu::gated_silu", (f(2, k), f(2, k))),
        Case("mcu::gated_gelu", (f(2, k), f(2, k), True)),
        Case("mcu::gated_gelu", (f(2, k), f(2, k), False)),
        Case("mcu::sequence_attention_s8", (*padded, f(1, 4, 5, 9), None, 4, 0.002, 0.7, 3)),
        Case(
            "mcu::sequence_attention_s8", (*windows, f(2, 1, 1, 13, space=MODEL), numbers, 2, 0.002, 0.7, -3)
        ),
        Case("mcu::gated_attention_s8", (*gated, f(4, 5), f(1, 4, 1, 13, space=MODEL), 4, 0.002, 0.7, -3)),
        Case("mcu::relative_attention_s8", (*relative, 4, 0.003, 0.002, 0.001, 0.7, 3)),
        Case("mcu::lstm_s8", (q(2, 3, 6), q(2, 5), i(np.int16, -9999, 9999, 2, 5), *cells(4))),
        Case("mcu::lstm_s8", (q(1, 3, 6), None, None, *cells(4))),
        Case("mcu::gru_s8", (q(2, 3, 6), i(np.int16, -9999, 9999, 2, 5), *cells(3))),
        Case("mcu::lookup_s8", (q(2, k), q(256, space=MODEL))),
        Case(
            "mcu::lookup_add_s16",
            (i(np.int16, -32_768, 32_768, 2, k), q(2, k), i(np.int16, -32_768, 32_768, 256, space=MODEL)),
        ),
        Case("mcu::requantize_s16", (i(np.int16, -32_768, 32_768, 2, k), 1_500_000_000, -6, -9)),
        Case("mcu::layer_norm_s8", (q(2, k), q(2, k), f(k, space=MODEL), f(k, space=MODEL), 1.7, 1e-5)),
        Case("mcu::layer_norm_s8", (f(2, k), None, f(k, space=MODEL), f(k, space=MODEL), 0.0, 1e-5)),
        Case("mcu::layer_norm_s16", (halfwords(2, k), halfwords(2, k), *norm, 0.7, 1e-3)),
        Case("mcu::layer_norm_s16", (f(2, k), None, *norm, 0.0, 1e-5)),
        Case("mcu::add_s16", (f(2, k), halfwords(2, k), 0.01)),
        Case("mcu::add_channels_s8", (f(2, k), q(2, k), *norm)),
        Case("mcu::softmax_gate_s8", (q(2, 3, k), q(2, 3, k), 0.03, 9.0, -5, 7)),
        Case(
            "mcu::embedding_s8_add",
            (f(1, 3, k), q(7, k, space=MODEL), f(7, space=MODEL), i(np.int64, -1, 8, 1, 3)),
        ),
        *(
            Case(
                "mcu::log_mel",
                (
                    i(np.int16, -30_000, 30_000, 1, 61),
                    count,
                    f(12, space=MODEL),
                    (roots_of(20), MODEL),
                    f(6, space=MODEL),
                    (np.array([[0, 5], [10, 1]], np.int32), MODEL),
                    frames,
                    5,
                    *flags,
                    emphasis,
                    1e-7,
                    0.25,
                    0.5,
                    reach,
                ),
            )
            for count, frames, flags, emphasis, reach in (
                (i(np.int64, 40, 41, 1), 10, (False, True, False), 0.97, 0.0),
                (None, 12, (True, False, True), 0.0, 2.0),
            )
        ),
        Case("mcu::normalize_wave", (i(np.int16, -99, 300, 1, 33), i(np.int64, 20, 21, 1), True)),
        Case("mcu::normalize_wave", (i(np.int16, -99, 300, 1, 33), None, False)),
        *(
            Case(
                "mcu::resize_frame",
                (
                    i(np.uint8, 0, 256, 1, 5, 7, 3),
                    (np.array([[0, 2], [1, 3], [6, 1], [7, 0]], np.int32), MODEL),
                    i(np.int32, -(1 << 20), 1 << 21, 6, space=MODEL),
                    (np.array([[0, 1], [0, 4], [2, 3]], np.int32), MODEL),
                    i(np.int32, -(1 << 20), 1 << 21, 8, space=MODEL),
                    table,
                    4,
                    rows_first,
                ),
            )
            for table, rows_first in (
                (f(3, 256, space=MODEL), False),
                (q(3, 256, space=MODEL), False),
                (q(3, 256, space=MODEL), True),
            )
        ),
        Case("mcu::max_pool2d_s8", (q(1, 6, 5, n), [3, 2], [2, 1], [1, 1], [1, 2])),
        Case("mcu::avg_pool2d_s8", (q(1, 6, 5, k), [3, 3], [2, 1], [1, 1], -9, 0.021)),
        *(
            Case(
                f"mcu::{name}",
                (
                    q(1, 6, 5, c),
                    q(*weight, space=MODEL),
                    *requantize[1:2],
                    *window,
                    -7,
                    3,
                    *requantize[2:],
                    -128,
                    100,
                ),
            )
            for name, c, weight, window in (
                ("conv2d_s8", 3, (n, 3, 2, 3), ([1, 2], [1, 0, 0, 1], [1, 1])),
                ("conv2d_s8", 10, (n, 3, 3, 2), ([1, 1], [2, 2, 2, 2], [2, 2])),
                ("depthwise_conv2d_s8", n, (1, 3, 3, n), ([2, 2], [0, 1, 1, 1], [1, 1])),
            )
        ),
        Case(
            "mcu::linear_s4",
            (*zip(int4[:2], (ARENA, ARENA), strict=True), *zip(int4[2:], (MODEL, MODEL), strict=True), n),
        ),
        *(
            Case(
                "mcu::expert_linear_s4",
                (q(r, 70), f(r), (blocks, MODEL), bias, i(np.int64, -1, 5, 3), n),
            )
            for r, bias in ((1, f(4, n, space=MODEL)), (3, None))
        ),
        *_chunk_examples(f, q, i, halves),
    ]
    updates = [replace(case, operator=f"{case.operator}_") for case in cases if _has_in_place_form(case)]
    return cases + updates


def _chunk_examples(f: Any, q: Any, i: Any, halves: Any) -> list[Case]:
    """Operators that belong to a position, on three tokens of a prompt at once; makers as in own_examples."""
    at = i(np.int64, 0, 7, 3)
    keys, values = (1, 2, 7, 8), (1, 2, 8, 7)
    attention = f(3, 4, 1, 8), q(*keys, space=CACHE), q(*values, space=CACHE)
    by_channel, by_position = (f(2, 8, space=MODEL), f(2, 8, space=MODEL)), (halves(1, 2, 7), halves(1, 2, 7))
    bias = f(4, 7, space=MODEL)
    return [
        Case("mcu::rope", (f(3, 4, 1, 10), f(7, 4, space=MODEL), f(7, 4, space=MODEL), at)),
        Case("mcu::rope_pairs", (f(3, 4, 1, 11), f(7, 5, space=MODEL), f(7, 5, space=MODEL), at)),
        Case("mcu::cache_write", (q(*keys, space=CACHE), f(3, 2, 1, 8), f(2, 8, space=MODEL), at)),
        Case("mcu::cache_write_dynamic", (q(*keys, space=CACHE), f(3, 2, 1, 8), at)),
        Case("mcu::cache_write_columns", (q(*values, space=CACHE), f(3, 2, 1, 8), f(2, 8, space=MODEL), at)),
        Case("mcu::cache_write_columns_dynamic", (q(*values, space=CACHE), f(3, 2, 1, 8), at)),
        Case("mcu::cache_scale_write", (halves(1, 2, 7), f(3, 2, 1, 8), at)),
        Case("mcu::attention_s8", (*attention, *by_channel, at, 0.35)),
        Case("mcu::attention_s8_dynamic", (*attention, *by_position, at, 0.35)),
        Case("mcu::attention_s8_shaped", (*attention, *by_channel, at, bias, f(4, space=MODEL), 0.35, 0.0)),
        Case("mcu::attention_s8_dynamic_shaped", (*attention, *by_position, at, None, None, 0.35, 2.5)),
        Case("mcu::attention_s8_dynamic_shaped", (*attention, *by_position, at, f(3, 4, 7), None, 0.35, 0.0)),
        Case(
            "mcu::key_bias_scores",
            (f(3, 4, 1, 8), f(2, 1, 7, space=MODEL), i(np.int32, 0, 8, 1, space=MODEL), at, 0.35),
        ),
    ]


def _has_in_place_form(case: Case) -> bool:
    row = find(case.operator)
    return row is not None and row.in_place
