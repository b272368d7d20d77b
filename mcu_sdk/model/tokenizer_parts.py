"""What a device's tokenizer consists of, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.model import normalizer_steps as steps
from mcu_sdk.model.pattern.automaton import Pattern
from mcu_sdk.model.vocabulary import Vocabulary

TEMPLATE_A, TEMPLATE_B = -1, -2
"""Instead of a special token's id: the tokens of the first or second text."""


class Unsupported(Exception):
    """Why a tokenizer cannot run on the device; becomes `DeviceTokenizer.reason`."""


TemplateItem = tuple[int, int]
"""A special token's id, TEMPLATE_A or TEMPLATE_B; the token type."""


@dataclass(frozen=True)
class AddedToken:
    """A token that is recognised in the text before anything else."""

    content: bytes
    id: int
    normalized: bool
    lstrip: bool
    rstrip: bool
    special: bool = False
    single_word: bool = False


@dataclass(frozen=True)
class Merge:
    """Tokens `left` and `right` side by side become `result`; the lowest rank goes first."""

    left: int
    right: int
    rank: int
    result: int


@dataclass(frozen=True)
class WordPiece:
    """`unknown_id`: -1 where text that needs it is refused. `prefix`: of a token that goes on within a word."""

    vocabulary: Vocabulary
    unknown_id: int
    most_characters: int
    prefix: bytes


@dataclass(frozen=True)
class Unigram:
    """`scores`: of the vocabulary's tokens, in their order. `byte_ids`: of each byte, NO_BYTE where it has no token; empty
    without byte fallback."""

    vocabulary: Vocabulary
    scores: tuple[float, ...]
    unknown_score: float
    unknown_id: int
    byte_ids: tuple[int, ...]


NO_BYTE = 0xFFFF
"""MCU_NO_BYTE."""


@dataclass(frozen=True)
class TokenizerParts:
    """All that model/tokenizer.cpp holds. With `supported` false, `reason` says why and everything else is empty.

    The model is BPE, or `words`. `single`, `pair`: what an encoder reads of one text and of two; empty where the model
    reads no texts. `work_bytes`: room for changed text, as large as the longest text needs it (docs/tokenizers.md);
    `text_bytes`: of a text that this room is meant for, and a line to the firmware.
    """

    supported: bool
    reason: str = ""
    token_bytes: tuple[bytes, ...] = ()  # by id; empty for special tokens and ids that do not exist
    byte_ids: tuple[int, ...] = ()  # by byte; -1 where there is no token for it
    by_bytes: bool = True  # whether BPE begins with a word's bytes, or its characters
    characters: tuple[tuple[int, int], ...] = ()  # (code point and marks, id), rising
    marks: int = 0  # which marks there are
    unknown_id: int = -1
    fuse_unknown: bool = False
    merges: tuple[Merge, ...] = ()  # sorted by (left, right)
    whole_words: tuple[int, ...] = ()  # ids, sorted by their bytes
    added: tuple[AddedToken, ...] = ()
    prefix_ids: tuple[int, ...] = ()
    suffix_ids: tuple[int, ...] = ()
    stages: tuple[tuple[str, int], ...] = ()
    words: WordPiece | Unigram | None = None
    steps: tuple[steps.Step, ...] = ()  # the normalizer
    patterns: tuple[
        tuple[str, Pattern, bool], ...
    ] = ()  # a remark, the table, whether it reads bytes; for the stages
    sets: tuple[tuple[str, tuple[int, ...]], ...] = ()  # a remark and the packed code points, for the stages
    replacement: str = ""  # for spaces, of Metaspace
    single: tuple[TemplateItem, ...] = ()
    pair: tuple[TemplateItem, ...] = ()
    pad_id: int = -1
    work_bytes: int = 0
    text_bytes: int = 0
    prints: bool = False  # whether WordPiece or Unigram is of a model that writes text
    mark: str = ""  # printed as a space, of Unigram
    prints_bytes: bool = False  # whether Unigram's byte tokens are printed as bytes
