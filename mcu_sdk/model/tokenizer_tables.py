"""Writes a device tokenizer's data as C++: the arrays and structs of firmware/runtime/tokenizer/tables.h."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack, unpack
from typing import TYPE_CHECKING, Any

from mcu_sdk.model import unicode_tables
from mcu_sdk.model.made_tokens import Made, made_tokens
from mcu_sdk.model.pattern.sets import coded, coded_bytes
from mcu_sdk.model.token_texts import BYTE_CHARACTERS
from mcu_sdk.text import comment

if TYPE_CHECKING:
    from mcu_sdk.model.charsmap import Charsmap
    from mcu_sdk.model.code_map import CodeMap
    from mcu_sdk.model.tokenizer_parts import TokenizerParts, Unigram
    from mcu_sdk.model.vocabulary import Vocabulary

# The split stages of firmware/runtime/tokenizer/tables.h.
PREFIX_SPACE = "MCU_SPLIT_PREFIX_SPACE"
PATTERN = "MCU_SPLIT_PATTERN"
SET = "MCU_SPLIT_SET"
METASPACE = "MCU_SPLIT_METASPACE"

PATTERNS = {PREFIX_SPACE, PATTERN}
"""The stages of patterns.cpp; the others are those of sets.cpp."""

Fields = list[tuple[str, str | int]]

NO_CODE_POINTS = "{nullptr, 0}"


class Tables:
    """Collects C arrays, and structs whose fields point at them."""

    def __init__(self) -> None:
        self.arrays: list[dict[str, Any]] = []
        self.structs: list[dict[str, Any]] = []
        self.memories: list[dict[str, Any]] = []

    def array(self, name: str, kind: str, values: Sequence[int], comment: str) -> str:
        """Adds an array and returns its name; "nullptr" for an empty one, which C++ does not have."""
        return self._rows(name, kind, list(map(str, values)), comment, 16)

    def column(self, name: str, values: Sequence[int], comment: str) -> str:
        """An `mcu_column`: 16 bits wide if all values fit."""
        if not values:
            return "{nullptr, nullptr}"
        if max(values) < 2**16:
            return f"{{{self.array(name, 'uint16_t', values, comment)}, nullptr}}"
        return f"{{nullptr, {self.array(name, 'uint32_t', values, comment)}}}"

    def words(self, name: str, values: Sequence[int], comment: str) -> str:
        """Packed entries: in hexadecimal."""
        return self._rows(name, "uint32_t", [f"0x{value:08X}" for value in values], comment, 8)

    def code_points(self, name: str, values: Sequence[int], comment: str) -> str:
        """An `mcu_code_points`."""
        return f"{{{self.words(name, values, comment)}, {len(values)}}}" if values else NO_CODE_POINTS

    def literals(self, name: str, kind: str, values: Sequence[str], comment: str) -> str:
        """As C++ writes them."""
        return self._rows(name, kind, list(values), comment, 8)

    def structs_of(self, name: str, kind: str, rows: Sequence[str], comment: str) -> str:
        """An array of structs, one a row."""
        return self._rows(name, kind, [f"{{{row}}}" for row in rows], comment, 1)

    def struct(self, kind: str, name: str, fields: Sequence[tuple[str, str | int]]) -> None:
        """A constant struct; the order of the fields is the header's."""
        values = [{"name": field, "value": str(value)} for field, value in fields]
        self.structs.append({"type": kind, "name": name, "fields": values})

    def memory(self, name: str, size: int, comment: str) -> None:
        """Bytes that are written to."""
        self.memories.append({"name": name, "bytes": size, "comment": comment})

    def _rows(self, name: str, kind: str, values: list[str], comment: str, width: int) -> str:
        if not values:
            return "nullptr"
        rows = [", ".join(values[i : i + width]) + "," for i in range(0, len(values), width)]
        for array in self.arrays:  # such as combining classes, of two steps of a normalizer
            if (array["type"], array["rows"]) == (kind, rows):
                return str(array["name"])
        self.arrays.append({"name": name, "type": kind, "comment": comment, "rows": rows})
        return name


