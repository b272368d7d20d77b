"""The device's sampler against its specification, and the specification against the softmax it stands for."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk import resources
from mcu_sdk.model import sampling
from mcu_sdk.project.compile_flags import cxx_flags

# Flush-to-zero is a mode of the calling thread: the test itself sets it around calls.
FLUSH = r"""
#include <stdint.h>
#include "runtime/sampler.h"
#if defined(__x86_64__)
static unsigned get() { return __builtin_ia32_stmxcsr(); }
static void set(unsigned mode) { __builtin_ia32_ldmxcsr(mode); }
static const unsigned kFlush = 0x8040;
#elif defined(__aarch64__)
static uint64_t get() { uint64_t m; __asm__ volatile("mrs %0, fpcr" : "=r"(m)); return m; }
static void set(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
static const uint64_t kFlush = 1u << 24;
#else
#error "No flush-to-zero mode is known for this machine."
#endif
extern "C" int32_t sample_flushed(const float* x, int32_t n, float t, int32_t k, uint64_t* state) {
    const auto mode = get();
    set(mode | kFlush);
    const int32_t index = mcu_sample(x, n, t, k, state);
    set(mode);
    return index;
}
extern "C" int32_t choose_flushed(float* x, int32_t n, const mcu_sampling* how, const int32_t* read, int32_t count,
                                  uint64_t* state) {
    const auto mode = get();
    set(mode | kFlush);
    const int32_t index = mcu_choose(x, n, how, read, count, state);
    set(mode);
    return index;
}
"""

Sampler = Callable[[sampling.Logits, float, int, int], tuple[int, int]]
ChooseOne = Callable[[sampling.Logits, sampling.Settings, list[int], int], tuple[int, int]]


class _Bias(ctypes.Structure):
    _fields_ = (("id", ctypes.c_int32), ("value", ctypes.c_float))


class _Sampling(ctypes.Structure):
    _fields_ = (
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("top_p", ctypes.c_float),
        ("min_p", ctypes.c_float),
        ("repetition_penalty", ctypes.c_float),
        ("biases", ctypes.POINTER(_Bias)),
        ("bias_count", ctypes.c_int32),
    )


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("sampler")
    (folder / "flush.cpp").write_text(FLUSH)
    undefined = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
    flags = cxx_flags(None, "-O2", "-shared", "-fPIC", *undefined)
    sources = [resources.firmware() / "runtime" / "sampler.cpp", folder / "flush.cpp"]
    output = folder / "sampler.so"
    done = subprocess.run(
        ["g++", *flags, "-I", str(resources.firmware()), *map(str, sources), "-o", str(output)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(output))


@pytest.fixture(scope="session", params=["mcu_sample", "sample_flushed"])
def device(request: pytest.FixtureRequest, library: ctypes.CDLL) -> Sampler:
    """The compiled sampler, with subnormals and with flush-to-zero."""
    function = getattr(library, request.param)
    float_pointer = ctypes.POINTER(ctypes.c_float)
    function.argtypes = [
        float_pointer,
        ctypes.c_int32,
        ctypes.c_float,
        ctypes.c_int32,
        ctypes.POINTER(ctypes.c_uint64),
    ]
    function.restype = ctypes.c_int32

    def run(logits: sampling.Logits, temperature: float, top_k: int, state: int) -> tuple[int, int]:
        values = np.ascontiguousarray(logits, dtype=np.float32)
        holder = ctypes.c_uint64(state)
        index = function(
            values.ctypes.data_as(float_pointer), len(values), temperature, top_k, ctypes.byref(holder)
        )
        return index, holder.value

    return run


@pytest.fixture(scope="session", params=["mcu_choose", "choose_flushed"])
def chooser(request: pytest.FixtureRequest, library: ctypes.CDLL) -> ChooseOne:
    """The compiled `mcu_choose`, with subnormals and with flush-to-zero."""
    function = getattr(library, request.param)
    function.restype = ctypes.c_int32

    def run(logits: sampling.Logits, how: sampling.Settings, read: list[int], state: int) -> tuple[int, int]:
        values = np.array(logits, dtype=np.float32)
        biases = (_Bias * len(how.biases))(*how.biases)
        settings_ = _Sampling(
            how.temperature, how.top_k, how.top_p, how.min_p, how.repetition_penalty, biases, len(biases)
        )
        ids, holder = (ctypes.c_int32 * len(read))(*read), ctypes.c_uint64(state)
        index = function(
            ctypes.c_void_p(values.ctypes.data),
            len(values),
            ctypes.byref(settings_),
            ids,
            len(read),
            ctypes.byref(holder),
        )
        return index, holder.value

    return run


def test_random_logits(device: Sampler) -> None:
    rng = np.random.default_rng(1)
    state = 0
    for round_ in range(1500):
        n = int(rng.integers(1, 300))
        logits = (rng.standard_normal(n) * rng.choice([0.01, 1, 5, 50])).astype(np.float32)
        if round_ % 3 == 0:
            logits = np.round(logits)  # many ties
        temperature = float(rng.choice([0.0, 0.1, 0.7, 1.0, 1.5, 100.0]))
        top_k = int(rng.choice([-1, 0, 1, 2, 5, 40, n, n + 1]))
        expected = sampling.sample(logits, temperature, top_k, state)
        assert device(logits, temperature, top_k, state) == expected
        state = expected[1]


any_float = st.floats(width=32, allow_subnormal=True)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    logits=st.lists(any_float | st.sampled_from([0.0, -0.0, 1e-40, -1e-40, 2e-38]), min_size=1, max_size=12),
    temperature=any_float | st.sampled_from([0.0, 1.0, 1e-6, 9e-7]),
    top_k=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 12),
    state=st.integers(0, 2**64 - 1),
)
def test_any_bits(device: Sampler, logits: list[float], temperature: float, top_k: int, state: int) -> None:
    """NaN, infinities, subnormals, both zeros, overflowing differences: the same everywhere, and always an index."""
    values = np.array(logits, dtype=np.float32)
    found = device(values, temperature, top_k, state)
    assert found == sampling.sample(values, temperature, top_k, state)
    assert 0 <= found[0] < len(logits)


def test_large_vocabulary(device: Sampler) -> None:
    logits = np.random.default_rng(2).standard_normal(60_000).astype(np.float32) * 4
    for state in range(20):
        assert device(logits, 1.0, 50, state) == sampling.sample(logits, 1.0, 50, state)
        assert device(logits, 1.0, 0, state) == sampling.sample(logits, 1.0, 0, state)


def test_greedy_is_the_first_of_equals_and_leaves_the_state(device: Sampler) -> None:
    logits = np.array([1, 3, np.nan, 3, -np.inf], dtype=np.float32)
    assert device(logits, 0.0, 0, 77) == (1, 77)
    assert device(np.array([np.nan, np.nan], dtype=np.float32), 0.0, 0, 5) == (0, 5)
    assert device(np.array([np.nan, -np.inf], dtype=np.float32), 0.0, 0, 5) == (1, 5)


def test_split_mix_reference_values() -> None:
    """The first numbers of the generator for seed 1234567, as its authors' C program prints them."""
    state, numbers = 1234567, []
    for _ in range(3):
        number, state = sampling.split_mix(state)
        numbers.append(number)
    assert numbers == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_weights_follow_the_exponential() -> None:
    """The product distance * log2(e) has 24 bits: at 24 whole powers of two that is 2^-19 of the exponent, so about
    1.4e-6 of the weight; the integer weight adds less than 1."""
    distance = np.linspace(0, 16, 20_001).astype(np.float32)
    exact = np.exp(-distance.astype(np.float64)) * 2**24
    assert np.all(np.abs(sampling.weights(distance).astype(np.float64) - exact) <= 1 + 1.4e-6 * exact)
    assert sampling.weights(np.array([0, 17, np.inf, np.nan], dtype=np.float32)).tolist() == [2**24, 0, 0, 0]


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (0.7, 0), (1.3, 4)])
def test_draws_follow_the_softmax(temperature: float, top_k: int) -> None:
    """20,000 seeded draws: each frequency within 5 standard deviations (chance of one outside: 6e-7) of softmax."""
    logits = np.random.default_rng(3).standard_normal(10).astype(np.float32)
    chances = np.exp(logits.astype(np.float64) / temperature)
    if top_k:
        chances[np.argsort(-logits)[top_k:]] = 0
    chances /= chances.sum()
    counts, state = np.zeros(10), 42
    for _ in range(20_000):
        index, state = sampling.sample(logits, temperature, top_k, state)
        counts[index] += 1
    bound = 5 * np.sqrt(20_000 * chances * (1 - chances))
    assert np.all(np.abs(counts - 20_000 * chances) <= bound)


