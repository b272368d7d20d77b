"""What the device's tokenizer consists of, and how it is written down as C++ (templates/model/tokenizer.cpp.j2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mcu_sdk.model import unicode_tables
from mcu_sdk.text import comment

# The split stages of firmware/runtime/tokenizer.h.
PREFIX_SPACE = "MCU_SPLIT_PREFIX_SPACE"
GPT2 = "MCU_SPLIT_GPT2"
CL100K = "MCU_SPLIT_CL100K"
DIGITS = "MCU_SPLIT_DIGITS"


@dataclass(frozen=True)
class AddedToken:
    """A token that is recognised in the text before anything else."""

    content: bytes
    id: int
    normalized: bool
    lstrip: bool
    rstrip: bool


@dataclass(frozen=True)
class Merge:
    """Tokens `left` and `right` side by side become `result`; the lowest rank goes first."""

    left: int
    right: int
    rank: int
    result: int


@dataclass(frozen=True)
class DeviceTokenizer:
    """All that model/tokenizer.cpp holds. With `supported` false, `reason` says why and everything else is empty."""

    supported: bool
    reason: str = ""
    token_bytes: tuple[bytes, ...] = ()  # by id; empty for special tokens and ids that do not exist
    byte_ids: tuple[int, ...] = ()  # by byte; -1 where text with that byte cannot be encoded
    unknown_id: int = -1
    fuse_unknown: bool = False
    merges: tuple[Merge, ...] = ()  # sorted by (left, right)
    whole_words: tuple[int, ...] = ()  # ids, sorted by their bytes
    added: tuple[AddedToken, ...] = ()
    prefix_ids: tuple[int, ...] = ()
    suffix_ids: tuple[int, ...] = ()
    stages: tuple[tuple[str, int], ...] = ()
    requires_nfc: bool = False

    def to_template(self) -> dict[str, Any]:
        """What templates/model/tokenizer.cpp.j2 prints, as plain values; pass it as the variable `tokenizer`.

        `arrays`: [{name, type, comment, rows}], `fields`: [{name, value, comment}] in the order of the C struct.
        """
        if not self.supported:
            return {"present": False, "reason": comment(self.reason), "arrays": [], "fields": []}
        writer = _Tables()
        _write_tables(self, writer)
        return {"present": True, "reason": "", "arrays": writer.arrays, "fields": writer.fields}


class _Tables:
    """Collects C arrays and the fields of `mcu_tokenizer_data` that point at them."""

    def __init__(self) -> None:
        self.arrays: list[dict[str, Any]] = []
        self.fields: list[dict[str, str]] = []

    def array(self, name: str, kind: str, values: Sequence[int], comment: str) -> str:
        """Adds an array and returns its name; "nullptr" for an empty one, which C++ does not have."""
        if not values:
            return "nullptr"
        rows = [", ".join(map(str, values[i : i + 16])) + "," for i in range(0, len(values), 16)]
        self.arrays.append({"name": name, "type": kind, "comment": comment, "rows": rows})
        return name

    def column(self, name: str, values: Sequence[int], comment: str) -> str:
        """An `mcu_column`: 16 bits wide if all values fit."""
        if not values:
            return "{nullptr, nullptr}"
        if max(values) < 2**16:
            return f"{{{self.array(name, 'uint16_t', values, comment)}, nullptr}}"
        return f"{{nullptr, {self.array(name, 'uint32_t', values, comment)}}}"

    def code_points(self, name: str, values: Sequence[int], comment: str) -> str:
        """An `mcu_code_points`; in hexadecimal, 8 a row, because the entries are packed."""
        if not values:
            return "{nullptr, 0}"
        rows = [
            ", ".join(f"0x{value:08X}" for value in values[i : i + 8]) + "," for i in range(0, len(values), 8)
        ]
        self.arrays.append({"name": name, "type": "uint32_t", "comment": comment, "rows": rows})
        return f"{{{name}, {len(values)}}}"

    def field(self, name: str, value: str | int) -> None:
        """The next field of the struct; the order is the header's."""
        self.fields.append({"name": name, "value": str(value)})


