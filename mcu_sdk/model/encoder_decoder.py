"""Checkpoints that are an encoder with a decoder that attends to it: T5, BART, Whisper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.model.encoder import BOTH, FEATURES, Encoder, MakeFront, listed
from mcu_sdk.model.folder import read_config
from mcu_sdk.model.json_object import json_object
from mcu_sdk.model.load import Checkpoint, load_frozen

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
    model = load_frozen(checkpoint, kind)
    inner: Any = getattr(model, "get_encoder", lambda: None)()
    what = None
    if not getattr(model.config, "is_encoder_decoder", False):
        what = "is something else: what it makes of an image or a sound goes among its tokens"
    elif not isinstance(inner, transformers.PreTrainedModel):
        what = f"has an encoder ({type(inner).__name__}) that is no model of transformers by itself"
    elif (codes := _codes_at_once(model)) > 1:
        what = f"reads and gives {codes} codes of a sound at every step, and no token"
    if what is not None:
        raise ModelError(
            f"A decoder, an encoder, or an encoder with a decoder that attends to it was expected; {checkpoint.name}, a "
            f"{architecture}, {what}.",
            hint=HALVES,
        )
    front = make_front(inner, checkpoint)
    return model, Encoder(inner, FEATURES, None, front=front, for_decoder=True)


def _codes_at_once(model: PreTrainedModel) -> int:
    """Of how many parallel sequences the decoder's configuration speaks, as those of speech synthesis do."""
    config = model.config.get_text_config(decoder=True)
    found = (getattr(config, name, None) for name in ("num_channels", "num_codebooks"))
    return max((each for each in found if isinstance(each, int)), default=1)


@dataclass(frozen=True)
class Spoken:
    """What a model of speech is told of a sound: `language`, as its checkpoint calls it, and `task`, "transcribe" or
    "translate". None: what its checkpoint says."""

    language: str | None = None
    task: str | None = None


def start_ids(
    checkpoint: Checkpoint, model: PreTrainedModel, spoken: Spoken | None = None
) -> tuple[int, ...]:
    """The tokens that the decoder reads before it says anything, as transformers' generate() puts them: the start token and
    those that are forced behind it, of Whisper language, task and that there are no timestamps.

    Raises ModelError where the checkpoint does not say them, or says what is no token, and UsageError for a language or a
    task that it does not know.
    """
    path = checkpoint.folder / "generation_config.json"
    own: dict[str, Any] = json_object(path) if path.is_file() else {}

    def said(name: str) -> Any:
        return own[name] if own.get(name) is not None else getattr(model.config, name, None)

    if own.get("return_timestamps"):
        raise ModelError(
            f"Answers without timestamps were expected; generation_config.json of {checkpoint.name} says "
            '"return_timestamps": true, and the rules that they follow have no code on the device.',
            hint='Set "return_timestamps": false in generation_config.json.',
        )
    start = said("decoder_start_token_id")
    found = [said("bos_token_id") if start is None else start]
    named = _spoken_ids(own, spoken or Spoken(), checkpoint.name)
    forced = said("forced_decoder_ids") or []
    if named:
        found += named
    elif forced:
        found += (
            [pair[1] for pair in sorted(forced, key=lambda pair: pair[0])] if _are_pairs(forced) else [None]
        )
    elif said("forced_bos_token_id") is not None:
        found.append(said("forced_bos_token_id"))
    if own.get("lang_to_id") and (len(found) < 2 or found[1] is None):
        raise ModelError(
            f"One language was expected; {checkpoint.name} knows {len(own['lang_to_id'])} and finds out which one is "
            "spoken, for which there is no code on the device.",
            hint='Give --language, or set "language" in generation_config.json.',
        )
    if own.get("no_timestamps_token_id") is not None and found[-1] != own["no_timestamps_token_id"]:
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


def _spoken_ids(own: Mapping[str, Any], spoken: Spoken, name: str) -> list[Any]:
    """The tokens of the language and the task, of a model that has such; none where neither is named."""
    languages, tasks = own.get("lang_to_id") or {}, own.get("task_to_id") or {}
    for option, value, known in (("--language", spoken.language, languages), ("--task", spoken.task, tasks)):
        if value is not None and not known:
            raise UsageError(
                f"{option} is for a model that knows several, by generation_config.json; {name} does not.",
                hint=f"Leave {option} out.",
            )
    if not languages and not tasks:
        return []
    language = own.get("language") if spoken.language is None else spoken.language
    task = own.get("task") if spoken.task is None else spoken.task
    found = []
    if language is not None:
        found.append(
            _of(languages, (str(language).lower(), f"<|{_code_of(str(language))}|>"), "language", language)
        )
    elif task is not None and languages:
        found.append(None)  # which one is found out
    if task is not None or (language is not None and tasks):
        wanted = "transcribe" if task is None else task
        found.append(_of(tasks, (wanted,), "task", wanted))
    return found


def _of(known: Mapping[str, Any], names: Sequence[str], what: str, said: object) -> Any:
    """The token of the first of the names that is known. Raises UsageError without one."""
    for name in names:
        if name in known:
            return known[name]
    some = ", ".join(name.strip("<|>") for name in list(known)[:20])
    raise UsageError(
        f"A {what} that the model knows was expected, not {said!r}.",
        hint=f"It knows {some}{', ...' if len(known) > 20 else ''}." if known else f"It knows no {what}s.",
    )


def _code_of(language: str) -> str:
    """ "en" of "English" and of "en"."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    code: str = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
    return code


def _are_pairs(forced: Any) -> bool:
    """Whether it is [[1, id], [2, id], ...]: nothing between the start token and a forced one is left to the model."""
    if not isinstance(forced, list) or not all(isinstance(each, list) and len(each) == 2 for each in forced):
        return False
    return sorted(each[0] for each in forced) == list(range(1, len(forced) + 1))


def _where(path: Path) -> str:
    return "config.json and generation_config.json" if path.is_file() else "config.json"
