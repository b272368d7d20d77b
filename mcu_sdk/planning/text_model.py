"""A model of tensors that reads texts (an encoder), by its plan and what its recipe knows of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcu_sdk.planning.instruction import DType
from mcu_sdk.planning.plan import Plan

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
"""The inputs that a text fills, as transformers names them."""


@dataclass(frozen=True)
class TextModel:
    """What the firmware has to know to fill its inputs from a text. `length`: tokens that it reads; `segments`: token types
    that it knows; `pad_id`: what fills a short text up; `ids`, `mask`, `types`: their places among the inputs (-1: none)."""

    length: int
    vocab_size: int
    segments: int
    pad_id: int
    ids: int
    mask: int
    types: int


def describe_text_model(plan: Plan, facts: Mapping[str, Any]) -> TextModel | str | None:
    """What a plan and a recipe's facts say; None for a model of no texts, or why its firmware takes none."""
    texts, names = facts.get("texts"), facts.get("input_names")
    if not isinstance(texts, Mapping) or not isinstance(names, list) or len(names) != len(plan.inputs):
        return None
    if MASK not in names:
        return "the model reads no attention mask, so what fills a short text up would count"
    numbers = [texts.get(key) for key in ("vocabulary", "segments", "padding")]
    shapes = {(tensor.dtype, tensor.shape) for tensor in plan.inputs}
    length = plan.inputs[0].shape[-1]
    if shapes != {(DType.S64, (1, length))} or {*names} - {IDS, MASK, TYPES} or names[0] != IDS:
        return "the model has inputs that no text fills"
    if not all(type(number) is int for number in numbers):
        return None
    vocabulary, segments, padding = (int(str(number)) for number in numbers)
    places = (names.index(name) if name in names else -1 for name in (IDS, MASK, TYPES))
    return TextModel(length, vocabulary, segments, padding, *places)
