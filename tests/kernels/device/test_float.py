"""The float kernels on Helium are their references, bit for bit, and cost what they are to cost."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import from_numpy

from mcu_sdk.operators.reference import activations, norms
from mcu_sdk.operators.reference.rope import rope, rope_pairs
from tests.kernels.call import EXTREMES, Guarded, assert_same_bits, call, normal
from tests.kernels.conftest import sources_of
from tests.kernels.device.simulated import Simulated, build

KERNEL_NAMES = (
    *("rms_norm", "layer_norm", "rope", "rope_pairs", "silu", "gelu_tanh", "gelu_erf"),
    *("gated_silu", "gated_gelu_tanh", "gated_gelu_erf", "add_f32", "sub_f32", "mul_f32"),
    *("softmax_f32", "argmax_f32"),
)
LENGTHS = [*range(1, 22), 31, 32, 33, 63, 64, 65, 172, 256]
WIDE = np.array([0, -0.0, 1e-5, -1e-5, 80, -80, 87.9, 88.1, -88.1, 200, -200, 1e4, -1e4], np.float32)
"""Where e^x, its clamps and the error function turn."""

NORMAL = EXTREMES[np.abs(EXTREMES) != np.float32(1e-38)]
"""Without what is subnormal, or becomes so: zero on the device."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return build(sources_of(*KERNEL_NAMES), tmp_path_factory.mktemp("device"))


def _unaligned(values: Any) -> Guarded:
    return Guarded(values.shape, values.dtype, values)


class Batch:
    """Calls with what they are to give."""

    def __init__(self, simulated: Simulated) -> None:
        self._simulated = simulated
        self._expected: list[tuple[Guarded, Any]] = []

    def add(self, name: str, inputs: list[Any], expected: Any, *sizes: Any, alias: int | None = None) -> None:
        """`name(inputs, out, sizes)`; the output lies on input `alias` if one is given."""
        guarded = [_unaligned(x) for x in inputs]
        out = Guarded(expected.shape, np.float32) if alias is None else guarded[alias]
        self._simulated.call(name, *guarded, out, *sizes)
        self._expected.append((out, expected))

    def check(self) -> None:
        self._simulated.run()
        for out, expected in self._expected:
            assert_same_bits(out.array, expected)


def test_norms(simulated: Simulated) -> None:
    rng, batch = np.random.default_rng(30), Batch(simulated)
    for n in LENGTHS:
        x = normal(rng, 2, n, spread=10.0 ** int(rng.integers(-6, 7)))
        weight, bias = normal(rng, n), normal(rng, n)
        for alias in (None, 0):
            expected = norms.rms_norm(from_numpy(x), from_numpy(weight), 1e-6).numpy()
            batch.add("rms_norm", [x, weight], expected, 2, n, 1e-6, alias=alias)
            expected = norms.layer_norm(*map(from_numpy, (x, weight, bias)), 1e-5).numpy()
            batch.add("layer_norm", [x, weight, bias], expected, 2, n, 1e-5, alias=alias)
    batch.check()


@pytest.mark.parametrize("kernel", [rope, rope_pairs])
@pytest.mark.parametrize("half", [1, 2, 3, 4, 6, 8, 13, 16, 20, 24, 32, 37, 64])
def test_rope(simulated: Simulated, half: int, kernel: Callable[..., torch.Tensor]) -> None:
    rng, batch = np.random.default_rng(half), Batch(simulated)
    for rows, behind in ((1, 0), (3, 0), (4, 5), (9, 1)):
        n = 2 * half + behind
        x, cosine, sine = normal(rng, rows, n), normal(rng, 5, half), normal(rng, 5, half)
        for position in (-1, 0, 4, 5):
            at = np.array([position], np.int64)
            expected = kernel(*map(from_numpy, (x, cosine, sine, at))).numpy()
            for alias in (None, 0):
                batch.add(kernel.__name__, [x, cosine, sine, at], expected, rows, n, half, 5, alias=alias)
    batch.check()


