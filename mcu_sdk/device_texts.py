"""How a firmware reads and writes texts: the tokenizer's tables, a grammar, stop texts, the chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.model.chat.files import ChatFiles, no_chat, read_chat
from mcu_sdk.model.folder import read_config
from mcu_sdk.model.grammar.automaton import Automaton
from mcu_sdk.model.grammar.files import check_length, grammar_of_tokens, tables_of
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.model.special_tokens import read_special_tokens, vocabulary_of
from mcu_sdk.model.tokenizer import device_tables, text_tables, tokenizer_file
from mcu_sdk.options import GenerateRequest
from mcu_sdk.planning.language_model import LanguageModel
from mcu_sdk.planning.text_model import TextModel
from mcu_sdk.project.edited import KEPT

Texts = TextModel | str | None
"""What reads texts, or why that does not; None for what is not for texts."""


def tokenizer_tables(
    tokenizer: Path | None, stated: Mapping[str, Any], language_model: LanguageModel | None, texts: Texts
) -> tuple[Mapping[str, Any] | None, dict[str, Any]]:
    """The firmware's tables, and what there is to say of them: facts for the report. `stated`: what the model's facts are
    so far."""
    if language_model is not None:
        side = language_model.encoder
        length = side.length if side is not None else language_model.max_sequence_length
        tables, word, notes = device_tables(tokenizer, language_model.vocab_size, length)
        return tables, {"tokenizer": word, "notes": notes}
    if texts is None:
        return None, {}
    if isinstance(texts, str):
        return None, {"tokenizer": f"none, the firmware takes tensors: {texts}"}
    tables, word, notes = text_tables(tokenizer, texts.vocab_size, texts.length, texts.segments)
    told = {"length": texts.length, "bytes": tables["text_bytes"]} if tables is not None else {}
    return tables, {"tokenizer": word, "notes": notes, "texts": {**stated["texts"], **told}}


def check_grammar(request: GenerateRequest, checkpoint: Checkpoint, automaton: Automaton) -> None:
    """Raises GrammarError, before anything is compiled, for a grammar that the checkpoint's tokens cannot follow."""
    config = read_config(checkpoint.folder)
    ends = read_special_tokens(checkpoint.folder, config).ends
    tokenizer = request.tokenizer or checkpoint.folder
    found = grammar_of_tokens(automaton, tokenizer, vocabulary_of(config), ends)
    check_length(found, request.compile_options.cache_length)


def grammar_tables(
    automaton: Automaton | None, tokenizer: Path | None, language_model: LanguageModel | None
) -> Mapping[str, Any] | None:
    """The firmware's tables of a grammar. Raises GrammarError for one that the model's tokens cannot follow."""
    if automaton is None or language_model is None:
        return None
    vocabulary, ends = language_model.vocab_size, language_model.eos_ids
    found = grammar_of_tokens(automaton, tokenizer, vocabulary, ends)
    check_length(found, language_model.max_sequence_length)
    return tables_of(found)


def stop_texts(request: GenerateRequest, tables: Mapping[str, Any] | None) -> tuple[bytes, ...]:
    """The texts that end an answer. Raises UsageError where there is no tokenizer that could write them."""
    if tables is None:
        _refuse_stops(request)
    return tuple(text.encode() for text in request.stop)


def check_stops_are_written(request: GenerateRequest, tokenizer: Path) -> None:
    """Raises UsageError, before anything is compiled, for texts that end an answer where no tokenizer writes any."""
    if not tokenizer_file(tokenizer).is_file():
        _refuse_stops(request)


def _refuse_stops(request: GenerateRequest) -> None:
    if request.stop:
        raise UsageError(
            "--stop is a text that ends an answer; there is no tokenizer on the device.",
            hint="Leave --stop out, or give --tokenizer.",
        )


def folders_of_tokenizer(request: GenerateRequest) -> list[Path]:
    """Where a tokenizer that was named has its chat template."""
    return [tokenizer_file(request.tokenizer).parent] if request.tokenizer is not None else []


def read_chat_template(
    request: GenerateRequest, folders: Sequence[Path], tokenizer: Path | None
) -> ChatFiles | str | None:
    """The chat template of the first folder that has one, or why it cannot be followed; None without one. Raises ModelError
    where there has to be one."""
    if tokenizer is None or request.format == "library":
        found: ChatFiles | str | None = None
    else:
        with step("Reading the chat template"):
            found = read_chat(folders, tokenizer, request.system, request.chat_date)
    if request.asks_for_chat and not isinstance(found, ChatFiles):
        raise no_chat(found)
    return found


def chat_of(
    request: GenerateRequest,
    given: ChatFiles | str | None,
    language_model: LanguageModel | None,
    tables: Mapping[str, Any] | None,
) -> ChatFiles | str | None:
    """What the firmware has of the chat template that was `given`, or why it has none of it. Raises ModelError where it has to."""
    is_decoder = language_model is not None and language_model.encoder is None
    found = given if is_decoder else None
    if isinstance(found, ChatFiles) and language_model is not None:
        if tables is None:
            found = "the firmware takes and prints token ids"
        elif found.greatest_id >= language_model.vocab_size:
            found = f"its chat template writes the token {found.greatest_id}, and the model has {language_model.vocab_size}"
        elif language_model.sinks >= 0 and found.chat.rewrites:
            found = "its chat template changes past answers, and a cache that slides (--when-full) cannot go back to them"
        elif found.shortest >= language_model.max_sequence_length:
            found = (
                f"{found.shortest} tokens stand around the first text of a conversation, and the cache holds "
                f"{language_model.max_sequence_length}"
            )
    if request.asks_for_chat and not isinstance(found, ChatFiles):
        raise no_chat(found)
    return found


def chooser_notes(destination: Path) -> list[str]:
    """What to say of an app/ that is there already, and that no grammar reaches."""
    texts = _app_texts(destination)
    if not texts or any("Chooser" in text for text in texts):
        return []
    return [
        "app/main.cpp chooses tokens itself and follows no grammar, so the firmware will refuse every request: let a Chooser "
        "choose, as docs/sampling.md shows."
    ]


def prompt_notes(destination: Path) -> list[str]:
    """What to say of an app/ that is there already, and that reads prompts token by token."""
    texts = _app_texts(destination)
    if not texts or any(".read(" in text for text in texts):
        return []
    return [
        "app/main.cpp reads prompts token by token, so --prefill makes nothing faster: let language_model.read(ids, count) "
        "read them, as a new project's app/main.cpp does."
    ]


def _app_texts(destination: Path) -> list[str]:
    """The sources of an app/ that stays."""
    files = (destination / KEPT).rglob("*.cpp")
    return [path.read_text(encoding="utf-8", errors="replace") for path in files]
