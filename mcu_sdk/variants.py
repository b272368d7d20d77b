"""The same checkpoint in several sizes for one board: weights in int8 and int4, caches of several lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.generation import generate
from mcu_sdk.model.folder import read_config
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.options import CompileOptions, GenerateRequest, Weights

WEIGHTS: tuple[Weights, ...] = ("int8", "int4")
LENGTHS = (128, 256, 512)


@dataclass(frozen=True)
class Variant:
    """One choice, and its project; `why`: what is said where it does not fit."""

    title: str
    project: Path | None
    why: str = ""


def cache_lengths(model: str | None, wanted: Sequence[int] = LENGTHS) -> list[int]:
    """Those of `wanted` that the model has positions for; its own number of them where all are longer."""
    config = read_config(find_checkpoint(model).folder)
    longest = config.get("max_position_embeddings", config.get("n_positions"))
    if not isinstance(longest, int):
        return list(wanted)
    return [length for length in wanted if length <= longest] or [longest]


def make_variants(board: str, model: str | None, folder: Path, lengths: Sequence[int]) -> Iterator[Variant]:
    """Generate a project in `folder` for each choice of weights and cache length.

    One that does not fit is told, not raised; raises whatever else `generate` raises.
    """
    for weights in WEIGHTS:
        for length in lengths:
            title = f"{weights}, cache {length}"
            options = CompileOptions(weights=weights, cache_length=length)
            request = GenerateRequest(board, options, model=model)
            request = replace(request, output=folder / f"{weights}-{length}")
            try:
                project = generate(request).project
            except DoesNotFitError as error:
                yield Variant(title, None, error.message)
            else:
                yield Variant(title, project)
