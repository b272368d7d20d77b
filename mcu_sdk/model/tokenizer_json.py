"""Compiles a tokenizer.json of Hugging Face's `tokenizers` library into tables for the device.

What is supported is byte-level BPE, WordPiece and Unigram for models that read texts (docs/tokenizers.md lists the parts). Whatever
could make the device's ids differ from the library's is refused here with a reason; firmware is then generated with token
ids only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from mcu_sdk.errors import ModelError
from mcu_sdk.model import unicode_tables
from mcu_sdk.model.charsmap import UnsupportedCharsmap
from mcu_sdk.model.code_map import normalizer_of, read_by_library
from mcu_sdk.model.device_tokenizer import DeviceTokenizer
from mcu_sdk.model.folder import check_fetched
from mcu_sdk.model.json_object import json_object
from mcu_sdk.model.normalizer_steps import Matters, UnsupportedStep, steps_of
from mcu_sdk.model.piece_stages import Stages, add_stage
from mcu_sdk.model.templates import UnsupportedTemplate, specials_around, template_items
from mcu_sdk.model.tokenizer_parts import NO_BYTE, AddedToken, Merge, Unigram, WordPiece
from mcu_sdk.model.tokenizer_tables import CL100K, DIGITS, GPT2, PATTERNS, PREFIX_SPACE, SET
from mcu_sdk.model.vocabulary import Vocabulary
from mcu_sdk.text import one_line, shown

_SPACES = r"|\s+(?!\S)|\s+"
_CL100K_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+" + _SPACES
_CONTRACTIONS = ("'s|'t|'re|'ve|'m|'ll|'d", "(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)")

# Regular expressions of Split pre-tokenizers that have a hand-written matcher, with the matcher and its argument.
KNOWN_PATTERNS: dict[str, tuple[str, int]] = {
    _CONTRACTIONS[0] + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + _SPACES: (GPT2, 0),
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + _SPACES: (GPT2, 0),
} | {
    contractions + r"|[^\r\n\p{L}\p{N}]?" + possessive + r"\p{L}+|" + numbers + _CL100K_REST: (CL100K, most)
    for contractions in _CONTRACTIONS[1:]
    for possessive in ("", "+")
    for numbers, most in ((r"\p{N}{1,3}", 3), (r"\p{N}", 1))
}


SAVE_TOKENIZER = "Save it again with `tokenizer.save_pretrained(folder)`."


class _Unsupported(Exception):
    """Why a tokenizer cannot run on the device; becomes `DeviceTokenizer.reason`."""


def compile_tokenizer(source: Mapping[str, Any] | str | Path, *, texts: int | None = None) -> DeviceTokenizer:
    """Tables for the device from a tokenizer.json: its parsed content or its path.

    `texts`: for a model that reads texts and writes none (an encoder), the most tokens that it reads; None for a language
    model. Raises ModelError if the file is no tokenizer.json; a tokenizer of another kind gives `supported=False`.
    """
    content = source if isinstance(source, Mapping) else _content(Path(source))
    try:
        return _compile(content, texts)
    except UnsupportedStep as reason:
        return DeviceTokenizer(supported=False, reason=f"its normalizer {reason}")
    except UnsupportedCharsmap as reason:
        return DeviceTokenizer(supported=False, reason=f"its charsmap {reason}")
    except (_Unsupported, UnsupportedTemplate) as reason:
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


def _compile(content: Mapping[str, Any], texts: int | None) -> DeviceTokenizer:
    model = content["model"]
    kind = model.get("type") or ("BPE" if "merges" in model else "unnamed")
    added = content.get("added_tokens") or []
    special = {token["id"] for token in added if token.get("special")}
    if kind == "BPE":
        compiled = _bpe(content, special)
    elif texts is None:
        raise _Unsupported(f"its model is {kind}, not byte-level BPE")
    elif kind == "WordPiece":
        compiled = _of_words(content, _wordpiece(model))
    elif kind == "Unigram":
        compiled = _of_words(content, _unigram(content))
    else:
        raise _Unsupported(f"its model is {kind}, which has no counterpart on the device")
    if texts is None:
        prefix_ids, suffix_ids = specials_around(content.get("post_processor"))
        return replace(compiled, prefix_ids=prefix_ids, suffix_ids=suffix_ids)
    single, pair = template_items(content.get("post_processor"))
    one_word = _is_one_word(compiled)
    work = _WORK_BYTES + texts * (_WORK_OF_A_TEXT if one_word else _WORK_PER_TOKEN)
    return replace(
        compiled,
        single=single,
        pair=pair,
        pad_id=_pad_id(content),
        work_bytes=work,
        text_bytes=work // (_WORK_OF_A_BYTE if one_word else _COPIES),
    )


_WORK_BYTES, _WORK_PER_TOKEN, _WORK_OF_A_TEXT = 1024, 16, 96
"""Room for changed text: of a text that fills the model's sequence, each token takes about five bytes, as it is, normalized,
and as it is cut; where Unigram takes all of it for one word, each of these another 16 bytes."""

_COPIES, _WORK_OF_A_BYTE = 3, 20
"""What a byte of a text takes of that room: as it is, normalized, and a third for one that becomes longer."""


def _is_one_word(compiled: DeviceTokenizer) -> bool:
    return isinstance(compiled.words, Unigram) and SET not in (kind for kind, _ in compiled.stages)


def _pad_id(content: Mapping[str, Any]) -> int:
    """Of the padding that the file asks for, or of a token with the usual name; -1 if there is none."""
    if content.get("padding"):
        return int(content["padding"]["pad_id"])
    names = ("[PAD]", "<pad>")
    return next((int(t["id"]) for t in content.get("added_tokens") or [] if t["content"] in names), -1)


def _of_words(content: Mapping[str, Any], words: WordPiece | Unigram) -> DeviceTokenizer:
    parts = _flatten(content.get("normalizer"), "normalizers")
    found = _set_stages(content.get("pre_tokenizer"))
    added = _added_tokens(content.get("added_tokens") or [], parts)
    return DeviceTokenizer(
        supported=True,
        added=added,
        stages=tuple(found.stages),
        sets=tuple(found.sets),
        replacement=found.replacement,
        steps=steps_of(parts, _matters(words, added, found)),
        words=words,
    )


def _matters(words: WordPiece | Unigram, added: Iterable[AddedToken], found: Stages) -> Matters | None:
    """Whether a character is of any token, or one that the stages cut at. None where that is not all that counts: unknown
    characters of Unigram have scores and bytes, and patterns know letters from others."""
    if isinstance(words, Unigram) or any(kind in PATTERNS for kind, _ in found.stages):
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
        raise _Unsupported(f"its byte tokens have ids from {NO_BYTE} on")
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
        raise _Unsupported(f"its vocabulary has {reason}") from reason


def _set_stages(pre_tokenizer: Any) -> Stages:
    """Split stages for a vocabulary of characters."""
    found = Stages()
    for part in _flatten(pre_tokenizer, "pretokenizers"):
        try:
            known = add_stage(part, found)
        except ValueError as reason:
            raise _Unsupported(f"its pre-tokenizer {reason}") from reason
        if known:
            continue
        if part["type"] != "Split":
            raise _Unsupported(f"its pre-tokenizer {part['type']} has no counterpart on the device")
        found.stages.append(_split_stage(part))
    _check_count(found.stages)
    return found


def _bpe(content: Mapping[str, Any], special: set[int]) -> DeviceTokenizer:
    model = content["model"]
    if model.get("dropout"):
        raise _Unsupported("its BPE uses dropout, which is random")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _Unsupported("its BPE marks the insides or ends of words")
    stages = _stages(content.get("pre_tokenizer"))
    _check_decoder(content.get("decoder"))
    requires_nfc = _normalizer(content.get("normalizer"))

    vocabulary: dict[str, int] = model["vocab"]
    added = _added_tokens(content.get("added_tokens") or [], ())
    if len(set(vocabulary.values())) != len(vocabulary):
        raise ValueError("two tokens of the vocabulary have the same id")
    names = {index: token for token, index in vocabulary.items()}
    names.update({token["id"]: token["content"] for token in content.get("added_tokens") or []})
    size = max(names, default=-1) + 1
    if not 0 < size <= 2**21 or min(names) < 0:
        raise ValueError(f"token ids reach from {min(names, default=0)} to {size - 1}")

    unknown = model.get("unk_token")
    unknown_id = vocabulary.get(unknown, -1) if unknown is not None else -1
    byte_ids = tuple(vocabulary.get(character, unknown_id) for character in BYTE_CHARACTERS)
    if model.get("byte_fallback") and any(character not in vocabulary for character in BYTE_CHARACTERS):
        raise _Unsupported("its BPE falls back to byte tokens")
    merges = _merges(model["merges"], vocabulary)
    whole_words: tuple[int, ...] = ()
    if model.get("ignore_merges"):
        whole_words = _whole_words(vocabulary, byte_ids, merges, skipped={token.id for token in added})
    return DeviceTokenizer(
        supported=True,
        token_bytes=tuple(
            b"" if i in special or i not in names else _bytes_of(names[i]) for i in range(size)
        ),
        byte_ids=byte_ids,
        unknown_id=unknown_id,
        fuse_unknown=bool(model.get("fuse_unk")),
        merges=merges,
        whole_words=whole_words,
        added=added,
        stages=stages,
        requires_nfc=requires_nfc,
    )


def _byte_characters() -> tuple[str, ...]:
    """The character that stands for each byte in byte-level vocabularies, by byte (fixed by GPT-2).

    Printable characters of Latin-1 stand for themselves; the others are numbered from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


