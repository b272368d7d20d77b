"""The checkpoint's tokenizer: on the host (load, encode) and for the device (device_tables).

There is one truth: tokenizer.json, as the `tokenizers` library reads it. transformers' AutoTokenizer is not asked, since it
rebuilds some tokenizers by the name of their class and then gives other ids than the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mcu_sdk.errors import ModelError, TextError
from mcu_sdk.model.device_tokenizer import DeviceTokenizer
from mcu_sdk.model.folder import check_fetched
from mcu_sdk.model.json_object import json_object
from mcu_sdk.model.tokenizer_json import LENGTH, compile_tokenizer
from mcu_sdk.text import one_line, shown

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "DeviceTokenizer",
    "check_tokenizer",
    "compile_tokenizer",
    "device_tables",
    "encode",
    "load_tokenizer",
    "read_text",
    "require_tokenizer",
    "text_ids",
    "text_tables",
    "tokenizer_file",
]

FILE = "tokenizer.json"
OLDER_FILES = (
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
"""What tokenizers were kept in before, or are kept in elsewhere."""

CONVERT = (
    "Make a tokenizer.json of it, in Python: "
    "transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
)

T = TypeVar("T")


def tokenizer_file(source: Path) -> Path:
    """A tokenizer.json, where `source` may be the folder that it is in."""
    return source / FILE if source.is_dir() else source


def load_tokenizer(source: str | Path) -> Tokenizer | None:
    """The tokenizer of a tokenizer.json, or of a folder with one; None where there is none.

    Nothing is cut and nothing is padded, whatever the file says of that: the device does neither.
    Raises ModelError if the library cannot read the file, or files beside it say otherwise.
    """
    path = _file(Path(source))
    if path is None:
        return None
    check_fetched(path)
    from tokenizers import Tokenizer

    try:
        tokenizer = _without_panic(lambda: Tokenizer.from_file(str(path)))
        tokenizer.no_truncation()
        tokenizer.no_padding()
    except Exception as error:  # the library raises bare Exceptions
        raise ModelError(
            f"The tokenizer in {str(path)!r} cannot be read: {one_line(str(error))[:300]}",
            hint="Save it again with `tokenizer.save_pretrained(folder)`, or remove its files to work with token ids.",
        ) from error
    _check_beside(path.parent, tokenizer)
    return tokenizer


def _file(source: Path) -> Path | None:
    path = source / FILE if source.is_dir() else source
    return path if path.is_file() else None


def _without_panic(call: Callable[[], T]) -> T:
    """`call()`, with a panic of the library's Rust code, which is no Exception, turned into one."""
    try:
        return call()
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as panic:
        raise ValueError(f"the tokenizers library panicked: {panic}") from panic


def _check_beside(folder: Path, tokenizer: Tokenizer) -> None:
    """Raises ModelError if added tokens of the files beside tokenizer.json are not in it under the same ids."""
    named: dict[str, tuple[Any, str]] = {}
    if (folder / "added_tokens.json").is_file():
        added = json_object(folder / "added_tokens.json")
        named |= {token: (index, "added_tokens.json") for token, index in added.items()}
    if (folder / "tokenizer_config.json").is_file():
        decoder = json_object(folder / "tokenizer_config.json").get("added_tokens_decoder")
        for index, token in decoder.items() if isinstance(decoder, dict) else ():
            content = token.get("content") if isinstance(token, dict) else token
            named[str(content)] = (int(index) if str(index).isdigit() else index, "tokenizer_config.json")
    for token, (index, file) in named.items():
        found = tokenizer.token_to_id(token)
        if found != index:
            there = "does not have it" if found is None else f"has it as {found}"
            raise ModelError(
                f"{file} says that the token {shown(token)} has the id {index}; {FILE} {there}, and it is the one that "
                "device and host follow.",
                hint="Save the tokenizer again with transformers' save_pretrained(), which writes both alike, or remove the "
                f"entry from {file}.",
            )


def require_tokenizer(folder: Path, name: str, purpose: str) -> Tokenizer:
    """The folder's tokenizer. Raises ModelError, with what can be done, where there is no tokenizer.json."""
    tokenizer = load_tokenizer(folder)
    if tokenizer is not None:
        return tokenizer
    older = next((file for file in OLDER_FILES if (folder / file).is_file()), None)
    if older is None:
        raise ModelError(
            f"{purpose} is read as tokens, and {name} has no tokenizer ({FILE}).",
            hint="Put the model's tokenizer.json into its folder, or leave the text out.",
        )
    raise ModelError(
        f"{purpose} is read as tokens by {FILE}, which device and host follow; {name} has {older} instead.",
        hint=CONVERT,
    )


