"""Which models of tensors a text fills, and why others take none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcu_sdk.planning.instruction import DType, Space, Tensor
from mcu_sdk.planning.text_model import TextModel, describe_text_model

TEXTS = {"vocabulary": 50, "segments": 2, "padding": 0}


def described(names: list[str], texts: object = TEXTS, **shapes: tuple[int, ...]) -> Any:
    inputs = [Tensor(DType.S64, shapes.get(name, (1, 9)), Space.ARENA, 0) for name in names]
    plan = cast(Any, SimpleNamespace(inputs=inputs, outputs=[]))
    return describe_text_model(plan, {"texts": texts, "input_names": names})


def test_places_of_the_inputs() -> None:
    found = described(["input_ids", "token_type_ids", "attention_mask"])
    assert isinstance(found, TextModel)
    assert (found.length, found.ids, found.types, found.mask) == (9, 0, 1, 2)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["input_ids"], "reads no attention mask"),  # as every encoder on an NPU
        (["input_ids", "attention_mask", "bbox"], "inputs that no text fills"),
    ],
)
def test_why_it_takes_none(names: list[str], why: str) -> None:
    assert why in described(names)


def test_no_model_of_texts() -> None:
    assert described(["input_ids", "attention_mask"], texts=None) is None
    assert "no text fills" in described(["input_ids", "attention_mask"], attention_mask=(1, 8))