def write_bpe(t: TokenizerParts, out: Tables) -> bool:
    """`mcu_bpe_data` and what the tokens are printed as; whether that follows from the merges."""
    by_rank = sorted(t.merges, key=lambda merge: merge.rank)
    pairs = [(merge.left, merge.right) for merge in by_rank]
    first = by_rank[0].result if by_rank else 0
    consecutive = all(merge.result == first + rank for rank, merge in enumerate(by_rank))
    results = [] if consecutive else [merge.result for merge in by_rank]
    order = sorted(range(len(pairs)), key=pairs.__getitem__)
    byte_ids = t.byte_ids if any(index >= 0 for index in t.byte_ids) else ()
    fields: Fields = [
        ("byte_ids", out.array("kByteIds", "int32_t", byte_ids, "the token of each single byte")),
        ("unknown_id", t.unknown_id),
        ("fuse_unknown", str(t.fuse_unknown).lower()),
        ("merges", len(pairs)),
        ("left", out.column("kLeft", [left for left, _ in pairs], "merges by rank: left tokens")),
        ("right", out.column("kRight", [right for _, right in pairs], "and right tokens")),
        ("order", out.column("kOrder", order, "ranks, sorted by left and right token")),
        ("result", out.column("kResult", results, "what the two become")),
        ("first_result", first if consecutive else 0),
        ("whole_words", len(t.whole_words)),
        ("whole_word_ids", out.column("kWholeWordIds", t.whole_words, "words not made by merging")),
    ]
    out.struct("mcu_bpe_data", "bpe", fields)
    if not t.by_bytes:
        codes, ids = [code for code, _ in t.characters], [index for _, index in t.characters]
        columns: Fields = [
            ("count", len(codes)),
            ("codes", out.column("kCharacters", codes, "characters with a token")),
            ("ids", out.column("kCharacterIds", ids, "their tokens")),
            ("marks", t.marks),
        ]
        out.struct("mcu_characters_data", "characters", columns)
    made = made_tokens(t.token_bytes, by_rank)
    if made.saved < LEAST_SAVED:
        write_listed(t, out)
        return False
    _write_merged(t, made, consecutive, out)
    return True


LEAST_SAVED = 16 * 1024
"""Bytes that the tables have to become smaller by where a token's bytes are to follow from its merges: it takes longer."""


def write_listed(t: TokenizerParts, out: Tables) -> None:
    """`mcu_listed_data`."""
    offsets = [0]
    for token in t.token_bytes:
        offsets.append(offsets[-1] + len(token))
    data = out.array("kBytes", "uint8_t", b"".join(t.token_bytes), "the bytes of all tokens, by id")
    fields: Fields = [
        ("count", len(t.token_bytes)),
        ("bytes", data),
        ("offsets", out.column("kOffsets", offsets, "where the bytes of each token begin")),
    ]
    out.struct("mcu_listed_data", "listed", fields)


def _write_merged(t: TokenizerParts, made: Made, consecutive: bool, out: Tables) -> None:
    listed = [index for index, token in enumerate(t.token_bytes) if token and index not in made.by]
    offsets = [0]
    for index in listed:
        offsets.append(offsets[-1] + len(t.token_bytes[index]))
    first = min(made.by, default=0)
    follows = consecutive and len(made.by) == len(t.merges) and first == made.first
    merges = [made.by.get(index, len(t.merges)) for index in range(len(t.token_bytes))]
    data = b"".join(t.token_bytes[index] for index in listed)
    out.memory("token_memory", max(map(len, t.token_bytes), default=0), "room for a token's bytes")
    fields: Fields = [
        ("count", len(t.token_bytes)),
        ("made_by", out.column("kMadeBy", [] if follows else merges, "the merge that makes each token")),
        ("others", len(listed)),
        ("other_ids", out.column("kOtherIds", listed, "tokens that no merge makes")),
        ("other_bytes", out.array("kOtherBytes", "uint8_t", data, "their bytes")),
        ("other_offsets", out.column("kOtherOffsets", offsets, "where these begin")),
        ("token", "token_memory"),
    ]
    out.struct("mcu_merged_data", "merged", fields)


