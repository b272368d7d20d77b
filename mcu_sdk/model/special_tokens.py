"""Start and stop tokens, and what else config.json and generation_config.json say of generating text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcu_sdk.errors import ModelError
from mcu_sdk.model.json_object import json_object

SAMPLING = {
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "max_length",
    "max_new_tokens",
    "pad_token_id",
    "use_cache",
    "cache_implementation",
    "transformers_version",
    "output_attentions",
    "output_hidden_states",
    "return_dict_in_generate",
    "decoder_start_token_id",
    "bos_token_id",
    "eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
}
"""Of generation_config.json: what is used here, what `run` has options for, and what changes no token."""

OF_PAIRS = {
    "forced_bos_token_id",
    "forced_decoder_ids",
    "lang_to_id",
    "task_to_id",
    "language",
    "task",
    "is_multilingual",
    "return_timestamps",
    "no_timestamps_token_id",
    "max_initial_timestamp_index",
    "alignment_heads",
    "median_filter_width",
    "prev_sot_token_id",
}
"""Of an encoder-decoder's, too: what it begins with (encoder_decoder.py), and what is about timestamps and what was said
before, which nothing asks for."""

NEUTRAL: tuple[Any, ...] = (None, False, 0, 1, 1.0, [], {}, "")
"""Values that switch a setting off."""


@dataclass(frozen=True)
class SpecialTokens:
    """`source`: the file that decides. `start`: a token id or None. `ends`: ids that end a text. `suppressed`: ids that are
    never chosen; `first_suppressed`: not as an answer's first. All as the file has them."""

    source: str
    start: int | None
    ends: tuple[int, ...]
    suppressed: tuple[int, ...] = ()
    first_suppressed: tuple[int, ...] = ()


def read_special_tokens(folder: Path, config: Mapping[str, Any]) -> SpecialTokens:
    """As transformers' generate() chooses: generation_config.json alone if it is there, else config.json.

    Raises ModelError for ids that are no numbers.
    """
    source, content = "config.json", config
    if (folder / "generation_config.json").is_file():
        source = "generation_config.json"
        content = json_object(folder / source)
    starts = _ids(content, "bos_token_id", source)
    ends, *barred = (
        _ids(content, key, source) for key in ("eos_token_id", "suppress_tokens", "begin_suppress_tokens")
    )
    return SpecialTokens(source, starts[0] if starts else None, ends, *barred)


def _ids(content: Mapping[str, Any], key: str, source: str) -> tuple[int, ...]:
    value = content.get(key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise ModelError(
            f"{key} in {source} should be a token id or a list of them; it is {str(value)[:80]!r}.",
            hint="Save the checkpoint again.",
        )
    return tuple(values)


def vocabulary_of(config: Mapping[str, Any]) -> int | None:
    """How many token ids a decoder has, where config.json says so itself."""
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, Mapping) else {}):
        size = part.get("vocab_size")
        if isinstance(size, int) and not isinstance(size, bool) and size > 0:
            return size
    return None


def token_notes(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """What the report says of stop tokens that cannot come, or that transformers does not stop at, and of settings that
    the firmware's sampler does not have."""
    tokens = read_special_tokens(folder, config)
    vocabulary = vocabulary_of(config)
    notes = []
    beyond = [i for i in tokens.ends if not 0 <= i < (vocabulary or i + 1)]
    if beyond:
        notes.append(
            f"The stop token {beyond[0]} of {tokens.source} is beyond the {vocabulary} ids of the vocabulary: no text ends "
            "with it."
        )
    if tokens.source != "config.json":
        other = [i for i in _ids(config, "eos_token_id", "config.json") if i not in tokens.ends]
        if other:
            notes.append(
                f"config.json names the stop token {other[0]}, generation_config.json does not: as in transformers, it does "
                "not end a text."
            )
        content = json_object(folder / tokens.source)
        used = SAMPLING | OF_PAIRS if config.get("is_encoder_decoder") else SAMPLING
        unused = [
            key
            for key, value in content.items()
            if key not in used and not key.startswith("_") and not any(value == n for n in NEUTRAL)
        ]
        if unused:
            notes.append(
                f"Not applied on the device, which has no such setting: {', '.join(sorted(unused)[:6])} of "
                "generation_config.json."
            )
    return notes