def read_text(path: Path, purpose: str) -> str:
    """A UTF-8 file, without a byte order mark: some editors write it, and a model would read it as a character. Raises
    TextError naming it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:  # ValueError: a name with a null in it
        raise TextError(
            f"A UTF-8 text {purpose} was expected; {path} could not be read: {error}.", hint="Check the path."
        ) from error


def text_ids(tokenizer: Tokenizer, text: str, vocabulary: int | None, path: Path) -> list[int]:
    """Token ids of `text`, which is from `path`, each one that a model with `vocabulary` ids knows (None: unknown).

    Raises TextError, naming the file, for a token beyond it, and for what `encode` refuses.
    """
    try:
        ids = encode(tokenizer, text)
    except TextError as error:
        raise TextError(f"{path}: {error.message}", hint=error.hint) from error
    beyond = next((i for i in ids if vocabulary is not None and i >= vocabulary), None)
    if beyond is not None:
        raise TextError(
            f"{path} has the token {shown(tokenizer.id_to_token(beyond) or '')}, whose id {beyond} is beyond the "
            f"{vocabulary} ids of the model.",
            hint="Leave it out of the text.",
        )
    return ids


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of `text`, special tokens added as tokenizer.json's post-processor does.

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
    try:
        _check_nothing_lost(tokenizer, text)
        ids = [int(i) for i in _without_panic(lambda: tokenizer.encode(text).ids)]
    except TextError:
        raise
    except Exception as error:  # the library raises bare Exceptions, for a missing unknown token say
        raise TextError(
            f"The tokenizer cannot encode the text {shown(text)}: {one_line(str(error))[:300]}"
        ) from error
    if not ids:
        raise TextError(
            f"The tokenizer turns the text {shown(text)} into no token at all, and a model needs at least one.",
            hint="Give a longer prompt, or pass token ids.",
        )
    return ids


def _check_nothing_lost(tokenizer: Tokenizer, text: str) -> None:
    """Raises TextError if a BPE without unknown token would silently drop characters that it has no token for."""
    model = tokenizer.model
    if type(model).__name__ != "BPE" or model.unk_token is not None or model.byte_fallback:
        return
    if model.continuing_subword_prefix or model.end_of_word_suffix:
        return
    added = sorted(
        (token.content for token in tokenizer.get_added_tokens_decoder().values()), key=len, reverse=True
    )
    for content in added:
        text = text.replace(content, "\n")
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    pieces = (
        [text]
        if tokenizer.pre_tokenizer is None
        else [p for p, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    )
    for piece in pieces:
        lost = next((character for character in piece if tokenizer.token_to_id(character) is None), None)
        if lost is not None and tokenizer.token_to_id(piece) is None:
            raise TextError(
                f"The tokenizer cannot encode the text {shown(text)}: {shown(lost)} is not in its vocabulary, "
                f"and it has no unknown token.",
                hint="Leave such characters out, or pass token ids.",
            )


# ---- for the device


def check_given(source: Path) -> None:
    """Raises ModelError where a tokenizer was asked for by name and is not there."""
    path = _file(source)
    if path is None:
        raise ModelError(
            f"--tokenizer takes a {FILE}, or a folder with one; {source} is neither.", hint="Check the path."
        )
    check_fetched(path)


def check_tokenizer(source: Path, vocabulary: int | None) -> None:
    """Raises ModelError for a tokenizer that cannot be read, or (where `vocabulary` is known) is of another model."""
    path = _file(source)
    if path is not None and vocabulary is not None:
        tokenizer = load_tokenizer(path)
        assert tokenizer is not None
        _vocabulary_notes(tokenizer, vocabulary, path)


def device_tables(
    source: Path | None, vocabulary: int, length: int = LENGTH
) -> tuple[Mapping[str, Any] | None, str, list[str]]:
    """The firmware's tables of a tokenizer.json (or of a folder with one), a word for the report, and notes.

    Without a file, or with one that the device cannot run, there are no tables: the word says why. `vocabulary`: how
    many ids the model has, `length`: how many tokens it reads. Raises ModelError for a tokenizer that the library cannot
    read, or of another model.
    """
    path = None if source is None else _file(source)
    if path is None:
        folder = source if source is None or source.is_dir() else source.parent
        older = next((file for file in OLDER_FILES if folder is not None and (folder / file).is_file()), None)
        if older is None:
            return None, "none: the firmware takes and prints token ids", []
        return (
            None,
            f"token ids only: there is {older}, but no {FILE}",
            [f"No {FILE}, only {older}. {CONVERT}."],
        )
    tokenizer = load_tokenizer(path)
    assert tokenizer is not None
    notes = [*_vocabulary_notes(tokenizer, vocabulary, path), *_config_notes(tokenizer, path.parent)]
    compiled = compile_tokenizer(path, length=length)
    if not compiled.supported:
        return None, f"token ids only: {compiled.reason}", notes
    return compiled.to_template(), "on the device", notes


def text_tables(
    source: Path | None, vocabulary: int, length: int, segments: int
) -> tuple[Mapping[str, Any] | None, str, list[str]]:
    """`device_tables` for a model that reads texts of at most `length` tokens and writes none: its firmware encodes one text
    or two (mcu_tokenizer_encode_texts). `segments`: how many token types the model has."""
    path = None if source is None else _file(source)
    if path is None:
        return None, f"none, as there is no {FILE}: the firmware takes tensors", []
    tokenizer = load_tokenizer(path)
    assert tokenizer is not None
    notes = [
        note for note in _vocabulary_notes(tokenizer, vocabulary, path) if "nothing is printed" not in note
    ]
    compiled = compile_tokenizer(path, texts=length)
    reason = compiled.reason if not compiled.supported else _no_room_reason(compiled, length, segments)
    if reason:
        return None, f"none, the firmware takes tensors: {reason}", notes
    return compiled.to_template(), "on the device", notes


def _no_room_reason(compiled: DeviceTokenizer, length: int, segments: int) -> str:
    """Why a model of this length, with so many token types, cannot read what the tokenizer makes; "" if it can."""
    items = (*compiled.single, *compiled.pair)
    kinds = 1 + max((kind for _, kind in items), default=0)
    if segments > 1 and kinds > segments:
        return f"it has {kinds} token types, and the model {segments}"
    around = sum(identity >= 0 for identity, _ in compiled.pair)
    if around >= length:
        return f"the model reads {length} tokens, and {around} stand around two texts"
    return ""


def _vocabulary_notes(tokenizer: Tokenizer, vocabulary: int, path: Path) -> list[str]:
    """What to say of ids that only the model or only the tokenizer has.

    Raises ModelError if usual text, or what stands around every text, has ids beyond the model's.
    """
    base = max(tokenizer.get_vocab(with_added_tokens=False).values(), default=-1)
    around = [i for i in _around(tokenizer) if i >= vocabulary]
    if base >= vocabulary or around:
        what = f"ids up to {base}" if base >= vocabulary else f"the id {around[0]} around every text"
        raise ModelError(
            f"The model's tokenizer was expected, with ids below {vocabulary}; {path} has {what}.",
            hint="Give the tokenizer.json that belongs to the model.",
        )
    known = tokenizer.get_vocab(with_added_tokens=True)
    beyond = sorted((index, token) for token, index in known.items() if index >= vocabulary)
    without = vocabulary - len({index for index in known.values() if index < vocabulary})
    notes = []
    if beyond:
        notes.append(
            f"The tokenizer has {len(beyond)} added tokens beyond the model's {vocabulary} ids, such as "
            f"{shown(beyond[0][1])} ({beyond[0][0]}): a prompt with one of them is refused."
        )
    if without:
        notes.append(
            f"{without} of the model's {vocabulary} ids have no token: where the model chooses one, nothing is printed."
        )
    return notes


def _around(tokenizer: Tokenizer) -> list[int]:
    """The ids that the post-processor puts around a text."""
    try:
        return [int(i) for i in _without_panic(lambda: tokenizer.encode("").ids)]
    except Exception as error:
        raise ModelError(
            f"A tokenizer was expected that can encode an empty text; {FILE} cannot: {one_line(str(error))[:300]}",
            hint="Save it again with `tokenizer.save_pretrained(folder)`.",
        ) from error


def _config_notes(tokenizer: Tokenizer, folder: Path) -> list[str]:
    """What tokenizer_config.json asks for and tokenizer.json does not do; the latter is followed."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return []
    settings = json_object(path)
    around = set(_around(tokenizer))
    notes = []
    for key, token, place in (
        ("add_bos_token", "bos_token", "before"),
        ("add_eos_token", "eos_token", "after"),
    ):
        value = settings.get(token)
        content = value.get("content") if isinstance(value, dict) else value
        if (
            settings.get(key) is True
            and isinstance(content, str)
            and tokenizer.token_to_id(content) not in around
        ):
            notes.append(
                f"tokenizer_config.json asks for {shown(content)} {place} every text ({key}), {FILE} does not put it "
                f"there; device and host follow {FILE}. {CONVERT} writes it in."
            )
    return notes
