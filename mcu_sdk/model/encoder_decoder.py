"""Checkpoints that are an encoder with a decoder that attends to it: T5, BART, Whisper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError
from mcu_sdk.model.encoder import BOTH, FEATURES, Encoder, MakeFront, listed
from mcu_sdk.model.folder import read_config
from mcu_sdk.model.json_object import json_object
from mcu_sdk.model.load import AttentionError, Checkpoint, load_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HALVES = "Save one of its halves as a checkpoint of its own, or lower it yourself and pass it with --pte."


def pair_architecture(checkpoint: Checkpoint) -> str | None:
    """The class that config.json names, if it is one of transformers' encoder-decoders that give text; else None."""
    import transformers

    names = read_config(checkpoint.folder).get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        return None
    both = set().union(*(listed(getattr(transformers, auto)) for auto in BOTH))
    causal = listed(transformers.AutoModelForCausalLM)
    known = names[0] in both - causal and hasattr(transformers, names[0])
    return names[0] if known else None


def load_pair(
    checkpoint: Checkpoint, architecture: str, make_front: MakeFront
) -> tuple[PreTrainedModel, Encoder]:
    """The model in float32 and evaluation mode, and its encoder. Raises ModelError for weights that are missing, broken or
    not finite, and for a class that is no encoder with a decoder that attends to it."""
    import transformers

    kind = getattr(transformers, architecture)
    try:
        model = load_weights(checkpoint, kind, attn_implementation="sdpa")
    except AttentionError:
        model = load_weights(checkpoint, kind, attn_implementation="eager")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    inner: Any = getattr(model, "get_encoder", lambda: None)()
    what = None
    if not getattr(model.config, "is_encoder_decoder", False):
        what = "is something else: what it makes of an image or a sound goes among its tokens"
    elif not isinstance(inner, transformers.PreTrainedModel):
        what = f"has an encoder ({type(inner).__name__}) that is no model of transformers by itself"
    if what is not None:
        raise ModelError(
            f"A decoder, an encoder, or an encoder with a decoder that attends to it was expected; {checkpoint.name}, a "
            f"{architecture}, {what}.",
            hint=HALVES,
        )
    return model, Encoder(inner, FEATURES, None, front=make_front(inner, checkpoint))


def start_ids(checkpoint: Checkpoint, model: PreTrainedModel) -> tuple[int, ...]:
    """The tokens that the decoder reads before it says anything, as transformers' generate() puts them: the start token and
    those that are forced behind it. Raises ModelError where the checkpoint does not say them, or says what is no token."""
    path = checkpoint.folder / "generation_config.json"
    own: dict[str, Any] = json_object(path) if path.is_file() else {}

    def said(name: str) -> Any:
        return own[name] if own.get(name) is not None else getattr(model.config, name, None)

    start = said("decoder_start_token_id")
    start = said("bos_token_id") if start is None else start
    found = [start]
    forced = said("forced_decoder_ids") or []
    found += [pair[1] for pair in sorted(forced, key=lambda pair: pair[0])] if _are_pairs(forced) else [None]
    if not forced and said("forced_bos_token_id") is not None:
        found.append(said("forced_bos_token_id"))
    elif not forced and own.get("lang_to_id"):
        raise ModelError(
            f"One language was expected to be forced in generation_config.json; {checkpoint.name} knows "
            f"{len(own['lang_to_id'])} and finds out which one is spoken, for which there is no code on the device.",
            hint='Set "forced_decoder_ids": [[1, LANGUAGE], [2, TASK], [3, NO TIMESTAMPS]] in generation_config.json.',
        )
    elif not forced and own.get("no_timestamps_token_id") is not None:
        found.append(own["no_timestamps_token_id"])
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    wrong = [each for each in found if type(each) is not int or not 0 <= each < vocabulary]
    if wrong:
        raise ModelError(
            f"Token ids that the decoder begins with were expected (decoder_start_token_id, and what is forced behind it); "
            f"{_where(path)} of {checkpoint.name} say {str(found)[:80]}.",
            hint="Set decoder_start_token_id in generation_config.json.",
        )
    return tuple(found)


def _are_pairs(forced: Any) -> bool:
    """Whether it is [[1, id], [2, id], ...]: nothing between the start token and a forced one is left to the model."""
    if not isinstance(forced, list) or not all(isinstance(each, list) and len(each) == 2 for each in forced):
        return False
    return sorted(each[0] for each in forced) == list(range(1, len(forced) + 1))


def _where(path: Path) -> str:
    return "config.json and generation_config.json" if path.is_file() else "config.json"