def _write_tables(t: DeviceTokenizer, out: _Tables) -> None:
    """Every field of `mcu_tokenizer_data`, in its order."""
    offsets = [0]
    for token in t.token_bytes:
        offsets.append(offsets[-1] + len(token))
    out.field("vocabulary", len(t.token_bytes))
    out.field(
        "bytes", out.array("kBytes", "uint8_t", b"".join(t.token_bytes), "the bytes of all tokens, by id")
    )
    out.field("offsets", out.column("kOffsets", offsets, "where the bytes of each token begin"))

    out.field("byte_ids", out.array("kByteIds", "int32_t", t.byte_ids, "the token of each single byte"))
    out.field("unknown_id", t.unknown_id)
    out.field("fuse_unknown", str(t.fuse_unknown).lower())

    by_rank = sorted(t.merges, key=lambda merge: merge.rank)
    rising = all(a.result < b.result for a, b in pairwise(by_rank))
    ranks = [] if rising else [merge.rank for merge in t.merges]
    out.field("merges", len(t.merges))
    out.field("left", out.column("kLeft", [merge.left for merge in t.merges], "merges: left tokens, sorted"))
    out.field(
        "right", out.column("kRight", [merge.right for merge in t.merges], "right tokens, sorted within left")
    )
    out.field("result", out.column("kResult", [merge.result for merge in t.merges], "what the two become"))
    out.field("rank", out.column("kRank", ranks, "the lowest rank is merged first"))

    out.field("whole_words", len(t.whole_words))
    out.field("whole_word_ids", out.column("kWholeWordIds", t.whole_words, "words not made by merging"))

    _write_added(t, out)
    out.field("prefix_ids", out.array("kPrefixIds", "int32_t", t.prefix_ids, "put before every text"))
    out.field("prefix_count", len(t.prefix_ids))
    out.field("suffix_ids", out.array("kSuffixIds", "int32_t", t.suffix_ids, "put after every text"))
    out.field("suffix_count", len(t.suffix_ids))

    stages = out.array("kStages", "mcu_split_stage", (), "")
    if t.stages:
        stages = "kStages"
        rows = [f"{{{kind}, {argument}}}," for kind, argument in t.stages]
        comment = "how text is cut into words"
        out.arrays.append({"name": stages, "type": "mcu_split_stage", "comment": comment, "rows": rows})
    out.field("stages", stages)
    out.field("stage_count", len(t.stages))
    _write_unicode(t, out)


def _write_added(t: DeviceTokenizer, out: _Tables) -> None:
    contents = [token.content for token in t.added]
    offsets = [sum(map(len, contents[:i])) for i in range(len(contents) + 1)] if contents else []
    flags = [token.normalized | token.lstrip << 1 | token.rstrip << 2 for token in t.added]
    out.field("added", len(t.added))
    out.field(
        "added_bytes",
        out.array("kAddedBytes", "uint8_t", b"".join(contents), "tokens recognised in the text"),
    )
    out.field("added_offsets", out.array("kAddedOffsets", "uint32_t", offsets, "where each of them begins"))
    out.field("added_ids", out.array("kAddedIds", "int32_t", [token.id for token in t.added], "their ids"))
    out.field("added_flags", out.array("kAddedFlags", "uint8_t", flags, "mcu_added_flag bits"))


def _write_unicode(t: DeviceTokenizer, out: _Tables) -> None:
    """Only the sets that the stages and flags ask for."""
    kinds = {kind for kind, _ in t.stages}
    words = bool(kinds & {GPT2, CL100K})
    spaces = words or any(token.lstrip or token.rstrip for token in t.added)
    sets = (
        ("letters", "kLetters", words, unicode_tables.letters, "letters beyond ASCII"),
        ("numbers", "kNumbers", words, unicode_tables.numbers, "numbers beyond ASCII"),
        ("spaces", "kSpaces", spaces, unicode_tables.spaces, "whitespace beyond ASCII"),
        ("digits", "kDigits", DIGITS in kinds, unicode_tables.digits, "of the Digits pre-tokenizer"),
        ("requires_nfc", "", t.requires_nfc, tuple, ""),
        ("nfc_unsafe", "kNfcUnsafe", t.requires_nfc, unicode_tables.nfc_unsafe, "may change under NFC"),
        ("combining", "kCombining", t.requires_nfc, unicode_tables.combining, "combining classes"),
    )
    for field, name, needed, values, remark in sets:
        if name:
            out.field(field, out.code_points(name, values() if needed else (), remark))
        else:
            out.field(field, str(needed).lower())