def test_top_k_keeps_the_first_of_equals() -> None:
    logits = np.array([1, 2, 1, 2, 1], dtype=np.float32)
    assert np.flatnonzero(sampling.candidate_weights(logits, 1.0, 3)).tolist() == [0, 1, 3]
    assert np.flatnonzero(sampling.candidate_weights(logits, 1.0, 1)).tolist() == [1]


def test_builds_without_library_calls(tmp_path: Path, library: ctypes.CDLL) -> None:
    """Nothing but functions of bytes and what is the tokenizer's own may be left undefined: no heap, no libm, no 128-bit or division
    helpers."""
    runtime = resources.firmware() / "runtime"
    objects = []
    for source in (runtime / "sampler.cpp", *sorted((runtime / "tokenizer").glob("*.cpp"))):
        objects.append(tmp_path / f"{source.stem}.o")
        flags = cxx_flags(None, "-O2")
        subprocess.run(
            ["g++", *flags, "-I", str(resources.firmware()), "-c", str(source), "-o", str(objects[-1])],
            check=True,
            timeout=300,
        )
    listed = subprocess.run(
        ["nm", "--format=posix", *map(str, objects)], check=True, capture_output=True, text=True, timeout=60
    )
    symbols = [line.split()[:2] for line in listed.stdout.splitlines() if not line.endswith(":")]
    undefined = {
        name for name, kind in symbols if kind == "U" and not re.match(r"_ZNK?\d+mcu_tokenizing", name)
    }
    assert undefined <= {"memcpy", "memmove", "memcmp", "mcu_tokenizer", "mcu_tokenizer_present"}


