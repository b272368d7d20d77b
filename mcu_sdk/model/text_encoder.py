"""Texts as a model of tensors reads them, by the `tokenizers` library: what the device's own encoding is held against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.errors import ModelError, TextError
from mcu_sdk.model.tokenizer import FILE, load_tokenizer
from mcu_sdk.text import one_line, shown

if TYPE_CHECKING:
    from tokenizers import Encoding

MASKS = ("[MASK]", "<mask>")
"""What the token is called that stands for one to be found."""

MORE_TOKENS = (32, 8, 2, 1)
"""How many tokens of a long text go to the device beyond those that the model reads: the first that has room, and becomes
the same ids."""

Span = tuple[int, int, int]
"""Of a token: 0 or 1 for the text, and its characters from and up to."""


@dataclass(frozen=True)
class EncodedText:
    """`types`: the token type of each id; `dropped`: tokens that were cut off; `spans`: where in the texts each token is
    from, and `words`: of which word of its text, None for what was put around them."""

    ids: tuple[int, ...]
    types: tuple[int, ...]
    dropped: int
    spans: tuple[Span | None, ...]
    words: tuple[int | None, ...]


class TextEncoder:
    """The tokenizer of a tokenizer.json, for a model that reads `length` tokens and a firmware that takes texts of at most
    `most_bytes`, in UTF-8 and both together."""

    def __init__(self, path: Path, length: int, most_bytes: int) -> None:
        found = load_tokenizer(path)
        if found is None:
            raise ModelError(f"The project's {FILE} is missing: {path}.", hint="Regenerate the project.")
        self._tokenizer = found
        self._tokenizer.enable_truncation(length)
        self._length, self._most_bytes = length, most_bytes

    def mask_id(self) -> int | None:
        """The token that stands for one to be found; None for a tokenizer without."""
        found = (self._tokenizer.token_to_id(name) for name in MASKS)
        return next((number for number in found if number is not None), None)

    def token(self, number: int) -> str:
        """What a token stands for, as text; its name, where that is nothing."""
        text: str = self._tokenizer.decode([number]).strip()
        return text or str(self._tokenizer.id_to_token(number) or number)

    def encode(self, text: str, pair: str | None = None) -> EncodedText:
        """As the model reads it, cut to its length. Raises TextError for what the library cannot encode."""
        found = self._encode(text, pair)
        dropped = len(self._whole(text, pair).ids) - len(found.ids)
        places = zip(found.sequence_ids, found.offsets, strict=True)
        spans = tuple(None if which is None else (which, *characters) for which, characters in places)
        return EncodedText(tuple(found.ids), tuple(found.type_ids), dropped, spans, tuple(found.word_ids))

    def _whole(self, text: str, pair: str | None) -> Encoding:
        """Nothing cut off."""
        self._tokenizer.no_truncation()
        try:
            return self._encode(text, pair)
        finally:
            self._tokenizer.enable_truncation(self._length)

    def _encode(self, text: str, pair: str | None) -> Encoding:
        for each in (text, pair or ""):
            try:
                each.encode("utf-8")
            except UnicodeEncodeError as error:
                raise TextError(
                    f"Expected Unicode text, found the lone surrogate U+{ord(each[error.start]):04X} at character "
                    f"{error.start}.",
                    hint="Pass the text as valid UTF-8.",
                ) from error
        try:
            return self._tokenizer.encode(text, pair)
        except Exception as error:  # the library raises bare Exceptions
            raise TextError(
                f"The tokenizer cannot encode the text {shown(text)}: {one_line(str(error))[:300]}"
            ) from error

    def fitting(self, text: str, pair: str | None = None) -> tuple[str, str | None]:
        """The texts, or begins of them that become the same ids and have room on the device.

        A text is cut to the model's length in any case; what lies far behind that is not needed. Raises TextError where no
        such begin was found.
        """
        sizes = [len(each.encode("utf-8", "surrogatepass")) for each in (text, pair or "")]
        if sum(sizes) <= self._most_bytes:
            return text, pair
        wanted, whole = self._encode(text, pair), self._whole(text, pair)
        for more in MORE_TOKENS:
            begins = _begins((text, pair or ""), wanted, whole, more)
            found = self._encode(begins[0], None if pair is None else begins[1])
            same = found.ids == wanted.ids and found.type_ids == wanted.type_ids
            if same and sum(len(each.encode()) for each in begins) <= self._most_bytes:
                return begins[0], None if pair is None else begins[1]
        raise TextError(
            f"The firmware has room for texts of {self._most_bytes} bytes; found are {sum(sizes)}, and no begin of them "
            f"becomes the same tokens.",
            hint="Give a shorter text.",
        )


def _begins(texts: tuple[str, str], wanted: Encoding, whole: Encoding, more: int) -> list[str]:
    """Of each text what the model reads and `more` tokens, up to the end of a word; twice as many of the one with more
    tokens: which is the longer decides how both are cut."""
    counts = [whole.sequence_ids.count(which) for which in (0, 1)]
    found = []
    for which, text in enumerate(texts):
        ends = [
            offsets[1] for place, offsets in enumerate(whole.offsets) if whole.sequence_ids[place] == which
        ]
        extra = 2 * more if counts[which] > counts[1 - which] else more
        last = wanted.sequence_ids.count(which) + extra
        if last >= len(ends):
            found.append(text)
            continue
        end = ends[last - 1]
        while end < len(text) and not text[end].isspace():
            end += 1
        found.append(text[:end])
    return found
