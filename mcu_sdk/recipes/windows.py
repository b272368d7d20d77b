"""What a decoder is calibrated on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import TextError
from mcu_sdk.lowering.calibrate import LONGEST_WINDOW, sample_windows, spread_windows
from mcu_sdk.lowering.export import choose_cache_length
from mcu_sdk.model.folder import read_config
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.model.special_tokens import vocabulary_of
from mcu_sdk.model.tokenizer import read_text, require_tokenizer, text_ids
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ROUNDING_WINDOWS = 48
"""Sequences that weights of few levels are rounded by. The bundled model's divergence on a text that these have not seen is a sixth
less than with 16."""


def calibration_windows(
    checkpoint: Checkpoint, model: PreTrainedModel, options: CompileOptions, cache_length: int
) -> torch.Tensor:
    """Tokens to calibrate on, int64[n, L]: of the user's text, or what the model generates; L is the cache's length
    or LONGEST_WINDOW. Raises ModelError for a text without a tokenizer, TextError for one that cannot be read."""
    length = min(cache_length, LONGEST_WINDOW)
    if options.calibration_text is None:
        return sample_windows(model, length)
    sample_windows(
        model, 2, count=1
    )  # refuses what keeps no keys and values, which nothing else here would run
    vocabulary = int(model.config.get_text_config().vocab_size)
    return spread_windows(_calibration_ids(checkpoint, options, vocabulary, length), length)


def rounding_windows(
    checkpoint: Checkpoint, model: PreTrainedModel, options: CompileOptions, cache_length: int
) -> torch.Tensor:
    """Tokens that weights of few levels are rounded by, int64[n, L]: more than `calibration_windows`, and as long as the model
    allows, however short the cache is. Raises what that raises."""
    from mcu_sdk.lowering.reproducible import reproducible

    length = min(choose_cache_length(model.config, type(model).__name__, None), LONGEST_WINDOW)
    if options.calibration_text is None:
        with stage("Generating text to round weights by"), reproducible():
            return sample_windows(model, length, count=ROUNDING_WINDOWS)
    vocabulary = int(model.config.get_text_config().vocab_size)
    with stage("Reading the text to round weights by"):
        ids = _calibration_ids(checkpoint, options, vocabulary, min(cache_length, LONGEST_WINDOW))
        return spread_windows(ids, min(length, len(ids)), ROUNDING_WINDOWS)


def check_calibration_text(checkpoint: Checkpoint, options: CompileOptions) -> None:
    """What can be told of the text before the model is loaded. Raises ModelError and TextError."""
    if options.calibration_text is None:
        return
    config = read_config(checkpoint.folder)
    length = options.cache_length or _positions(config)
    if options.npu is not None or length is None or length < 1 or _is_encoder(checkpoint):
        length = 1  # an encoder decides itself; a length that cannot be is said elsewhere
    _calibration_ids(checkpoint, options, vocabulary_of(config), min(length, LONGEST_WINDOW))


def _is_encoder(checkpoint: Checkpoint) -> bool:
    from mcu_sdk.model.encoder import encoder_architecture

    return encoder_architecture(checkpoint) is not None


def _positions(config: dict[str, Any]) -> int | None:
    """The model's positions, where config.json says so itself (export.position_limit asks transformers')."""
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, dict) else {}):
        for name in ("max_position_embeddings", "n_positions", "n_ctx"):
            if isinstance(part.get(name), int):
                return int(part[name])
    return None


def _calibration_ids(
    checkpoint: Checkpoint, options: CompileOptions, vocabulary: int | None, length: int
) -> list[int]:
    path = options.calibration_text
    assert path is not None
    text = read_text(path, "to calibrate on")
    tokenizer = require_tokenizer(checkpoint.folder, checkpoint.name, "--calibration-text")
    ids = text_ids(tokenizer, text, vocabulary, path)
    if len(ids) < length:
        raise TextError(
            f"A text of at least {length} tokens was expected to calibrate on; {path} has {len(ids)}.",
            hint="Give a longer text, a shorter cache, or leave --calibration-text out.",
        )
    return ids
