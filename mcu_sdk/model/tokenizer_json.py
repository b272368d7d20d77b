"""Compiles a tokenizer.json of Hugging Face's `tokenizers` library into tables for the device.

What is supported is BPE, Unigram and WordPiece (docs/tokenizers.md lists the parts). Whatever
could make the device's ids differ from the library's is refused here with a reason; firmware is then generated with token
ids only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcu_sdk.errors import ModelError
from mcu_sdk.model import unicode_tables
from mcu_sdk.model.bpe_json import BYTE_NAMES, bpe, token_names
from mcu_sdk.model.charsmap import UnsupportedCharsmap
from mcu_sdk.model.code_map import normalizer_of, read_by_library
from mcu_sdk.model.device_tokenizer import DeviceTokenizer
from mcu_sdk.model.folder import check_fetched
from mcu_sdk.model.json_object import json_object
from mcu_sdk.model.normalizer_steps import Matters, UnsupportedStep, steps_of
from mcu_sdk.model.pattern.syntax import UnsupportedPattern
from mcu_sdk.model.piece_stages import Stages, add_stage, add_stage_of_bytes
from mcu_sdk.model.templates import UnsupportedTemplate, specials_around, template_items
from mcu_sdk.model.token_texts import Printer, printer_of
from mcu_sdk.model.tokenizer_parts import NO_BYTE, AddedToken, Unigram, Unsupported, WordPiece
from mcu_sdk.model.tokenizer_tables import METASPACE, PATTERN, PREFIX_SPACE, SET
from mcu_sdk.model.vocabulary import Vocabulary
from mcu_sdk.text import one_line, shown

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""The regular expression of ByteLevel."""

SAVE_TOKENIZER = "Save it again with `tokenizer.save_pretrained(folder)`."


LENGTH = 512
"""Tokens that a language model reads, where it is not said."""


def compile_tokenizer(
    source: Mapping[str, Any] | str | Path, *, texts: int | None = None, length: int = LENGTH
) -> DeviceTokenizer:
    """Tables for the device from a tokenizer.json: its parsed content or its path.

    `texts`: for a model that reads texts and writes none (an encoder), the most tokens that it reads; None for a language
    model, which reads `length`. Raises ModelError if the file is no tokenizer.json; a tokenizer of another kind gives `supported=False`.
    """
    content = source if isinstance(source, Mapping) else _content(Path(source))
    try:
        return _compile(content, texts, length)
    except UnsupportedStep as reason:
        return DeviceTokenizer(supported=False, reason=f"its normalizer {reason}")
    except UnsupportedPattern as reason:
        return DeviceTokenizer(supported=False, reason=f"its pattern {reason}")
    except UnsupportedCharsmap as reason:
        return DeviceTokenizer(supported=False, reason=f"its charsmap {reason}")
    except (Unsupported, UnsupportedTemplate) as reason:
        return DeviceTokenizer(supported=False, reason=str(reason))
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        RecursionError,
        OverflowError,
    ) as error:
        raise ModelError(
            f"Expected a tokenizer.json of the Hugging Face tokenizers library, found one that is not consistent: "
            f"{type(error).__name__}: {one_line(str(error))[:300]}",
            hint=SAVE_TOKENIZER,
        ) from error


def _content(path: Path) -> Mapping[str, Any]:
    check_fetched(path)
    return json_object(path, SAVE_TOKENIZER)


