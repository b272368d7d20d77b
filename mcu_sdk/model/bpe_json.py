"""BPE of a tokenizer.json: by bytes as GPT-2 has it, or by characters as SentencePiece has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mcu_sdk.model.device_tokenizer import DeviceTokenizer
from mcu_sdk.model.token_texts import BYTE_CHARACTERS, BYTE_OF_CHARACTER, Printer, bytes_of
from mcu_sdk.model.tokenizer_parts import AddedToken, Merge, Unsupported

MOST_IDS = 2**21
INSIDE, LAST = 1 << 22, 1 << 23
"""MCU_CHARACTER_INSIDE and MCU_CHARACTER_LAST."""

BYTE_NAMES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def bpe(
    content: Mapping[str, Any], added: Sequence[AddedToken], printer: Printer, *, by_bytes: bool
) -> DeviceTokenizer:
    """What a BPE's words become and how its tokens are printed; what cuts the text into words is not here.

    Raises Unsupported, and ValueError for ids that cannot be.
    """
    model = content["model"]
    if model.get("dropout"):
        raise Unsupported("its BPE uses dropout, which is random")
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    if by_bytes and (prefix or suffix):
        raise Unsupported("its BPE by bytes marks the insides or ends of words")
    vocabulary: dict[str, int] = model["vocab"]
    if len(set(vocabulary.values())) != len(vocabulary):
        raise ValueError("two tokens of the vocabulary have the same id")
    special = {token.id for token in added if token.special}
    names = token_names(vocabulary, added)
    size = max(names, default=-1) + 1
    if not 0 < size <= MOST_IDS or min(names) < 0:
        raise ValueError(f"token ids reach from {min(names, default=0)} to {size - 1}")
    unknown = model.get("unk_token")
    unknown_id = vocabulary.get(unknown, -1) if unknown is not None else -1
    merges = _merges(model["merges"], vocabulary, len(prefix))
    fallback = bool(model.get("byte_fallback"))
    by_pair = {(merge.left, merge.right): merge for merge in merges}
    if by_bytes:
        byte_ids = tuple(vocabulary.get(character, unknown_id) for character in BYTE_CHARACTERS)
        if fallback and any(character not in vocabulary for character in BYTE_CHARACTERS):
            raise Unsupported("its BPE falls back to byte tokens")
        characters: tuple[tuple[int, int], ...] = ()
    else:
        byte_ids = tuple(vocabulary.get(name, -1) for name in BYTE_NAMES) if fallback else ()
        if fallback and (prefix or suffix):
            raise Unsupported("its BPE marks the insides or ends of words, and falls back to byte tokens")
        characters = _characters(vocabulary, prefix, suffix)
    whole_words: tuple[int, ...] = ()
    if model.get("ignore_merges"):
        taken = {token.id for token in added}
        if prefix or suffix:
            raise Unsupported(
                "its BPE marks the insides or ends of words, and takes whole words (ignore_merges)"
            )
        whole_words = (_whole_words if by_bytes else _whole_words_of_characters)(
            vocabulary, byte_ids, by_pair, taken
        )
    return DeviceTokenizer(
        supported=True,
        token_bytes=tuple(
            b"" if i in special or i not in names else printer.print(names[i]) for i in range(size)
        ),
        byte_ids=byte_ids,
        characters=characters,
        by_bytes=by_bytes,
        marks=(INSIDE if prefix else 0) | (LAST if suffix else 0),
        unknown_id=unknown_id,
        fuse_unknown=bool(model.get("fuse_unk")),
        merges=merges,
        whole_words=whole_words,
        added=tuple(added),
    )


def _characters(vocabulary: Mapping[str, int], prefix: str, suffix: str) -> tuple[tuple[int, int], ...]:
    """Of each character with a token: its code point, with INSIDE and LAST where words are marked so, and the token."""
    found: dict[int, int] = {}
    for inside in {"", prefix}:
        for last in {"", suffix}:
            marks = (INSIDE if inside else 0) | (LAST if last else 0)
            for token, index in vocabulary.items():
                middle = token.removeprefix(inside).removesuffix(last)
                if len(middle) == 1 and token == inside + middle + last:
                    found[ord(middle) | marks] = index
    return tuple(sorted(found.items()))


def token_names(vocabulary: Mapping[str, int], added: Iterable[AddedToken]) -> dict[int, str]:
    """What each id is called when it is printed; the library knows added tokens as they are looked for, normalized."""
    names = {int(index): token for token, index in vocabulary.items()}
    return names | {token.id: token.content.decode() for token in added}


def _merges(entries: Iterable[Any], vocabulary: Mapping[str, int], prefix: int) -> tuple[Merge, ...]:
    """Merges sorted by (left, right), from either form: "a b" or ["a", "b"]. Of duplicates the last counts. `prefix`: how
    many characters of a right token are not in the result."""
    merges: dict[tuple[int, int], Merge] = {}
    for rank, entry in enumerate(entries):
        left, right = entry.split(" ") if isinstance(entry, str) else entry
        pair = vocabulary[left], vocabulary[right]
        merges[pair] = Merge(*pair, rank=rank, result=vocabulary[left + right[prefix:]])
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
    vocabulary: Mapping[str, int],
    byte_ids: Sequence[int],
    merges: Mapping[tuple[int, int], Merge],
    skipped: set[int],
) -> tuple[int, ...]:
    """For `ignore_merges`: ids of the tokens that merging their bytes does not give, sorted by their bytes."""
    words: dict[bytes, int] = {}
    for token, index in vocabulary.items():
        if index in skipped or not token or any(character not in BYTE_OF_CHARACTER for character in token):
            continue
        content = bytes_of(token)
        symbols = [byte_ids[byte] for byte in content]
        if -1 in symbols or _merged(symbols, merges) != [index]:
            words[content] = index
    return tuple(words[content] for content in sorted(words))


def _whole_words_of_characters(
    vocabulary: Mapping[str, int],
    byte_ids: Sequence[int],
    merges: Mapping[tuple[int, int], Merge],
    skipped: set[int],
) -> tuple[int, ...]:
    """None: a token that merging does not give is refused, since the device knows tokens as they are printed."""
    for token, index in vocabulary.items():
        if index in skipped or not token or token in BYTE_NAMES:
            continue
        symbols = [vocabulary.get(character, -1) for character in token]
        if -1 in symbols or _merged(symbols, merges) != [index]:
            raise Unsupported(
                "its BPE by characters takes whole words that merging does not give (ignore_merges)"
            )
    return ()