def write_common(t: TokenizerParts, out: Tables) -> list[tuple[str, str | int]]:
    """The fields of `mcu_tokenizer_data`, in its order."""
    contents = [token.content for token in t.added]
    offsets = [sum(map(len, contents[:i])) for i in range(len(contents) + 1)] if contents else []
    flags = [
        token.normalized | token.lstrip << 1 | token.rstrip << 2 | token.special << 3 | token.single_word << 4
        for token in t.added
    ]
    firsts = {content[0] for content in contents}
    bits = [sum(1 << i for i in range(32) if 32 * word + i in firsts) for word in range(8)] if firsts else []
    recognised = "tokens recognised in the text"
    ids = [token.id for token in t.added]
    fields: list[tuple[str, str | int]] = [
        ("added", len(t.added)),
        ("added_bytes", out.array("kAddedBytes", "uint8_t", b"".join(contents), recognised)),
        ("added_offsets", out.array("kAddedOffsets", "uint32_t", offsets, "where each of them begins")),
        ("added_ids", out.array("kAddedIds", "int32_t", ids, "their ids")),
        ("added_flags", out.array("kAddedFlags", "uint8_t", flags, "mcu_added_flag bits")),
        ("added_first", out.words("kAddedFirst", bits, "a bit for each byte that one begins with")),
        ("prefix_ids", out.array("kPrefixIds", "int32_t", t.prefix_ids, "put before every text")),
        ("prefix_count", len(t.prefix_ids)),
        ("suffix_ids", out.array("kSuffixIds", "int32_t", t.suffix_ids, "put after every text")),
        ("suffix_count", len(t.suffix_ids)),
    ]
    stages = [f"{kind}, {argument}" for kind, argument in t.stages]
    fields += [
        ("stages", out.structs_of("kStages", "mcu_split_stage", stages, "how text is cut into words")),
        ("stage_count", len(t.stages)),
        ("sets", _sets(t, out)),
    ]
    spaces = any(token.lstrip or token.rstrip for token in t.added)
    words = any(token.single_word for token in t.added)
    replacement = t.replacement.encode()
    fields += [
        (
            "spaces",
            out.code_points("kSpaces", unicode_tables.spaces() if spaces else (), "whitespace beyond ASCII"),
        ),
        ("words", out.code_points("kWords", unicode_tables.words() if words else (), "characters of words")),
        ("replacement", out.array("kReplacement", "uint8_t", replacement, "written for each space")),
        ("replacement_bytes", len(replacement)),
    ]
    for name, items in (("single", t.single), ("pair", t.pair)):
        rows = [f"{identity}, {kind}" for identity, kind in items]
        array = f"k{name.capitalize()}"
        comment = f"what an encoder reads of {'two texts' if name == 'pair' else 'one text'}: id, token type"
        fields += [
            (name, out.structs_of(array, "mcu_template_item", rows, comment)),
            (f"{name}_count", len(rows)),
        ]
    work = "work_memory" if t.work_bytes else "nullptr"
    return [*fields, ("pad_id", t.pad_id), ("work", work), ("work_bytes", t.work_bytes)]


def _sets(t: TokenizerParts, out: Tables) -> str:
    """Addresses, so no table of the section .tokenizer, in which a shared library changes nothing."""
    sets: list[tuple[str, str | int]] = [
        (remark, out.code_points(f"kSet{i}", entries, remark)) for i, (remark, entries) in enumerate(t.sets)
    ]
    if sets:
        out.struct("mcu_code_points", "kSets[]", sets)
    return "kSets" if sets else "nullptr"


def write_patterns(t: TokenizerParts, out: Tables) -> None:
    """The `mcu_pattern_data` of each pattern."""
    patterns: Fields = []
    for i, (source, pattern, of_bytes) in enumerate(t.patterns):
        found = coded_bytes(pattern.classes, BYTE_CHARACTERS) if of_bytes else coded(pattern.classes)
        table = [entry for row in pattern.table for entry in row]
        fields: list[str | int] = [
            pattern.classes.count,
            found.bits,
            out.array(
                f"kAscii{i}",
                "uint8_t",
                found.ascii,
                f"the class of each {'byte' if of_bytes else 'ASCII character'}",
            ),
            out.array(f"kRuns{i}", "uint8_t", found.runs, "runs of code points of a class"),
            out.array(f"kStarts{i}", "uint32_t", found.starts, "where each 32 of them begin"),
            out.column(f"kPlaces{i}", found.places, "and where these are written"),
            len(found.starts),
            out.array(f"kTable{i}", "uint16_t", table, "of each state and class, what comes next"),
            out.array(f"kAheads{i}", "uint16_t", pattern.aheads, "states in which it looks further ahead"),
            len(pattern.aheads),
        ]
        patterns.append((comment(source), "{" + ", ".join(map(str, fields)) + "}"))
    out.struct("mcu_pattern_data", "patterns[]", patterns or [("none", "{}")])