def _compile(content: Mapping[str, Any], texts: int | None, length: int) -> DeviceTokenizer:
    model = content["model"]
    kind = model.get("type") or ("BPE" if "merges" in model else "unnamed")
    if kind == "BPE":
        compiled = _of_bpe(content, texts)
    elif kind == "Unigram":
        compiled = _of_words(content, _unigram(content))
        compiled = compiled if texts is not None else _printed(content, compiled)
    elif kind == "WordPiece":
        compiled = _of_words(content, _wordpiece(model))
        compiled = compiled if texts is not None else _printed(content, compiled)
    else:
        raise Unsupported(f"its model is {kind}, which has no counterpart on the device")
    work = _work_bytes(compiled, length if texts is None else texts)
    symbols = _SYMBOL_OF_A_BYTE if compiled.words is None else _WORK_OF_A_BYTE
    per_byte = symbols if _is_one_word(compiled) else _COPIES
    if texts is None:
        prefix_ids, suffix_ids = specials_around(content.get("post_processor"))
        if not _needs_room(compiled):
            work = 0
        return replace(
            compiled,
            prefix_ids=prefix_ids,
            suffix_ids=suffix_ids,
            work_bytes=work,
            text_bytes=work // per_byte,
        )
    single, pair = template_items(content.get("post_processor"))
    return replace(
        compiled,
        single=single,
        pair=pair,
        pad_id=_pad_id(content),
        work_bytes=work,
        text_bytes=work // per_byte,
    )


_WORK_BYTES, _WORK_PER_TOKEN, _WORK_OF_SYMBOLS, _WORK_OF_A_TEXT = 1024, 16, 56, 96
"""Room for changed text: of a text that fills the model's sequence, each token takes about five bytes, as it is, normalized,
and as it is cut; where all of it is one word, BPE by characters takes another eight of each of them, Unigram 16."""

_COPIES, _SYMBOL_OF_A_BYTE, _WORK_OF_A_BYTE = 3, 12, 20
"""What a byte of a text takes of that room: as it is, normalized, and a third for one that becomes longer."""


def _work_bytes(compiled: DeviceTokenizer, tokens: int) -> int:
    """Room for a text that becomes so many tokens."""
    symbols = _WORK_OF_SYMBOLS if compiled.words is None else _WORK_OF_A_TEXT
    return _WORK_BYTES + tokens * (symbols if _is_one_word(compiled) else _WORK_PER_TOKEN)


def _needs_room(compiled: DeviceTokenizer) -> bool:
    """Whether a language model's texts are changed, or words are so long that their symbols are more than their tokens."""
    changes = bool(compiled.steps) or METASPACE in (kind for kind, _ in compiled.stages)
    return changes or compiled.words is not None or not compiled.by_bytes


def _is_one_word(compiled: DeviceTokenizer) -> bool:
    """Whether a whole text is a word whose every byte takes room."""
    whole = isinstance(compiled.words, Unigram) or (compiled.words is None and not compiled.by_bytes)
    return whole and not {SET, PATTERN} & {kind for kind, _ in compiled.stages}


def _pad_id(content: Mapping[str, Any]) -> int:
    """Of the padding that the file asks for, or of a token with the usual name; -1 if there is none."""
    if content.get("padding"):
        return int(content["padding"]["pad_id"])
    names = ("[PAD]", "<pad>")
    return next((int(t["id"]) for t in content.get("added_tokens") or [] if t["content"] in names), -1)


def _of_words(content: Mapping[str, Any], words: WordPiece | Unigram) -> DeviceTokenizer:
    parts = _flatten(content.get("normalizer"), "normalizers")
    found = _set_stages(_flatten(content.get("pre_tokenizer"), "pretokenizers"))
    added = _added_tokens(content.get("added_tokens") or [], parts)
    return DeviceTokenizer(
        supported=True,
        added=added,
        stages=tuple(found.stages),
        patterns=tuple(found.patterns),
        sets=tuple(found.sets),
        replacement=found.replacement,
        steps=steps_of(parts, _matters(words, added, found)),
        words=words,
    )


