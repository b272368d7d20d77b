"""The cases that are measured: which model, which cache, at which positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["llama", "bundled", "mlp"]

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
    """One row of the table. `cache` is in positions; 0 for a model without a cache."""

    name: str
    title: str
    cache: int = 0
    llama: Llama | None = None

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

CASES = {case.name: case for case in (CASE_A, CASE_B, CASE_C, *BUNDLED)}
