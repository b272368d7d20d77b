"""What a classifier is worth on examples whose labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """Shares of 1. `macro_f1`: the mean over the labels that are right somewhere or were chosen somewhere."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class DatasetScore:
    """`rows`: texts, or what `unit` says; `cut`: those of which the model does not read all; `firmware`: of the int8 code; `checkpoint`: of the
    float one in PyTorch, and `agreement`: the share of them with the same label, None where that is not at hand."""

    name: str
    rows: int
    cut: int
    firmware: Quality
    checkpoint: Quality | None
    agreement: float | None
    unit: str = "texts"


def quality(right: Sequence[int], chosen: Sequence[int]) -> Quality:
    """Accuracy and macro F1 of labels by their numbers."""
    scores = []
    for label in sorted({*right, *chosen}):
        both = sum(a == b == label for a, b in zip(right, chosen, strict=True))
        scores.append(2 * both / (right.count(label) + chosen.count(label)))
    return Quality(agreement(right, chosen), sum(scores) / len(scores))


def agreement(left: Sequence[int], right: Sequence[int]) -> float:
    """The share of places where both are alike."""
    return sum(a == b for a, b in zip(left, right, strict=True)) / len(left)