def _of_bpe(content: Mapping[str, Any], texts: int | None) -> DeviceTokenizer:
    cutters = _flatten(content.get("pre_tokenizer"), "pretokenizers")
    kinds = [part["type"] for part in cutters]
    by_bytes = "ByteLevel" in kinds
    at = kinds.index("ByteLevel") if by_bytes else len(kinds)
    found = _set_stages(cutters[:at])
    if by_bytes:
        _add_byte_level(cutters[at], cutters[at + 1 :], found)
    parts = _flatten(content.get("normalizer"), "normalizers")
    steps = steps_of(parts)
    added = _added_tokens(content.get("added_tokens") or [], parts)
    compiled = bpe(content, added, _printer(content, texts, by_bytes), by_bytes=by_bytes)
    return replace(
        compiled,
        stages=tuple(found.stages),
        patterns=tuple(found.patterns),
        sets=tuple(found.sets),
        replacement=found.replacement,
        steps=steps,
    )


def _printer(content: Mapping[str, Any], texts: int | None, by_bytes: bool) -> Printer:
    """Of a model that writes no texts, tokens as they are named will do."""
    try:
        return printer_of(_flatten(content.get("decoder"), "decoders"))
    except Unsupported:
        if texts is None:
            raise
        return Printer(byte_level=by_bytes)


def _printed(content: Mapping[str, Any], compiled: DeviceTokenizer) -> DeviceTokenizer:
    """WordPiece or Unigram whose tokens are printed. Raises Unsupported where the device cannot print them so."""
    printer = printer_of(_flatten(content.get("decoder"), "decoders"))
    words = compiled.words
    assert words is not None
    fallback = isinstance(words, Unigram) and bool(words.byte_ids)
    if isinstance(words, Unigram):
        if printer.byte_level or (printer.from_bytes and not fallback and _has_byte_tokens(words)):
            raise Unsupported("its decoder reads bytes where its Unigram has none")
        if printer.inside is not None:
            raise Unsupported("its decoder is WordPiece's, its model Unigram")
    special = {token.id for token in compiled.added if token.special}
    vocabulary = words.vocabulary
    tokens = {token.decode(): index for token, index in zip(vocabulary.tokens, vocabulary.ids, strict=True)}
    names = token_names(tokens, compiled.added)
    texts = [
        b"" if i in special or i not in names else printer.print(names[i])
        for i in range(max(names, default=-1) + 1)
    ]
    return replace(
        compiled,
        token_bytes=tuple(texts),
        mark=printer.mark if isinstance(words, Unigram) else "",
        prints_bytes=printer.from_bytes and fallback,
        prints=True,
    )


def _has_byte_tokens(words: Unigram) -> bool:
    names = {name.encode() for name in BYTE_NAMES}
    return any(token in names for token in words.vocabulary.tokens)


def _matters(words: WordPiece | Unigram, added: Iterable[AddedToken], found: Stages) -> Matters | None:
    """Whether a character is of any token, or one that the stages cut at. None where that is not all that counts: unknown
    characters of Unigram have scores and bytes, and patterns know letters from others."""
    if isinstance(words, Unigram) or found.patterns:
        return None
    characters = set(" " + found.replacement)
    for token in (*words.vocabulary.tokens, *(token.content for token in added)):
        characters.update(token.decode())
    sets = (unicode_tables.spaces(), *(points for _, points in found.sets))
    cut = {code for points in sets for code in unicode_tables.unpack_points(points)}
    return lambda character: character in characters or ord(character) in cut


def _wordpiece(model: Mapping[str, Any]) -> WordPiece:
    vocabulary: dict[str, int] = model["vocab"]
    return WordPiece(
        _vocabulary(vocabulary),
        int(vocabulary.get(model["unk_token"], -1)),
        int(model["max_input_chars_per_word"]),
        model["continuing_subword_prefix"].encode(),
    )


UNKNOWN_PENALTY = 10.0
"""What an unknown character costs more than the least likely token: K_UNK_PENALTY of the library."""


