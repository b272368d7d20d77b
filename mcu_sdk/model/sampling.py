"""The specification of firmware/runtime/sampler.cpp: the same logits, settings and state give the same token.

Also what the host generates text with, so that a seed means the same here and on a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_MASK = 2**64 - 1
_GREEDY_BELOW = np.float32(1e-6)
_LOG2E = np.float32(np.float32(1.442695040888963) * np.float32(2**24))
_WEIGHTLESS = np.float32(16.75)
_GREATEST_WEIGHT = 2**24
_SETTLED = np.float32(2.0**-100)
_ZERO_KEY = 0x80000000
_INFINITY_KEY = _ZERO_KEY + 0x7F800000
_MINUS_INFINITY_KEY = _ZERO_KEY - 0x7F800000

# 2^-f on [0, 1]: the Chebyshev interpolant of degree 6, highest term first, 30 fraction bits, signs alternating.
_TERMS = (117420, 1369298, 10285417, 59582108, 257938586, 744260923, 1073741824)

Logits = npt.NDArray[np.float32]


def split_mix(state: int) -> tuple[int, int]:
    """One step of SplitMix64 (Steele, Lea, Flood 2014): (random 64-bit number, next state)."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    value = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31, state


def keys(logits: Logits) -> npt.NDArray[np.int64]:
    """int64[n] that orders float32[n]: NaN is 0, below -infinity; zeros and subnormals are all 2^31."""
    bits = np.ascontiguousarray(logits, dtype=np.float32).view(np.uint32).astype(np.int64)
    magnitude = bits & 0x7FFFFFFF
    ordered = np.where(bits == magnitude, _ZERO_KEY + magnitude, _ZERO_KEY - magnitude)
    ordered = np.where(magnitude < 0x00800000, _ZERO_KEY, ordered)
    return np.where(magnitude > 0x7F800000, 0, ordered)


def argmax(logits: Logits) -> int:
    """The index of the greatest of float32[n]; the first of equals; NaN below everything."""
    return int(np.argmax(keys(logits)))


def weights(distance: Logits) -> npt.NDArray[np.uint64]:
    """exp(-distance) * 2^24 rounded down, uint64[n], for float32[n] distances that are 0 or more (or NaN: 0)."""
    counts = distance < _WEIGHTLESS
    power = (np.where(counts, distance, np.float32(0)) * _LOG2E).astype(np.uint64)
    fraction = power & np.uint64(0xFFFFFF)
    value = np.zeros_like(power)
    for term in _TERMS:
        value = np.uint64(term) - (value * fraction >> np.uint64(24))
    return np.where(counts, value >> ((power >> np.uint64(24)) + np.uint64(6)), np.uint64(0))


def candidate_weights(logits: Logits, temperature: float, top_k: int) -> npt.NDArray[np.uint64]:
    """uint64[n]: what each logit weighs in the draw; 0 outside the top k. The greatest logit must be finite."""
    ordered = keys(logits)
    allowed = np.ones(len(logits), dtype=bool)
    if 0 < top_k < len(logits):
        # Stable, descending: of equal keys the first ones are kept.
        allowed[:] = False
        allowed[np.argsort(-ordered, kind="stable")[:top_k]] = True
    allowed &= ordered > _MINUS_INFINITY_KEY
    with np.errstate(all="ignore"):
        greatest = logits[int(np.argmax(ordered))]
        distance = (greatest - logits) / np.float32(temperature)
        return np.where(allowed, weights(distance.astype(np.float32)), np.uint64(0))


