"""Encoder-decoders with random weights, from the configurations in tests/models/pairs/, and tokenizers for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.checkpoints import MODELS, save_checkpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAIRS = tuple(sorted(path.stem for path in (MODELS / "pairs").glob("*.json")))
WORDS = ("the", "red", "lamp", "is", "on", "off", "blue", "light")


def make_pair(name: str, folder: Path, seed: int = 0, **changes: object) -> Path:
    """Save the model that tests/models/pairs/<name>.json describes, with `changes`, to `folder`/<name>; one that reads texts
    with a tokenizer beside it."""
    import transformers

    settings = {**json.loads((MODELS / "pairs" / f"{name}.json").read_text()), **changes}
    architecture = getattr(transformers, settings.pop("architecture"))
    made = save_checkpoint(
        folder / name, seed, lambda: architecture(transformers.AutoConfig.for_model(**settings))
    )
    if not (made / "tokenizer.json").exists():
        write_unigram(made / "tokenizer.json")
    return made


SAMPLES = {"moonshine": 4000, "whisper": 16_000}
"""Of a sound, by the models that hear such; Whisper's are a second, with frames of 200."""


def make_listener(name: str, folder: Path, **generation: object) -> Path:
    """One of SAMPLES with what prepares its sounds beside it; `generation`: what its generation_config.json says, too."""
    from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    sizes = {"max_source_positions": 40} if name == "whisper" else {}
    made = make_pair(name, folder, **sizes)
    if name == "whisper":
        extractor = WhisperFeatureExtractor(feature_size=8, chunk_length=1, hop_length=200)
    else:
        extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    extractor.save_pretrained(made)
    path = made / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **generation}))
    return made


def write_wav(path: Path, samples: NDArray[np.int16], rate: int = 16_000, channels: int = 1) -> Path:
    """A file of 16-bit samples."""
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def write_unigram(path: Path) -> None:
    """As T5's: words and letters with their chances, and `</s>` behind every text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(f"\u2581{word}", -3.0 - 0.1 * number) for number, word in enumerate(WORDS)]
    pieces += [
        (letter, -5.0 - 0.1 * number) for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz.,?!")
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens([AddedToken(token) for token in ("<pad>", "</s>", "<unk>")])
    tokenizer.save(str(path))