def _unigram(content: Mapping[str, Any]) -> Unigram:
    model = content["model"]
    # As the library has read them: its numbers may differ from Python's in the last place.
    pairs = json.loads(read_by_library({**content, "truncation": None, "padding": None}).to_str())["model"][
        "vocab"
    ]
    scores = {token: float(score) for token, score in pairs}  # of two with one name, the last counts
    vocabulary = _vocabulary({token: index for index, (token, _) in enumerate(pairs)})
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    ids = {token: index for index, (token, _) in enumerate(pairs)}
    fallback = tuple(ids.get(name, NO_BYTE) for name in names) if model.get("byte_fallback") else ()
    if any(index >= NO_BYTE and name in ids for index, name in zip(fallback, names, strict=False)):
        raise Unsupported(f"its byte tokens have ids from {NO_BYTE} on")
    unknown = model.get("unk_id")
    return Unigram(
        vocabulary,
        tuple(scores[token.decode()] for token in vocabulary.tokens),
        min((float(score) for _, score in pairs), default=0.0) - UNKNOWN_PENALTY,
        -1 if unknown is None else int(unknown),
        fallback,
    )


def _vocabulary(vocabulary: Mapping[str, int]) -> Vocabulary:
    try:
        return Vocabulary.of(vocabulary)
    except ValueError as reason:
        raise Unsupported(f"its vocabulary has {reason}") from reason


def _set_stages(parts: Sequence[Mapping[str, Any]]) -> Stages:
    """What cuts a text, but for ByteLevel, which also changes what the vocabulary is of."""
    found = Stages()
    for part in parts:
        try:
            known = add_stage(part, found)
        except ValueError as reason:
            raise Unsupported(f"its pre-tokenizer {reason}") from reason
        if not known:
            raise Unsupported(f"its pre-tokenizer {part['type']} has no counterpart on the device")
    _check_count(found.stages)
    return found


MOST_STAGES = 8
"""MCU_SPLIT_STAGES of firmware/runtime/tokenizer/tables.h."""


def _flatten(part: Any, key: str) -> list[Mapping[str, Any]]:
    """The members of a (nested) Sequence; a part alone is a sequence of one, null is none."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return [member for inner in part[key] for member in _flatten(inner, key)]


def _add_byte_level(part: Mapping[str, Any], behind: Sequence[Mapping[str, Any]], found: Stages) -> None:
    """`behind`: what cuts when bytes have become characters."""
    if part.get("add_prefix_space", True):
        found.stages.append((PREFIX_SPACE, 0))
    if part.get("use_regex", True):
        found.at_pattern(GPT2)
    for cutter in behind:
        if not add_stage_of_bytes(cutter, found):
            raise Unsupported(
                f"its pre-tokenizer {cutter['type']} has no counterpart on the device behind ByteLevel"
            )
    _check_count(found.stages)


def _check_count(stages: Sequence[tuple[str, int]]) -> None:
    if len(stages) > MOST_STAGES:
        raise Unsupported(
            f"its {len(stages)} pre-tokenizer stages are more than the {MOST_STAGES} that the device supports"
        )


def _added_tokens(
    entries: Sequence[Mapping[str, Any]], normalizers: Sequence[Mapping[str, Any]]
) -> tuple[AddedToken, ...]:
    """`normalizers`: what those that are looked for in normalized text are normalized with."""
    normalizer = normalizer_of(normalizers) if normalizers else None
    tokens = []
    for entry in entries:
        content: str = entry["content"]
        if not content:
            continue
        if normalizer is not None and entry.get("normalized", True):
            content = normalizer.normalize_str(content)
            if not content:
                raise Unsupported(
                    f"its normalizer leaves nothing of the added token {shown(entry['content'])}"
                )
        tokens.append(
            AddedToken(
                content=content.encode("utf-8"),
                id=int(entry["id"]),
                normalized=bool(entry.get("normalized", True)),
                lstrip=bool(entry.get("lstrip")),
                rstrip=bool(entry.get("rstrip")),
                special=bool(entry.get("special")),
                single_word=bool(entry.get("single_word")),
            )
        )
    return tuple(tokens)