def sample(logits: npt.ArrayLike, temperature: float, top_k: int, state: int) -> tuple[int, int]:
    """Draws a token: (index, next state).

    `logits`: float32[n], n > 0. `temperature`: below 1e-6 is greedy and leaves the state alone. `top_k`: how many
    of the greatest can be drawn; 0 is all. `state`: any 64-bit number; the seed is the first one.
    Formulas: firmware/runtime/sampler.h.
    """
    values: Logits = np.ascontiguousarray(logits, dtype=np.float32).reshape(-1)
    best = argmax(values)
    if not np.float32(temperature) >= _GREEDY_BELOW:
        return best, state
    random, state = split_mix(state & _MASK)
    best_key = int(keys(values)[best])
    if best_key == _INFINITY_KEY or best_key <= _MINUS_INFINITY_KEY:
        return best, state
    running: Any = np.cumsum(candidate_weights(values, temperature, top_k), dtype=np.uint64)
    drawn = random * int(running[-1]) >> 64
    return int(np.searchsorted(running, np.uint64(drawn), side="right")), state


@dataclass(frozen=True)
class Settings:
    """All that a request can ask for: `mcu_sampling` of firmware/runtime/sampler.h. The defaults are greedy and change no logit.

    `biases`: (token id, what is added to its logit).
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    biases: Sequence[tuple[int, float]] = ()


def settled(value: np.float32) -> np.float32:
    """A logit to compute with: 0 for a magnitude below 2^-100, of which a device might make something else."""
    return np.float32(0) if abs(value) < _SETTLED else value


def adjusted(logits: Logits, how: Settings, read: Sequence[int]) -> Logits:
    """float32[n] with biases added, then the penalty put on each token of `read`, once."""
    values = logits.copy()
    with np.errstate(all="ignore"):
        for index, bias in how.biases:
            if 0 <= index < len(values):
                values[index] = settled(settled(values[index]) + np.float32(bias))
        penalty = settled(np.float32(how.repetition_penalty))
        if penalty > 0 and penalty != 1:
            for index in dict.fromkeys(read):
                if 0 <= index < len(values):
                    x = settled(values[index])
                    values[index] = settled(x * penalty if x < 0 else x / penalty)
    return values


def likely(found: npt.NDArray[np.uint64], top_p: float, min_p: float) -> npt.NDArray[np.uint64]:
    """Weights uint64[n] with 0 for those that top_p and min_p leave out."""
    stays = np.ones(len(found), dtype=bool)
    if np.float32(top_p) < 1:
        share = int(np.float32(top_p) * np.float32(2**24)) if top_p > 0 else 0
        order = np.argsort(-found.astype(np.int64), kind="stable")
        before = np.cumsum(found[order]) - found[order]
        mass = max(-(-int(found.sum()) * share >> 24), 1)
        stays[order[before >= np.uint64(mass)]] = False
    if np.float32(min_p) > 0:
        least = min(float(np.float32(min_p)), 1.0) * _GREATEST_WEIGHT
        stays &= found.astype(np.float64) >= least
    return np.where(stays, found, np.uint64(0))


def choose(logits: npt.ArrayLike, how: Settings, read: Sequence[int], state: int) -> tuple[int, int]:
    """Draws a token as `how` says: (index, next state). `read`: the prompt and what was answered so far.

    Formulas: firmware/runtime/sampler.h. With the defaults it is `sample`.
    """
    values = adjusted(np.ascontiguousarray(logits, dtype=np.float32).reshape(-1), how, read)
    all_ = not np.float32(how.top_p) < 1 and not np.float32(how.min_p) > 0
    if all_ or not np.float32(how.temperature) >= _GREEDY_BELOW:
        return sample(values, how.temperature, how.top_k, state)
    random, state = split_mix(state & _MASK)
    best = argmax(values)
    best_key = int(keys(values)[best])
    if best_key == _INFINITY_KEY or best_key <= _MINUS_INFINITY_KEY:
        return best, state
    found = likely(candidate_weights(values, how.temperature, how.top_k), how.top_p, how.min_p)
    running: Any = np.cumsum(found, dtype=np.uint64)
    drawn = random * int(running[-1]) >> 64
    return int(np.searchsorted(running, np.uint64(drawn), side="right")), state