# ---- with all that a request can ask for


def test_choosing_from_random_logits(chooser: ChooseOne) -> None:
    rng = np.random.default_rng(4)
    state = 0
    for round_ in range(600):
        n = int(rng.integers(1, 200))
        logits = (rng.standard_normal(n) * rng.choice([0.01, 1, 5, 50])).astype(np.float32)
        if round_ % 3 == 0:
            logits = np.round(logits)  # many ties
        how = sampling.Settings(
            float(rng.choice([0.0, 0.3, 1.0, 1.5, 100.0])),
            int(rng.choice([0, 1, 5, n])),
            float(rng.choice([1e-6, 0.1, 0.5, 0.9, 0.999999, 1.0])),
            float(rng.choice([0.0, 1e-6, 0.05, 0.5, 1.0])),
            float(rng.choice([1.0, 1e-6, 0.7, 1.3, 1000.0])),
            [(int(i), float(rng.standard_normal() * 10)) for i in rng.integers(0, n + 2, rng.integers(0, 4))],
        )
        read = [int(i) for i in rng.integers(0, n, rng.integers(0, 30))]
        expected = sampling.choose(logits, how, read, state)
        assert chooser(logits, how, read, state) == expected
        state = expected[1]


odd_float = any_float | st.sampled_from([0.0, -0.0, 1e-40, -1e-40, 2e-38, 1e-31, 0.5, 1.0, 2.0])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    logits=st.lists(odd_float, min_size=1, max_size=12),
    how=st.builds(
        sampling.Settings,
        odd_float,
        st.integers(-2, 12),
        odd_float,
        odd_float,
        odd_float,
        st.lists(st.tuples(st.integers(-2, 13), odd_float), max_size=3),
    ),
    read=st.lists(st.integers(-2, 13), max_size=6),
    state=st.integers(0, 2**64 - 1),
)
def test_choosing_from_any_bits(
    chooser: ChooseOne, logits: list[float], how: sampling.Settings, read: list[int], state: int
) -> None:
    values = np.array(logits, dtype=np.float32)
    found = chooser(values, how, read, state)
    assert found == sampling.choose(values, how, read, state)
    assert 0 <= found[0] < len(logits)


