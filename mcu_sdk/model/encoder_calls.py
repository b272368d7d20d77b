"""What an encoder is exported, compared and calibrated with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mcu_sdk.errors import ModelError, TextError, UsageError
from mcu_sdk.model.encoder import Camera, Encoder, Microphone
from mcu_sdk.model.image_processor import image_facts, prepares
from mcu_sdk.model.input_shapes import shape_of_input
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.model.made_up_images import made_up_frames, made_up_images
from mcu_sdk.model.made_up_sounds import made_up_sounds
from mcu_sdk.model.tokenizer import read_text, require_tokenizer, text_ids

CALIBRATION_CALLS = 16
"""Calls that an encoder's scales are taken from."""

LONGEST_DEFAULT = 128
"""Tokens that an encoder reads where nothing is asked for, at most."""

Call = tuple[torch.Tensor, ...]


def example_calls(
    encoder: Encoder, length: int | None, text: Path | None, checkpoint: Checkpoint
) -> list[Call]:
    """CALIBRATION_CALLS calls: the lines of `text`, random tokens without it, made-up images or sounds where it is known
    how they are prepared, or else signals of normal noise.

    `length`: tokens of one call (None: the model's longest, at most LONGEST_DEFAULT), or samples of a waveform. Where the
    encoder reads a mask, the first call is of full length, and others end earlier, sounds too. Raises ModelError for an input of
    another kind, UsageError for a length that the model does not have, TextError.
    """
    config = encoder.model.config
    if encoder.input_name != "input_ids":
        shape = input_shape(encoder, length)
        if isinstance(encoder.front, Camera):
            camera = encoder.front
            return camera.calls_of(made_up_frames(camera.channels, camera.frame, CALIBRATION_CALLS))
        if isinstance(encoder.front, Microphone):
            encoder.take_sound(shape)
            sounds = made_up_sounds(encoder.front.heard, CALIBRATION_CALLS)
            if encoder.rows is None:
                return encoder.front.calls_of(sounds)
            return [
                encoder.sound_call(sound[:count])
                for sound, count in zip(sounds, _lengths(encoder.front.heard, CALIBRATION_CALLS), strict=True)
            ]
        images = image_facts(checkpoint.folder)
        if encoder.input_name == "pixel_values" and prepares(images, shape):
            return [(image,) for image in made_up_images(shape, images, CALIBRATION_CALLS)]
        return _noise(shape)
    length = choose_length(config, length, checkpoint.name, encoder.length_option)
    _check_vocabulary(config, checkpoint.name)
    pad = _padding(config)
    if text is None:
        rows = _random_rows(encoder, length, pad)
    else:
        find = _lines_of if "attention_mask" in encoder.input_names else _windows_of
        rows = find(text, checkpoint, length, int(config.vocab_size))
    return [_call(encoder, ids, segments, length, pad) for ids, segments in rows]


def input_shape(encoder: Encoder, length: int | None) -> tuple[int, ...]:
    """Of an encoder of no texts. Raises ModelError for an input of a kind that is not known, UsageError for no samples."""
    config = encoder.model.config
    shape = shape_of_input(encoder.input_name, config, length, encoder.length_option)
    if shape is None:
        raise ModelError(
            f"A model of token ids, pixels, a spectrogram, a waveform or a time series was expected; the main input of a "
            f"{config.model_type} is {encoder.input_name}.",
            hint="Compile it with mcu_sdk.compile_module, or lower it yourself and pass the result with --pte.",
        )
    return shape


def _check_vocabulary(config: Any, name: str) -> None:
    """Raises ModelError for a model that reads characters, or whose texts are one part of several."""
    count = getattr(config, "vocab_size", None)
    if not isinstance(count, int) or count < 2:
        raise ModelError(
            f"A model of token ids with a vocabulary was expected; the configuration of {name}, a {config.model_type}, "
            "has none.",
            hint="Compile it with mcu_sdk.compile_module, or lower it yourself and pass the result with --pte.",
        )


def choose_length(config: Any, wanted: int | None, name: str, option: str) -> int:
    """Tokens of one call, which `option` asks for. Raises UsageError for fewer than 1, or more than the model has positions."""
    longest = _positions(config)
    if wanted is None:
        return min(longest or LONGEST_DEFAULT, LONGEST_DEFAULT)
    if wanted < 1 or (longest is not None and wanted > longest):
        most = f"1 to {longest}" if longest is not None else "at least 1"
        raise UsageError(
            f"{name} reads {most} tokens; {option} {wanted} was given.",
            hint="Leave it out, or give one of these."
            if longest is not None
            else "Leave it out, or give more.",
        )
    return wanted


