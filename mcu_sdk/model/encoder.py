"""Checkpoints that are no decoders: one tensor in, one tensor out (BERT-like, image classifiers)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from mcu_sdk.errors import ModelError, TextError
from mcu_sdk.model.folder import read_config
from mcu_sdk.model.load import Checkpoint, load_weights
from mcu_sdk.model.tokenizer import read_text, require_tokenizer, text_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CALIBRATION_CALLS = 16
"""Calls that an encoder's scales are taken from."""

IMAGE_SIDE = 224
"""Pixels; for networks of convolutions, whose configuration names no size: what ImageNet's classifiers are trained at."""

OUTPUTS = ("logits", "last_hidden_state", "pooler_output")
"""Of a model's results, the first of these becomes the firmware's output."""


def encoder_architecture(checkpoint: Checkpoint) -> str | None:
    """The class that config.json names, if it is one of transformers' that is no causal language model; else None."""
    import transformers
    from transformers import AutoModelForCausalLM

    names = read_config(checkpoint.folder).get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        return None
    causal = {str(getattr(model, "__name__", "")) for model in AutoModelForCausalLM._model_mapping.values()}
    if names[0] in causal or not isinstance(getattr(transformers, names[0], None), type):
        return None
    return names[0]


class Encoder(nn.Module):
    """forward(x) -> the model's logits, or its last hidden state.

    `x`: token ids int64[1, L], or pixel values float32[1, C, H, W], as the model's main input is.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.input_name = model.main_input_name
        self.gives_logits = (
            type(model)
            .__name__.rpartition("For")[2]
            .endswith(("Classification", "MaskedLM", "QuestionAnswering"))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        results = self.model(**{self.input_name: x})
        found: torch.Tensor = next(results[name] for name in OUTPUTS if results.get(name) is not None)
        return found


def load_encoder(checkpoint: Checkpoint, architecture: str) -> Encoder:
    """The model in float32 and evaluation mode. Raises ModelError for weights that are missing, broken or not finite."""
    import transformers

    model = load_weights(checkpoint, getattr(transformers, architecture), attn_implementation="eager")
    return Encoder(model)


def example_calls(
    encoder: Encoder, length: int | None, text: Path | None, checkpoint: Checkpoint
) -> list[tuple[torch.Tensor, ...]]:
    """Inputs to export and calibrate with: tokens of `text` (random ones without it), or images of normal noise.

    `length`: tokens of one call (None: the model's longest, at most 128). Raises ModelError for an input that is
    neither token ids nor pixels.
    """
    config = encoder.model.config
    generator = torch.Generator().manual_seed(0)
    if encoder.input_name == "pixel_values":
        size = getattr(config, "image_size", IMAGE_SIDE)
        side = size if isinstance(size, (list, tuple)) else [size] * 2
        shape = (1, getattr(config, "num_channels", 3), *side)
        return [(torch.randn(shape, generator=generator),) for _ in range(CALIBRATION_CALLS)]
    if encoder.input_name != "input_ids":
        raise ModelError(
            f"A model of token ids or pixels was expected; the main input of {checkpoint.name} is "
            f"{encoder.input_name}.",
            hint="Compile it with mcu_sdk.compile_module, or lower it yourself and pass the result with --pte.",
        )
    longest = int(getattr(config, "max_position_embeddings", 128))
    length = min(longest, 128) if length is None else length
    if not 1 <= length <= longest:
        raise ModelError(f"{checkpoint.name} reads 1 to {longest} tokens; {length} were asked for.")
    if text is None:
        shape = (CALIBRATION_CALLS, length)
        ids = torch.randint(0, config.vocab_size, shape, generator=generator)
    else:
        ids = _tokens_of(text, checkpoint, length, int(config.vocab_size))
    return [(row[None],) for row in ids]


def _tokens_of(path: Path, checkpoint: Checkpoint, length: int, vocabulary: int) -> torch.Tensor:
    """int64[n, length]: the text's first tokens, up to CALIBRATION_CALLS times `length` of them."""
    text = read_text(path, "to calibrate on")
    tokenizer = require_tokenizer(checkpoint.folder, checkpoint.name, "--calibration-text")
    ids = text_ids(tokenizer, text, vocabulary, path)
    count = min(len(ids) // length, CALIBRATION_CALLS)
    if not count:
        raise TextError(f"A text of at least {length} tokens was expected; {path} has {len(ids)}.")
    return torch.tensor(ids[: count * length]).reshape(count, length)
