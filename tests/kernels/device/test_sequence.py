"""Attention over a whole sequence, norms, tables and added embeddings on Helium are their references, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import from_numpy

from mcu_sdk.operators.reference.lookup_add import lookup_add_s16
from mcu_sdk.operators.reference.rope_rows import rope_rows, rope_rows_s8
from mcu_sdk.operators.reference.rows_s8 import add_channels_s8, embedding_s8_add, layer_norm_s8, lookup_s8
from mcu_sdk.operators.reference.rows_s16 import add_s16, layer_norm_s16, requantize_s16
from mcu_sdk.operators.reference.sequence_attention import scratch_bytes, sequence_attention_s8
from mcu_sdk.operators.reference.softmax_gate import softmax_gate_s8
from tests.kernels.call import Guarded, assert_same_bits, int8, normal
from tests.kernels.conftest import sources_of
from tests.kernels.device.simulated import Simulated, build
from tests.kernels.test_gated import expected_of as gated_result
from tests.kernels.test_gated import operands as gated_operands
from tests.kernels.test_gated import parameters_of as gated_of
from tests.kernels.test_relative import expected_of, operands
from tests.kernels.test_relative import parameters_of as relative_of
from tests.kernels.test_rope_rows import parameters_of as rotation_of
from tests.kernels.test_sequence import parameters_of

NAMES = (
    "sequence_attention_s8",
    "layer_norm_s8",
    "lookup_s8",
    "lookup_add_s16",
    "requantize_s16",
    "embedding_s8_add",
    "rope_rows",
    "relative_attention_s8",
    "gated_attention_s8",
    "softmax_gate_s8",
    "layer_norm_s16",
    "add_s16",
    "add_channels_s8",
)

SHAPES = [
    (queries, positions, heads, groups, n)
    for queries, positions, heads, groups in (
        (1, 1, 1, 1),
        (3, 5, 2, 1),
        (2, 17, 2, 2),
        (4, 33, 1, 1),
        (1, 64, 1, 1),
    )
    for n in (1, 4, 8, 15, 16, 20, 64)
]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return build(sources_of(*NAMES), tmp_path_factory.mktemp("device"))


def test_sequence_attention(simulated: Simulated) -> None:
    rng, results = np.random.default_rng(7), []
    for number, (queries, positions, heads, groups, n) in enumerate(SHAPES):
        count, m = (1, n) if number % 3 else (3, n + 5)  # padding is of one sequence
        q, k = int8(rng, count, queries, heads * n), int8(rng, count, positions, groups * n)
        v = int8(rng, count, positions, groups * m)
        padding = (rng.random((1, positions)) < 0.7).astype(np.int64) if number % 3 else None
        shapes: list[Any] = [None, (2, heads, queries, positions), (2, 1, 1, queries + positions - 1)]
        form = shapes[number // 7 % 3]
        bias = None if form is None else normal(rng, *form)
        tables = None if form is None else rng.integers(0, 2, count).astype(np.int32)
        arguments = heads, float(np.float32(0.3 / n)), 0.75, int(rng.integers(-128, 128))
        out = Guarded((*q.shape[:2], heads * m), np.int8)
        scratch = Guarded(scratch_bytes(positions, n, m), np.uint8, 0x7F, aligned=True)
        operands = (q, k, v, padding, bias, tables)
        inputs = [None if x is None else Guarded(x.shape, x.dtype, x) for x in operands]
        parameters = parameters_of(q, k, v, bias, *arguments)
        simulated.call("sequence_attention_s8", *inputs, out, scratch, parameters)
        given = [None if x is None else from_numpy(x) for x in operands]
        results.append((out, sequence_attention_s8(*given, *arguments)[0].numpy()))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)


def test_norms_tables_and_embeddings(simulated: Simulated) -> None:
    rng, results = np.random.default_rng(8), []
    for n in (1, 3, 4, 15, 16, 37, 64):
        x, y, weight, bias = (
            int8(rng, 3, n),
            int8(rng, 3, n),
            normal(rng, n, spread=40),
            normal(rng, n, spread=9),
        )
        for second in (y, None):
            out, row = Guarded((3, n), np.int8), Guarded(4 * n, np.uint8, 0x7F, aligned=True)
            inputs = [None if a is None else Guarded(a.shape, a.dtype, a) for a in (x, second, weight, bias)]
            simulated.call("layer_norm_s8", *inputs, out, row, 3, n, 1.3, 1e-4)
            tensors = [None if a is None else from_numpy(a) for a in (x, second, weight, bias)]
            results.append((out, layer_norm_s8(*tensors, float(np.float32(1.3)), 1e-4).numpy()))
        floats, out = normal(rng, 3, n, spread=2), Guarded((3, n), np.int8)
        simulated.call("layer_norm_to_s8", floats, weight, bias, out, 3, n, 1e-5)
        tensors = [from_numpy(a) for a in (weight, bias)]
        results.append((out, layer_norm_s8(from_numpy(floats), None, *tensors, 0.0, 1e-5).numpy()))
        stream, out = rng.integers(-(2**15), 2**15, (3, n)).astype(np.int16), Guarded((3, n), np.int8)
        row = Guarded(4 * n, np.uint8, 0x7F, aligned=True)
        simulated.call("layer_norm_s16_to_s8", stream, weight, bias, out, row, 3, n, 1e-3)
        results.append((out, layer_norm_s8(from_numpy(stream), None, *tensors, 0.0, 1e-3).numpy()))
        table, scale, ids = int8(rng, 5, n), normal(rng, 5), np.array([4, -1, 9])
        sums = Guarded((3, n), np.float32, floats)
        simulated.call("embedding_s8_add", sums, Guarded(table.shape, np.int8, table), scale, ids, 3, 5, n)
        results.append((sums, embedding_s8_add(*map(from_numpy, (floats, table, scale, ids))).numpy()))
        values, out = int8(rng, 256), Guarded((3, n), np.int8)
        simulated.call("lookup_s8", Guarded(x.shape, np.int8, x), Guarded(256, np.int8, values), out, 3 * n)
        results.append((out, lookup_s8(from_numpy(x), from_numpy(values)).numpy()))
        total, wide = (rng.integers(-(2**15), 2**15, count).astype(np.int16) for count in (3 * n, 256))
        out = Guarded(3 * n, np.int16, total)
        inputs = Guarded(x.shape, np.int8, x), Guarded(256, np.int16, wide)
        simulated.call("lookup_add_s16", out, *inputs, out, 3 * n)
        added = map(from_numpy, (total, x.reshape(-1), wide))
        results.append((out, lookup_add_s16(*added).numpy()))
        for factor in ((1_234_567_890, -7, 5), (2**31 - 1, 0, -128), (1 << 30, -31, 127), (1 << 30, -8, 0)):
            narrow = Guarded(3 * n, np.int8)
            simulated.call("requantize_s16", Guarded(3 * n, np.int16, total), narrow, 3 * n, *factor)
            results.append((narrow, requantize_s16(from_numpy(total), *factor).numpy()))
        sums = Guarded((3, n), np.float32, floats)
        simulated.call("add_channels_s8", sums, Guarded(x.shape, np.int8, x), weight, bias, sums, 3, n)
        results.append((sums, add_channels_s8(*map(from_numpy, (floats, x, weight, bias))).numpy()))
    simulated.run()
    for result, expected in results:
        assert_same_bits(result.array, expected)


def test_norms_and_sums_of_int16(simulated: Simulated) -> None:
    rng, results = np.random.default_rng(11), []
    for n in (1, 3, 4, 15, 16, 37, 64):
        x, y = (rng.integers(-(2**15), 2**15, (3, n)).astype(np.int16) for _ in range(2))
        weight, bias = normal(rng, n, spread=12_000), normal(rng, n, spread=3000)  # some saturate
        constants = [from_numpy(weight), from_numpy(bias)]
        for second in (y, None):
            out, row = Guarded((3, n), np.int16), Guarded(4 * n, np.uint8, 0x7F, aligned=True)
            inputs = [None if a is None else Guarded(a.shape, a.dtype, a) for a in (x, second, weight, bias)]
            simulated.call("layer_norm_s16", *inputs, out, row, 3, n, 0.7, 1e-2)
            rows = [None if a is None else from_numpy(a) for a in (x, second)]
            results.append((out, layer_norm_s16(*rows, *constants, float(np.float32(0.7)), 1e-2).numpy()))
        floats, out = normal(rng, 3, n, spread=2), Guarded((3, n), np.int16)
        simulated.call("layer_norm_to_s16", floats, weight, bias, out, 3, n, 1e-5)
        results.append((out, layer_norm_s16(from_numpy(floats), None, *constants, 0.0, 1e-5).numpy()))
        for sums in (Guarded((3, n), np.float32), Guarded((3, n), np.float32, floats)):
            given = sums if np.array_equal(sums.array, floats) else Guarded((3, n), np.float32, floats)
            simulated.call("add_s16", given, Guarded((3, n), np.int16, y), sums, 3 * n, 0.0003)
            scale = float(np.float32(0.0003))
            results.append((sums, add_s16(from_numpy(floats), from_numpy(y), scale).numpy()))
    simulated.run()
    for result, expected in results:
        assert_same_bits(result.array, expected)


def test_norms_and_sums_cost(simulated: Simulated) -> None:
    """Rows of 128: bars slightly above what was measured."""
    rng = np.random.default_rng(12)
    x, y = (rng.integers(-(2**15), 2**15, (16, 128)).astype(np.int16) for _ in range(2))
    weight, bias, stream = normal(rng, 128), normal(rng, 128), normal(rng, 16, 128)
    out, row = Guarded((16, 128), np.int16), Guarded(512, np.uint8, aligned=True)
    calls = [
        (simulated.call("layer_norm_s16", x, y, weight, bias, out, row, 16, 128, 0.7, 1e-2), 6.0),
        (simulated.call("layer_norm_to_s16", stream, weight, bias, out, 16, 128, 1e-5), 5.0),
        (simulated.call("add_s16", stream, y, Guarded(stream.shape, np.float32), 16 * 128, 0.0003), 2.0),
    ]
    values, sums = int8(rng, 16, 128), Guarded(stream.shape, np.float32)
    calls.append((simulated.call("add_channels_s8", stream, values, weight, bias, sums, 16, 128), 2.3))
    simulated.run()
    for call, most in calls:
        assert call.instructions / (16 * 128) < most


@pytest.mark.parametrize(("positions", "most"), [(32, 1220), (128, 3240)])
def test_sequence_attention_costs(simulated: Simulated, positions: int, most: int) -> None:
    """A head of 64 and a query: a bar slightly above what was measured."""
    rng = np.random.default_rng(9)
    q, k, v = (int8(rng, 1, positions, 64) for _ in range(3))
    out = Guarded(q.shape, np.int8)
    scratch = Guarded(scratch_bytes(positions, 64, 64), np.uint8, 0x7F, aligned=True)
    parameters = parameters_of(q, k, v, None, 1, 0.001, 0.9, 0)
    call = simulated.call("sequence_attention_s8", q, k, v, None, None, None, out, scratch, parameters)
    simulated.run()
    assert call.instructions / positions <= most


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotations(simulated: Simulated, interleaved: bool) -> None:
    rng, results = np.random.default_rng(9), []
    for n, half in ((1, 0), (2, 1), (8, 4), (9, 3), (16, 8), (37, 11)):
        cosine, sine = normal(rng, 3, half), normal(rng, 3, half)
        tables = [from_numpy(cosine), from_numpy(sine), n, interleaved]
        x, values = normal(rng, 1, 3, 2 * n), int8(rng, 1, 3, 2 * n)
        out, rounded = Guarded(x.shape, np.float32), Guarded(x.shape, np.int8)
        plain, scaled = (rotation_of(x, cosine, n, interleaved, ratio) for ratio in (1.0, 0.625))
        simulated.call("rope_rows", x, cosine, sine, out, plain)
        simulated.call("rope_rows_s8", Guarded(x.shape, np.int8, values), cosine, sine, rounded, scaled)
        results.append((out, rope_rows(from_numpy(x), *tables).numpy()))
        results.append((rounded, rope_rows_s8(from_numpy(values), *tables, 0.625).numpy()))
    simulated.run()
    for found, expected in results:
        assert_same_bits(found.array, expected)


def test_softmax_gates(simulated: Simulated) -> None:
    rng, results = np.random.default_rng(11), []
    for number, n in enumerate((1, 3, 4, 15, 16, 17, 37, 64, 131)):
        x, scores = int8(rng, 3, n), int8(rng, 3, n)
        scales = (0.03125, 0.5 * n, -5, 7) if number % 2 else (1.5, 300.0, 127, -128)
        inputs = [Guarded(each.shape, np.int8, each) for each in (x, scores)]
        out = inputs[0] if number % 3 == 0 else Guarded((3, n), np.int8)
        terms = Guarded(4 * n, np.uint8, 0x7F, aligned=True)
        simulated.call("softmax_gate_s8", *inputs, out, terms, 3, n, *scales)
        results.append((out, softmax_gate_s8(from_numpy(x), from_numpy(scores), *scales).numpy()))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)


def test_softmax_gate_costs(simulated: Simulated) -> None:
    """A row of 64: a bar slightly above what was measured."""
    rng = np.random.default_rng(12)
    x, scores, out = int8(rng, 16, 64), int8(rng, 16, 64), Guarded((16, 64), np.int8)
    terms = Guarded(4 * 64, np.uint8, 0x7F, aligned=True)
    call = simulated.call("softmax_gate_s8", x, scores, out, terms, 16, 64, 0.03125, 30.0, -5, 7)
    simulated.run()
    assert call.instructions / 16 <= 720


def test_relative_attention(simulated: Simulated) -> None:
    rng, results = np.random.default_rng(10), []
    for number, (length, n) in enumerate(((1, 4), (5, 16), (9, 7), (17, 8), (24, 20))):
        parts = ((True, True), (True, False), (False, True))[number % 3]
        given = operands(rng, length, 2, n, parts, 0.7 if number % 2 else None)
        out = Guarded(given[0].shape, np.int8)
        scratch = Guarded(scratch_bytes(length, n, n), np.uint8, 0x7F, aligned=True)
        inputs = [None if x is None else Guarded(x.shape, x.dtype, x) for x in given]
        simulated.call("relative_attention_s8", *inputs, out, scratch, relative_of(given[0], 2, -3))
        results.append((out, expected_of(given, 2, -3)))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)


def test_gated_attention(simulated: Simulated) -> None:
    rng, results = np.random.default_rng(13), []
    sizes = (((1, 1), (4, 4)), ((5, 9), (16, 8)), ((9, 9), (7, 7)), ((17, 17), (8, 8)), ((24, 33), (20, 12)))
    for number, (lengths, widths) in enumerate(sizes):
        given = gated_operands(rng, lengths, 2, widths, (number % 2 == 1, number % 3 > 0))
        out = Guarded((1, lengths[0], 2 * widths[1]), np.int8)
        scratch = Guarded(scratch_bytes(lengths[1], *widths), np.uint8, 0x7F, aligned=True)
        inputs = [Guarded(x.shape, x.dtype, x) for x in given]
        simulated.call("gated_attention_s8", *inputs, out, scratch, gated_of(given, 2, -3))
        results.append((out, gated_result(given, 2, -3)))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)