Reference = Callable[..., torch.Tensor]
ACTIVATIONS: dict[str, tuple[int, Reference]] = {
    "silu": (1, activations.silu),
    "gelu_tanh": (1, lambda x: activations.gelu(x, True)),
    "gelu_erf": (1, lambda x: activations.gelu(x, False)),
    "gated_silu": (2, activations.gated_silu),
    "gated_gelu_tanh": (2, lambda x, y: activations.gated_gelu(x, y, True)),
    "gated_gelu_erf": (2, lambda x, y: activations.gated_gelu(x, y, False)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(simulated: Simulated, name: str) -> None:
    operands, reference = ACTIVATIONS[name]
    rng, batch = np.random.default_rng(31), Batch(simulated)
    for n in LENGTHS:
        inputs = [normal(rng, n, spread=float(rng.choice([0.1, 3, 40]))) for _ in range(operands)]
        inputs[0] = np.where(rng.random(n) < 0.2, rng.choice(WIDE, n), inputs[0])
        with np.errstate(all="ignore"):
            expected = reference(*map(from_numpy, inputs)).numpy()
        # Below the smallest normal number the device has zeros: docs/numerics.md.
        inputs[0] = np.where(np.abs(expected) < 2.0**-100, np.float32(1), inputs[0]).astype(np.float32)
        expected = reference(*map(from_numpy, inputs)).numpy()
        for alias in (None, *range(operands)):
            batch.add(name, inputs, expected, n, alias=alias)
    batch.check()


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_arithmetic(simulated: Simulated, name: str) -> None:
    """Rows of all lengths, scalars on either side, and operands that are read column by column."""
    operation = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[name]
    rng, batch = np.random.default_rng(32), Batch(simulated)
    for n in LENGTHS:
        a = np.where(rng.random((3, n)) < 0.1, rng.choice(NORMAL, (3, n)), normal(rng, 3, n))
        a, b, row, one = a.astype(np.float32), normal(rng, 3, n), normal(rng, n), normal(rng, 1)
        cases: list[tuple[Any, Any, Any, list[int]]] = [
            (a, b, operation(a, b), [3 * n, 1, 1]),
            (a, row, operation(a, row), [3, n, n, 1, 0, 1]),
            (a, one, operation(a, one[0]), [3 * n, 1, 0]),
            (one, a, operation(one[0], a), [3 * n, 0, 1]),
            (a, b, operation(a, b.reshape(n, 3).T), [3, n, n, 1, 1, 3]),
        ]
        for x, y, expected, shape in cases:
            batch.add(f"{name}_f32", [x, y], expected, np.array(shape, np.int32), len(shape) // 3)
        batch.add(f"{name}_f32", [a, b], operation(a, b), np.array([3 * n, 1, 1], np.int32), 1, alias=0)
    batch.check()


def test_softmax_and_argmax(simulated: Simulated, kernel_library: ctypes.CDLL) -> None:
    """As the portable kernels: infinities, NaNs and equals included."""
    rng, results = np.random.default_rng(35), []
    special = np.array([np.inf, -np.inf, np.nan, 3, 3], np.float32)
    for n in LENGTHS:
        for share in (0.0, 0.1, 1.0):
            x = normal(rng, 3, n, spread=float(rng.choice([1, 30])))
            x[1:] = np.where(rng.random((2, n)) < share, rng.choice(special, (2, n)), x[1:])
            x[2] = np.where(np.isnan(x[2]), -np.inf, x[2])
            inner = int(rng.choice([1, 3]))
            for name, kind, sizes in (
                ("softmax_f32", np.float32, (3, n)),
                ("argmax_f32", np.int64, (3 * n // (n * inner), n, inner)),
            ):
                shape = (3, n) if name == "softmax_f32" else (3,)
                found, expected = Guarded(shape, kind), Guarded(shape, kind)
                simulated.call(name, _unaligned(x), found, *sizes)
                call(kernel_library, name, x, expected, *sizes)
                results.append((found, expected))
    simulated.run()
    for found, expected in results:
        subnormal = np.abs(expected.array) < np.finfo(np.float32).tiny  # zero on the device
        assert_same_bits(found.array, np.where(subnormal, 0, expected.array).astype(found.array.dtype))


@pytest.mark.parametrize(
    ("name", "inputs", "sizes", "most"),
    [
        ("rms_norm", [256, 256], (1, 256, 1e-5), 565),
        ("layer_norm", [256, 256, 256], (1, 256, 1e-5), 930),
        ("gated_silu", [688, 688], (688,), 4900),
        ("silu", [688], (688,), 4550),
        ("gelu_tanh", [688], (688,), 5600),
        ("gated_gelu_tanh", [688, 688], (688,), 6150),
        ("gelu_erf", [688], (688,), 11100),
        ("gated_gelu_erf", [688, 688], (688,), 12100),
        ("add_f32", [256, 256], (np.array([256, 1, 1], np.int32), 1), 365),
        ("mul_f32", [256, 256], (np.array([256, 1, 1], np.int32), 1), 365),
        ("softmax_f32", [512], (1, 512), 5050),
    ],
)
def test_costs(simulated: Simulated, name: str, inputs: list[int], sizes: Any, most: int) -> None:
    """A hidden size of 256 and an intermediate one of 688: bars slightly above what was measured."""
    rng = np.random.default_rng(33)
    out = Guarded(inputs[0], np.float32)
    call = simulated.call(name, *(normal(rng, n) for n in inputs), out, *sizes)
    simulated.run()
    assert call.instructions <= most


def test_rope_costs(simulated: Simulated) -> None:
    """Eight heads of 32."""
    rng = np.random.default_rng(34)
    tables, at = [normal(rng, 128, 16) for _ in range(2)], np.array([7], np.int64)
    call = simulated.call("rope", normal(rng, 256), *tables, at, Guarded(256, np.float32), 8, 32, 16, 128)
    simulated.run()
    assert call.instructions <= 450
