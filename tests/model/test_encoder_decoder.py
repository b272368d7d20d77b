"""What an encoder-decoder begins with: as transformers' generate() begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, GenerationConfig, WhisperForConditionalGeneration

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.model.encoder_decoder import Spoken, start_ids
from mcu_sdk.model.load import Checkpoint

LANGUAGES = {
    "lang_to_id": {"<|en|>": 10, "<|de|>": 11},
    "task_to_id": {"transcribe": 20, "translate": 21},
    "no_timestamps_token_id": 30,
    "is_multilingual": True,
}
START = {"decoder_start_token_id": 3}
SIZES = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}


@pytest.fixture(scope="module")
def model() -> WhisperForConditionalGeneration:
    more = {"encoder_attention_heads": 1, "decoder_attention_heads": 1, "max_source_positions": 4}
    config = AutoConfig.for_model("whisper", vocab_size=40, pad_token_id=0, eos_token_id=2, **SIZES, **more)
    return WhisperForConditionalGeneration(config)


def ours(model: Any, said: dict[str, Any], folder: Path, spoken: Spoken | None = None) -> tuple[int, ...]:
    (folder / "generation_config.json").write_text(json.dumps(said))
    (folder / "config.json").write_text("{}")
    return start_ids(Checkpoint(folder, "model"), model, spoken)


@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        (START, Spoken()),
        ({**START, "no_timestamps_token_id": 30}, Spoken()),
        ({**START, "forced_decoder_ids": [[1, 11], [2, 21]], **LANGUAGES}, Spoken()),
        ({**START, "forced_decoder_ids": [[1, 11], [2, 21], [3, 30]], **LANGUAGES}, Spoken()),
        ({**START, "forced_decoder_ids": [[1, None], [2, 20]], **LANGUAGES}, Spoken("en")),
        ({**START, "forced_decoder_ids": [[1, 11], [2, 20]], **LANGUAGES}, Spoken("English", "translate")),
        ({**START, "language": "de", **LANGUAGES}, Spoken()),
        ({**START, "language": "de", "task": "translate", **LANGUAGES}, Spoken("<|en|>")),
    ],
)
def test_what_transformers_begins_with(
    said: dict[str, Any], spoken: Spoken, model: Any, tmp_path: Path
) -> None:
    config = GenerationConfig(**said, return_timestamps=False)
    for name in ("language", "task"):
        if getattr(spoken, name) is not None:
            setattr(config, name, getattr(spoken, name))
    (theirs,) = model._retrieve_init_tokens(None, 1, config, model.config, 0, {}).tolist()
    assert ours(model, said, tmp_path, spoken) == tuple(theirs)


@pytest.mark.parametrize(
    ("said", "spoken", "error", "words"),
    [
        ({**START, **LANGUAGES}, Spoken(), ModelError, "One language was expected; model knows 2"),
        ({**START, **LANGUAGES, "task": "translate"}, Spoken(), ModelError, "One language"),
        ({**START, "forced_decoder_ids": [[1, None], [2, 20]], **LANGUAGES}, Spoken(), ModelError, "One language"),
        ({**START, "forced_decoder_ids": [[2, 7]]}, Spoken(), ModelError, "Token ids that the decoder begins with"),
        ({**START, "return_timestamps": True}, Spoken(), ModelError, "without timestamps"),
        ({**START, **LANGUAGES}, Spoken("fr"), UsageError, "not 'fr'"),
        ({**START, **LANGUAGES}, Spoken("de", "sing"), UsageError, "not 'sing'"),
        (START, Spoken("de"), UsageError, "--language is for a model that knows several"),
        (START, Spoken(None, "translate"), UsageError, "--task is for a model that knows several"),
    ],
)  # fmt: skip
def test_what_is_refused(
    said: dict[str, Any], spoken: Spoken, error: type[Exception], words: str, model: Any, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        ours(model, said, tmp_path, spoken)
