"""Texts by the library, and begins of them that have room on a device."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mcu_sdk.errors import ModelError, TextError
from mcu_sdk.model.text_encoder import TextEncoder
from tests.text_checkpoints import WORDS, write_word_piece


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_word_piece(path)
    return path


def test_a_text_and_a_pair(tokenizer: Path) -> None:
    encoder = TextEncoder(tokenizer, 8, 1000)
    found = encoder.encode("The lamp", "is on")
    assert found.ids[0] == 2 and found.types == (0, 0, 0, 0, 1, 1, 1) and found.dropped == 0
    assert found.spans == (None, (0, 0, 3), (0, 4, 8), None, (1, 0, 2), (1, 3, 5), None)
    cut = encoder.encode("the lamp is on and the light is off")
    assert len(cut.ids) == 8 and cut.dropped == 3
    assert encoder.mask_id() == 4 and encoder.token(found.ids[2]) == "lamp"


def test_a_begin_of_a_long_text_becomes_the_same_tokens(tokenizer: Path) -> None:
    encoder, rng = TextEncoder(tokenizer, 16, 200), random.Random(1)
    for _ in range(100):
        text = " ".join(rng.choices(WORDS, k=rng.randrange(200)))
        pair = " ".join(rng.choices(WORDS, k=rng.randrange(200))) if rng.random() < 0.5 else None
        first, second = encoder.fitting(text, pair)
        assert len((first + (second or "")).encode()) <= 200 and (second is None) == (pair is None)
        assert encoder.encode(first, second).ids == encoder.encode(text, pair).ids


def test_what_cannot_be_shortened_or_encoded(tokenizer: Path, tmp_path: Path) -> None:
    encoder = TextEncoder(tokenizer, 16, 100)
    with pytest.raises(TextError, match="no begin of them becomes the same tokens"):
        encoder.fitting("x" + "\u0301" * 400 + " the lamp")
    with pytest.raises(TextError, match="lone surrogate"):
        encoder.encode("ok", "\ud800")
    with pytest.raises(ModelError, match="is missing"):
        TextEncoder(tmp_path / "tokenizer.json", 8, 100)