def write_vocabulary(vocabulary: Vocabulary, out: Tables) -> None:
    """`mcu_vocabulary_data`."""
    out.struct("mcu_vocabulary_data", "vocabulary", _vocabulary_fields("k", vocabulary, out))


def _vocabulary_fields(name: str, vocabulary: Vocabulary, out: Tables) -> Fields:
    entries, blocks = vocabulary.packed()
    comment = "texts, sorted: bytes shared with the one before, bytes that follow, these"
    return [
        ("tokens", len(vocabulary.tokens)),
        ("entries", out.array(f"{name}Entries", "uint8_t", entries, comment)),
        ("blocks", out.column(f"{name}Blocks", blocks, "where each sixteen of them begin")),
        ("ids", out.column(f"{name}Ids", vocabulary.ids, "their ids")),
    ]


def write_code_map(name: str, codes: CodeMap, out: Tables) -> None:
    """An `mcu_code_map`."""
    out.struct("mcu_code_map", name, _code_map_fields(name, codes, out))


def _code_map_fields(name: str, codes: CodeMap, out: Tables) -> Fields:
    return [
        ("entries", out.words(f"{name}Runs", codes.entries, "runs of code points that change")),
        ("changes", out.words(f"{name}Changes", codes.changes, "what becomes of each run")),
        ("count", len(codes.entries)),
        ("strings", out.array(f"{name}Strings", "uint8_t", codes.strings, "what some become")),
    ]


def write_compositions(name: str, pairs: Sequence[tuple[int, int, int]], out: Tables) -> None:
    """An `mcu_composition_data`."""
    fields: Fields = [("count", len(pairs))]
    for place, field in enumerate(("first", "second", "result")):
        column = [pair[place] for pair in pairs]
        fields.append((field, out.column(f"{name}{field.capitalize()}", column, "pairs that NFC composes")))
    out.struct("mcu_composition_data", name, fields)


def write_charsmap(name: str, charsmap: Charsmap, out: Tables) -> None:
    """An `mcu_charsmap_data`."""

    def braced(fields: Fields) -> str:
        return "{" + ", ".join(str(value) for _, value in fields) + "}"

    fields: Fields = [
        ("single", braced(_code_map_fields(f"{name}Single", charsmap.single, out))),
        ("keys", braced(_vocabulary_fields(f"{name}Keys", charsmap.keys, out))),
        ("texts", out.array(f"{name}Texts", "uint8_t", charsmap.texts, "what the keys become")),
        ("graphemes", out.code_points(f"{name}Graphemes", charsmap.graphemes, "what ends graphemes")),
    ]
    out.struct("mcu_charsmap_data", name, fields)


def write_unigram(t: Unigram, out: Tables) -> None:
    """`mcu_unigram_data`, with scores as floats where that changes none."""
    narrow = all(unpack("<f", pack("<f", score))[0] == score for score in t.scores)
    kind, values = (
        ("float", [f"{s.hex()}f" for s in t.scores]) if narrow else ("double", [s.hex() for s in t.scores])
    )
    scores = out.literals("kScores", kind, values, "the scores of the texts, in their order")
    fields: Fields = [
        ("narrow", scores if narrow else "nullptr"),
        ("wide", "nullptr" if narrow else scores),
        ("unknown_score", t.unknown_score.hex()),
        ("unknown_id", t.unknown_id),
        ("byte_ids", out.column("kByteIds", t.byte_ids, "the token of each byte")),
    ]
    out.struct("mcu_unigram_data", "unigram", fields)


def write_printed(t: TokenizerParts, words: Unigram, out: Tables) -> None:
    """`mcu_printing_data`."""
    places = {index: place for place, index in enumerate(words.vocabulary.ids)}
    nowhere = len(words.vocabulary.tokens)
    column = [places.get(index, nowhere) for index in range(len(t.token_bytes))]
    mark = out.array("kMark", "uint8_t", t.mark.encode(), "printed as a space")
    fields: Fields = [
        ("count", len(column)),
        ("places", out.column("kTokenPlaces", column, "where the vocabulary has each token")),
        ("mark", mark),
        ("mark_bytes", len(t.mark.encode())),
        ("has_bytes", str(t.prints_bytes).lower()),
    ]
    out.struct("mcu_printing_data", "printing", fields)