MOST_STAGES = 8
"""MCU_SPLIT_STAGES of firmware/runtime/tokenizer/tables.h."""

BYTE_CHARACTERS = _byte_characters()
_BYTE_OF_CHARACTER = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


def _bytes_of(token: str) -> bytes:
    """What the ByteLevel decoder makes of a token: bytes, or its own UTF-8 if a character stands for no byte."""
    if all(character in _BYTE_OF_CHARACTER for character in token):
        return bytes(_BYTE_OF_CHARACTER[character] for character in token)
    return token.encode("utf-8")


def _flatten(part: Any, key: str) -> list[Mapping[str, Any]]:
    """The members of a (nested) Sequence; a part alone is a sequence of one, null is none."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return [member for inner in part[key] for member in _flatten(inner, key)]


def _stages(pre_tokenizer: Any) -> tuple[tuple[str, int], ...]:
    """Split stages for the device. Only the last pre-tokenizer may be ByteLevel, and it must be."""
    parts = _flatten(pre_tokenizer, "pretokenizers")
    names = [part["type"] for part in parts]
    if not names or names[-1] != "ByteLevel" or "ByteLevel" in names[:-1]:
        found = ", ".join(names) or "none"
        raise _Unsupported(
            f"its pre-tokenizer is not byte-level (expected ByteLevel as the last one, found {found})"
        )
    stages: list[tuple[str, int]] = []
    for part in parts:
        if part["type"] == "Split":
            stages.append(_split_stage(part))
        elif part["type"] == "Digits":
            stages.append((DIGITS, int(bool(part.get("individual_digits")))))
        elif part["type"] == "ByteLevel":
            if part.get("add_prefix_space", True):
                stages.append((PREFIX_SPACE, 0))
            if part.get("use_regex", True):
                stages.append((GPT2, 0))
        else:
            raise _Unsupported(f"its pre-tokenizer {part['type']} has no counterpart on the device")
    _check_count(stages)
    return tuple(stages)


def _check_count(stages: Sequence[tuple[str, int]]) -> None:
    if len(stages) > MOST_STAGES:
        raise _Unsupported(
            f"its {len(stages)} pre-tokenizer stages are more than the {MOST_STAGES} that the device supports"
        )


def _split_stage(part: Mapping[str, Any]) -> tuple[str, int]:
    pattern = part["pattern"].get("Regex")
    if pattern not in KNOWN_PATTERNS:
        raise _Unsupported(f"its pre-tokenizer splits by an unknown pattern, {shown(str(part['pattern']))}")
    # The known patterns match every character, so there is nothing between matches that would be handled apart.
    behavior = part.get("behavior")
    if behavior != "Isolated" and not (behavior == "Removed" and part.get("invert")):
        raise _Unsupported(f"its pre-tokenizer treats the pieces as {behavior}, not as Isolated")
    return KNOWN_PATTERNS[pattern]


def _check_decoder(decoder: Any) -> None:
    parts = [part["type"] for part in _flatten(decoder, "decoders")]
    if parts != ["ByteLevel"]:
        raise _Unsupported(f"its decoder is not ByteLevel (found {', '.join(parts) or 'none'})")


def _normalizer(normalizer: Any) -> bool:
    """Whether text must be NFC. Other normalizers change text in ways the device does not know."""
    parts = [part["type"] for part in _flatten(normalizer, "normalizers")]
    if any(part != "NFC" for part in parts):
        raise _Unsupported(f"its normalizer is {', '.join(parts)} (only NFC is supported)")
    return bool(parts)


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
                raise _Unsupported(
                    f"its normalizer leaves nothing of the added token {shown(entry['content'])}"
                )
        if entry.get("single_word"):
            raise _Unsupported(f"its added token {shown(content)} matches single words only")
        if content[0].isspace() and any(other.get("rstrip") for other in entries):
            raise _Unsupported(
                f"its added token {shown(content)} begins with a space that another one may strip"
            )
        tokens.append(
            AddedToken(
                content=content.encode("utf-8"),
                id=int(entry["id"]),
                normalized=bool(entry.get("normalized", True)),
                lstrip=bool(entry.get("lstrip")),
                rstrip=bool(entry.get("rstrip")),
            )
        )
    return tuple(tokens)


def _merges(entries: Iterable[Any], vocabulary: Mapping[str, int]) -> tuple[Merge, ...]:
    """Merges sorted by (left, right), from either form: "a b" or ["a", "b"]. Of duplicates the last counts."""
    merges: dict[tuple[int, int], Merge] = {}
    for rank, entry in enumerate(entries):
        left, right = entry.split(" ") if isinstance(entry, str) else entry
        pair = vocabulary[left], vocabulary[right]
        merges[pair] = Merge(*pair, rank=rank, result=vocabulary[left + right])
    return tuple(merges[pair] for pair in sorted(merges))


def _merged(ids: list[int], merges: Mapping[tuple[int, int], Merge]) -> list[int]:
    """Plain BPE: the merge of the lowest rank, leftmost first, one at a time."""
    while True:
        found = [(merges[pair].rank, i) for i, pair in enumerate(pairwise(ids)) if pair in merges]
        if not found:
            return ids
        _, i = min(found)
        ids = [*ids[:i], merges[ids[i], ids[i + 1]].result, *ids[i + 2 :]]


def _whole_words(
    vocabulary: Mapping[str, int], byte_ids: Sequence[int], merges: Iterable[Merge], skipped: set[int]
) -> tuple[int, ...]:
    """For `ignore_merges`: ids of the tokens that merging their bytes does not give, sorted by their bytes."""
    by_pair = {(merge.left, merge.right): merge for merge in merges}
    words: dict[bytes, int] = {}
    for token, index in vocabulary.items():
        if index in skipped or not token or any(character not in _BYTE_OF_CHARACTER for character in token):
            continue
        content = _bytes_of(token)
        symbols = [byte_ids[byte] for byte in content]
        if -1 in symbols or _merged(symbols, by_pair) != [index]:
            words[content] = index
    return tuple(words[content] for content in sorted(words))