def _positions(config: Any) -> int | None:
    """How many tokens the model has positions for; None where any number goes (relative positions)."""
    for name in ("max_position_embeddings", "n_positions"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            counted_from_padding = config.model_type in COUNTED_FROM_PADDING
            return value - (_padding(config) + 1 if counted_from_padding else 0)
    return None


COUNTED_FROM_PADDING = (
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "data2vec-text", "mpnet", "esm",
    "longformer", "ibert", "xmod", "luke", "markuplm", "layoutlmv3", "mra",
)  # fmt: skip
"""Types whose first position is the padding's id + 1: so many rows of their table are of no use."""


def _padding(config: Any) -> int:
    """The id that fills up a short text."""
    pad = getattr(config, "pad_token_id", None)
    return pad if isinstance(pad, int) and 0 <= pad < int(config.vocab_size) else 0


def texts_of(encoder: Encoder) -> dict[str, int]:
    """What a text becomes for the model: how many ids and token types it has, and the id that fills a short text up."""
    config = encoder.model.config
    segments = int(getattr(config, "type_vocab_size", 0) or 0)
    return {
        "vocabulary": int(config.vocab_size),
        "segments": max(segments, 1),
        "padding": _padding(config),
    }


def _noise(shape: tuple[int, ...]) -> list[Call]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(shape, generator=generator),) for _ in range(CALIBRATION_CALLS)]


Row = tuple[list[int], int]
"""Token ids, and how many of them are of the first segment."""


def _between(longest: int, number: int, *, for_decoder: bool) -> tuple[int, int]:
    """How much of the longest one call `number` has at least and at most: a quarter and more, and every second one that a decoder
    attends to a quarter and less. What is said to a translator is often much shorter than what it could read, and attention
    averages less of it, so that what comes out is larger."""
    quarter = min(longest, 1 + longest // 4)
    return (min(longest, 1 + longest // 32), quarter) if for_decoder and number % 2 else (quarter, longest)


def _lengths(longest: int, count: int) -> list[int]:
    """Of each call of sounds that a decoder is told of: the first is whole, others a quarter of it and more."""
    generator = torch.Generator().manual_seed(0)
    return [
        longest,
        *torch.randint(-(-longest // 4), longest + 1, (count - 1,), generator=generator).tolist(),
    ]


def _random_rows(encoder: Encoder, length: int, pad: int) -> list[Row]:
    """Ids that are no padding, the first row of full length; every second one begins a second segment in the middle."""
    generator = torch.Generator().manual_seed(0)
    config, rows = encoder.model.config, []
    for number in range(CALIBRATION_CALLS):
        ids = torch.randint(0, config.vocab_size - 1, (length,), generator=generator)
        ids += ids >= pad
        count = length
        if number and "attention_mask" in encoder.input_names:
            low, high = _between(length, number, for_decoder=encoder.for_decoder)
            count = int(torch.randint(low, high + 1, (), generator=generator))
        rows.append((ids[:count].tolist(), count if number % 2 else -(-count // 2)))
    return rows


def _lines_of(path: Path, checkpoint: Checkpoint, length: int, vocabulary: int) -> list[Row]:
    """Lines of a text, special tokens around each, evenly spread over it; a long one is cut."""
    text = read_text(path, "to calibrate on")
    tokenizer = require_tokenizer(checkpoint.folder, checkpoint.name, "--calibration-text")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise TextError(
            f"A text was expected to calibrate on; {path} has none.", hint="Give one of some lines."
        )
    step = max(1, len(lines) // CALIBRATION_CALLS)
    rows = [text_ids(tokenizer, line, vocabulary, path) for line in lines[::step][:CALIBRATION_CALLS]]
    return [(ids[:length], min(len(ids), length)) for ids in rows]


def _windows_of(path: Path, checkpoint: Checkpoint, length: int, vocabulary: int) -> list[Row]:
    """The text's first tokens in rows of full length, for a model that reads no mask."""
    text = read_text(path, "to calibrate on")
    tokenizer = require_tokenizer(checkpoint.folder, checkpoint.name, "--calibration-text")
    ids = text_ids(tokenizer, text, vocabulary, path)
    count = min(len(ids) // length, CALIBRATION_CALLS)
    if not count:
        raise TextError(
            f"A text of at least {length} tokens was expected; {path} has {len(ids)}.",
            hint="Give a longer text, or fewer tokens with --max-cache-len.",
        )
    return [(ids[number * length : (number + 1) * length], length) for number in range(count)]


def _call(encoder: Encoder, ids: list[int], first: int, length: int, pad: int) -> Call:
    """The tensors of one row by the encoder's names, int64[1, length] each."""
    rest = length - len(ids)
    values = {
        "input_ids": ids + [pad] * rest,
        "attention_mask": [1] * len(ids) + [0] * rest,
        "token_type_ids": [0] * first + [1] * (len(ids) - first) + [0] * rest,
    }
    return tuple(torch.tensor([values[name]]) for name in encoder.input_names)
