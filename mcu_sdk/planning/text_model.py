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
    that it knows; `pad_id`: what fills a short text up; `ids`, `mask`, `types`: their places among the inputs (-1: none).
    `labels`: of a classifier of whose labels one is right, of the output at `labels_output`."""

    length: int
    vocab_size: int
    segments: int
    pad_id: int
    ids: int
    mask: int
    types: int
    labels: tuple[str, ...] = ()
    labels_output: int = 0


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
    ids, mask, types = (names.index(name) if name in names else -1 for name in (IDS, MASK, TYPES))
    labels, output = _labels(plan, facts)
    return TextModel(length, vocabulary, segments, padding, ids, mask, types, labels, output)


def _labels(plan: Plan, facts: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """The names of a classifier's scores, and which output they are; none for another task."""
    said, outputs = facts.get("labels"), facts.get("output_names")
    if (
        facts.get("task") != "text-classification"
        or not isinstance(said, Mapping)
        or not isinstance(outputs, list)
    ):
        return (), 0
    names, output = said.get("names"), said.get("output")
    if said.get("scores") != "softmax" or not isinstance(names, list) or output not in outputs:
        return (), 0
    place = outputs.index(output)
    tensor = plan.outputs[place] if place < len(plan.outputs) else None
    if tensor is None or tensor.dtype is not DType.F32 or tensor.elements != len(names):
        return (), 0
    return tuple(str(name) for name in names), place
