"""The checkpoint's tokenizer: on the host (load, encode) and for the device (compile_tokenizer)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError, TextError
from mcu_sdk.model.device_tokenizer import DeviceTokenizer
from mcu_sdk.model.tokenizer_json import compile_tokenizer
from mcu_sdk.text import one_line, shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["DeviceTokenizer", "compile_tokenizer", "device_tables", "encode", "load_tokenizer"]


def device_tables(source: Path | None) -> tuple[Mapping[str, Any] | None, str]:
    """The firmware's tables of a tokenizer.json (or of a folder with one), and a word for the report.

    Without a file, or with one that the device cannot run, there are no tables: the word says why.
    """
    path = source / "tokenizer.json" if source is not None and source.is_dir() else source
    if path is None or not path.is_file():
        return None, "none: the firmware takes and prints token ids"
    compiled = compile_tokenizer(path)
    if not compiled.supported:
        return None, f"token ids only: {compiled.reason}"
    return compiled.to_template(), "on the device"


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer in a checkpoint's folder, or None if there is none. Never runs code from the folder.

    Raises ModelError if there are tokenizer files that transformers cannot read.
    """
    folder = Path(folder)
    files = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
    if not any((folder / name).is_file() for name in files):
        return None
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    from_file: Any = PreTrainedTokenizerFast
    try:
        if (folder / "tokenizer.json").is_file() and not (folder / "tokenizer_config.json").is_file():
            loaded: Any = from_file(tokenizer_file=str(folder / "tokenizer.json"))
        else:
            loaded = AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
    except (
        Exception
    ) as error:  # transformers raises nearly everything, KeyError and a bare Exception included
        raise ModelError(
            f"The tokenizer in {str(folder)!r} cannot be read: {one_line(str(error))}",
            hint="Save it again with `tokenizer.save_pretrained(folder)`, or remove its files to work with token ids.",
        ) from error
    tokenizer: PreTrainedTokenizerBase = loaded
    return tokenizer


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of `text`, special tokens added as `tokenizer(text)` does.

    Raises TextError for text that is no Unicode (lone surrogates), that loses characters or gives no token at all.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TextError(
            f"Expected Unicode text, found the lone surrogate U+{ord(text[error.start]):04X} "
            f"at character {error.start}.",
            hint="Pass the text as valid UTF-8.",
        ) from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        _check_nothing_lost(backend, text)
    try:
        ids = [int(i) for i in tokenizer(text)["input_ids"]]
    except (
        Exception
    ) as error:  # the tokenizers library raises bare Exceptions, for a missing unknown token say
        raise TextError(
            f"The tokenizer cannot encode the text {shown(text)}: {one_line(str(error))}"
        ) from error
    if not ids:
        raise TextError(
            f"The tokenizer turns the text {shown(text)} into no token at all, and a model needs at least one.",
            hint="Give a longer prompt, or pass token ids.",
        )
    return ids


def _check_nothing_lost(backend: Any, text: str) -> None:
    """Raises TextError if a BPE without unknown token would silently drop characters that it has no token for."""
    model = backend.model
    if type(model).__name__ != "BPE" or model.unk_token is not None or model.byte_fallback:
        return
    if model.continuing_subword_prefix or model.end_of_word_suffix:
        return
    added = sorted(
        (token.content for token in backend.get_added_tokens_decoder().values()), key=len, reverse=True
    )
    for content in added:
        text = text.replace(content, "\n")
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    pieces = (
        [text]
        if backend.pre_tokenizer is None
        else [p for p, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
    )
    for piece in pieces:
        lost = next((character for character in piece if backend.token_to_id(character) is None), None)
        if lost is not None and backend.token_to_id(piece) is None:
            raise TextError(
                f"The tokenizer cannot encode the text {shown(text)}: {shown(lost)} is not in its vocabulary, "
                f"and it has no unknown token.",
                hint="Leave such characters out, or pass token ids.",
            )
