"""The cases that are measured: which model, which cache, at which positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["llama", "bundled", "mlp"]

BOARD = "corstone-300"
"""A Cortex-M55, with Helium; the ideal of a case is an eighth of its multiplications there."""

FIRST_POSITION = 7
"""The position of a language model's first figure: the stock runtime was measured there, too."""


@dataclass(frozen=True)
class Llama:
    """A Llama with tied embeddings and as many key/value heads as heads."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int = 512


@dataclass(frozen=True)
class Case:
    """One row of the table. `cache` is in positions; 0 for a model without a cache. `weights` and
    `optimize` are generate's options."""

    name: str
    title: str
    cache: int = 0
    llama: Llama | None = None
    board: str = BOARD
    weights: Literal["int8", "int4"] = "int8"
    optimize: Literal["speed", "size"] = "speed"

    @property
    def source(self) -> Source:
        if self.llama is not None:
            return "llama"
        return "bundled" if self.cache else "mlp"

    @property
    def positions(self) -> tuple[int, int]:
        """The two positions that are measured; steps of a model without a cache are all alike."""
        return (FIRST_POSITION, self.cache - 1) if self.cache else (0, 1)


CASE_A = Case("A", "Llama, hidden 64, 2 layers, cache 64", 64, Llama(64, 2, 4, 172))
CASE_B = Case("B", "Llama, hidden 256, 4 layers, cache 128", 128, Llama(256, 4, 8, 688))
CASE_C = Case("C", "MLP 512-2048-512, ReLU, int8 throughout")
BUNDLED = tuple(
    Case(f"bundled-{length}", f"the bundled model, cache {length}", length) for length in (64, 128, 256, 512)
)

SIZE = Case("B-size", "case B with --optimize size", 128, CASE_B.llama, optimize="size")
INT4 = (
    Case("B-int4", "case B with int4 weights", 128, CASE_B.llama, weights="int4"),
    Case("bundled-512-int4", "the bundled model with int4 weights, cache 512", 512, weights="int4"),
)
OTHER_CORES = (
    Case("B-m4", "case B on a Cortex-M4", 128, CASE_B.llama, "mps2-an386"),
    Case("B-m7", "case B on a Cortex-M7", 128, CASE_B.llama, "mps2-an500"),
    Case("bundled-64-m4", "the bundled model on a Cortex-M4, cache 64", 64, board="mps2-an386"),
    Case("bundled-64-m4-int4", "the same with int4 weights", 64, board="mps2-an386", weights="int4"),
)

CASES = {case.name: case for case in (CASE_A, CASE_B, CASE_C, *BUNDLED, SIZE, *INT4, *OTHER_CORES)}