def test_what_is_off_changes_no_token(device: Sampler, chooser: ChooseOne) -> None:
    rng = np.random.default_rng(5)
    for state in range(150):
        logits = rng.standard_normal(50).astype(np.float32) * 3
        how = sampling.Settings(0.8, int(rng.integers(0, 50)), biases=[(3, 0.0)])
        assert chooser(logits, how, [1, 2, 2], state) == device(logits, 0.8, how.top_k, state)


def test_what_is_left_is_what_transformers_leaves() -> None:
    """The same tokens can come, but for weights that are 0 as integers; logits are far from where rounding decides."""
    import torch
    from transformers import MinPLogitsWarper, TopPLogitsWarper

    rng = np.random.default_rng(6)
    for _ in range(60):
        logits = (np.arange(20, dtype=np.float32) * float(rng.choice([0.0, 0.2, 1.0])))[rng.permutation(20)]
        found = sampling.candidate_weights(logits, 1.0, 0)
        for top_p, min_p in ((0.313, 0.0), (0.9071, 0.0), (1.0, 0.0507), (1.0, 0.77)):
            kept = np.flatnonzero(sampling.likely(found, top_p, min_p))
            warp = MinPLogitsWarper(min_p) if min_p else TopPLogitsWarper(top_p)
            theirs = warp(None, torch.from_numpy(logits)[None])[0].isfinite().numpy()
            if logits.any():
                assert kept.tolist() == np.flatnonzero(theirs & (found > 0)).tolist()
            else:  # of equals the first stay here, and the last there
                assert len(kept) == theirs.sum()


def test_the_penalty_is_that_of_transformers() -> None:
    import torch
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = np.random.default_rng(7).standard_normal(30).astype(np.float32)
    read = [3, 5, 3, 29, 0, 3]
    theirs = RepetitionPenaltyLogitsProcessor(1.7)(
        torch.tensor([read]), torch.from_numpy(logits.copy())[None]
    )
    ours = sampling.adjusted(logits, sampling.Settings(repetition_penalty=1.7), read)
    assert ours.tolist() == theirs[0].tolist() and ours[3] != logits[3]


def test_a_bias_bars_a_token_or_forces_it(chooser: ChooseOne) -> None:
    logits = np.array([1, 5, 2], dtype=np.float32)
    assert chooser(logits, sampling.Settings(biases=[(1, -1000.0)]), [], 7) == (2, 7)
    assert chooser(logits, sampling.Settings(1.0, biases=[(0, 1000.0)]), [], 7)[0] == 0


def test_top_p_keeps_the_first_of_equals_and_always_one() -> None:
    found = np.array([5, 10, 5, 10, 5], dtype=np.uint64)
    assert np.flatnonzero(sampling.likely(found, 0.7, 0.0)).tolist() == [0, 1, 3]
    assert np.flatnonzero(sampling.likely(found, 0.0, 0.0)).tolist() == [1]
