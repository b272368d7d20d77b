"""The encoder of texts that the verbs are tried on, lowered once for all files of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from tests.text_checkpoints import make_text_encoder

TEXT_LENGTH = 16
"""Tokens of one call."""


@pytest.fixture(scope="session")
def text_checkpoint(shared_folder: Path) -> Path:
    """A BERT of two layers with three labels."""
    return make_text_encoder("bert", shared_folder / "texts")


@pytest.fixture(scope="session")
def text_classifier(text_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It as a project for a Cortex-M55."""
    folder = tmp_path_factory.mktemp("texts") / "classifier"
    options = CompileOptions(TEXT_LENGTH)
    return generate(
        GenerateRequest("corstone-300", options, model=str(text_checkpoint), output=folder)
    ).project
