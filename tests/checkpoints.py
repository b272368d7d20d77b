"""Random-weight checkpoints from the configurations in tests/models/, made on first use."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parent / "models"
FAMILIES = tuple(sorted(path.stem for path in MODELS.glob("*.json")))
ENCODERS = tuple(sorted(path.stem for path in (MODELS / "encoders").glob("*.json")))
LLAMAS = tuple(name for name in FAMILIES if name.startswith("llama"))


def make_checkpoint(name: str, folder: Path, seed: int = 0, **changes: object) -> Path:
    """Save the model that tests/models/<name>.json describes, with seeded random weights, to `folder`/<name>.

    `changes` of its configuration make another model, for another folder.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {**json.loads((MODELS / f"{name}.json").read_text()), **changes}
    return save_checkpoint(
        folder / name, seed, lambda: AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings))
    )


def make_encoder(name: str, folder: Path, seed: int = 0, **changes: object) -> Path:
    """The same of tests/models/encoders/<name>.json, whose "architecture" is a class of transformers ("encoder_of": the
    class whose encoder alone is saved) and "length" what encoder_length() says; `changes` of its configuration make
    another model, for another folder."""
    import transformers

    settings = {**_encoder_settings(name), **changes}
    settings.pop("length", None)
    whole = settings.pop("encoder_of", None)
    architecture = getattr(transformers, settings.pop("architecture") if whole is None else whole)

    def make() -> Any:
        model = architecture(transformers.AutoConfig.for_model(**settings))
        return model if whole is None else model.get_encoder()

    return save_checkpoint(folder / name, seed, make)


def encoder_length(name: str) -> int | None:
    """Tokens or samples of one call, where the configuration of a signal does not say it itself."""
    length = _encoder_settings(name).get("length")
    return None if length is None else int(length)


def _encoder_settings(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((MODELS / "encoders" / f"{name}.json").read_text())
    return settings


def save_checkpoint(destination: Path, seed: int, make: Callable[[], Any]) -> Path:
    """Save what `make` gives, seeded, with norms and biases that are not all alike; nothing where it is there already."""
    import torch

    if (destination / "model.safetensors").exists():
        return destination
    folder = destination.parent
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = make().eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:  # norms and biases that are not all alike
            parameter.data += 0.1 * torch.randn_like(parameter)
    beside = Path(tempfile.mkdtemp(dir=folder))
    model.save_pretrained(beside, safe_serialization=True)
    with contextlib.suppress(OSError):  # another worker may have been first
        os.rename(beside, destination)
    return destination


def small_tokenizer(path: Path) -> Path:
    """Write a tokenizer.json of the small letters and a space: fewer ids than any model of the tests has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = {letter: number for number, letter in enumerate("\u0120abcdefghijklmnopqrstuvwxyz")}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(path))
    return path


def byte_tokenizer(path: Path, vocabulary: int, text: str) -> Path:
    """Write a byte-level tokenizer.json: `<|end|>` is 0, then come the bytes, then what is merged in `text`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([text] * 50, trainer)
    tokenizer.save(str(path))
    return path
