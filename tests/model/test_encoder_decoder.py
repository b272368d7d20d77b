"""What an encoder-decoder begins with: as transformers' generate() begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    DiaConfig,
    DiaForConditionalGeneration,
    GenerationConfig,
    MarianMTModel,
    WhisperForConditionalGeneration,
)

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.model.encoder_calls import example_calls
from mcu_sdk.model.encoder_decoder import Spoken, load_pair, start_ids
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


def test_positions_that_a_class_computes_are_not_missed(tmp_path: Path) -> None:
    """Marian's sines are in no file; what is trained is missed all the same."""
    torch.manual_seed(0)
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 12}
    config = AutoConfig.for_model("marian", vocab_size=20, pad_token_id=0, eos_token_id=1, **SIZES, **heads)
    whole: Any = MarianMTModel(config).eval()
    whole.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    assert "model.encoder.embed_positions.weight" not in weights
    checkpoint = Checkpoint(tmp_path, "model")
    model, encoder = load_pair(checkpoint, "MarianMTModel", lambda model, checkpoint: None)
    assert encoder.input_names == ("input_ids", "attention_mask")
    with pytest.raises(UsageError, match="model reads 1 to 12 tokens; --max-encoder-len 0 was given"):
        example_calls(encoder, 0, None, checkpoint)
    counts = [int(mask.sum()) for _, mask in example_calls(encoder, None, None, checkpoint)]
    assert counts[0] == 12 and max(counts[1::2]) <= 4 <= min(counts[2::2])  # what is said is often short
    assert min(counts) < 4 and len(set(counts)) > 5
    given = {"input_ids": torch.tensor([[4, 9, 7]]), "decoder_input_ids": torch.tensor([[3, 5]])}
    with torch.no_grad():
        assert torch.equal(model(**given).logits, whole(**given).logits)
    weights.pop("model.encoder.layers.0.fc1.bias")
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of the weights .* model.encoder.layers.0.fc1.bias"):
        load_pair(checkpoint, "MarianMTModel", lambda model, checkpoint: None)


def test_several_codes_at_a_step_are_no_tokens(tmp_path: Path) -> None:
    """Dia reads a text and gives nine codes of a sound at once."""
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "vocab_size": 20,
        "head_dim": 8,
    }
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    cross = {
        "cross_num_attention_heads": 2,
        "cross_num_key_value_heads": 2,
        "cross_head_dim": 8,
        "cross_hidden_size": 16,
    }
    config = DiaConfig(encoder_config={**sizes, **heads}, decoder_config={**sizes, **heads, **cross})
    DiaForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="9 codes of a sound at every step, and no token"):
        load_pair(
            Checkpoint(tmp_path, "model"), "DiaForConditionalGeneration", lambda model, checkpoint: None
        )
