"""What the device's tokenizer consists of, and how it is written down as C++ (templates/model/tokenizer.cpp.j2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcu_sdk.model import normalizer_steps as steps
from mcu_sdk.model.piece_stages import whitespace
from mcu_sdk.model.tokenizer_parts import TokenizerParts, Unigram, WordPiece
from mcu_sdk.model.tokenizer_tables import (
    PATTERNS,
    Tables,
    write_bpe,
    write_charsmap,
    write_code_map,
    write_common,
    write_compositions,
    write_listed,
    write_patterns,
    write_printed,
    write_unigram,
    write_vocabulary,
)
from mcu_sdk.text import comment


@dataclass(frozen=True)
class DeviceTokenizer(TokenizerParts):
    """A tokenizer that can be written down."""

    def to_template(self) -> dict[str, Any]:
        """What templates/model/tokenizer.cpp.j2 prints, as plain values; pass it as the variable `tokenizer`.

        `arrays`: [{name, type, comment, rows}]; `structs`: [{type, name, fields: [{name, value}]}] in the order of the C
        structs; `common`: the fields of `mcu_tokenizer`; `functions`: those for each step of encoding; `normalize`: the
        normalizer's calls; `sources`: the files of runtime/tokenizer/ that all this needs; `text_bytes`: of the longest text.
        """
        out, chosen = Tables(), self._chosen()
        template = {
            "present": self.supported,
            "reason": comment(self.reason),
            "work_bytes": self.work_bytes,
            "text_bytes": self.text_bytes,
        }
        common, normalize = [], []
        if self.supported:
            if self.words is None:
                chosen["decode"] = ["merged" if write_bpe(self, out) else "listed"]
            else:
                _write_words(self.words, out)
                if isinstance(self.words, Unigram) and self.prints:
                    write_printed(self, self.words, out)
                elif self.prints:
                    write_listed(self, out)
            common = write_common(self, out)
            if "patterns" in chosen["next"]:
                write_patterns(self, out)
            normalize = [_call(step, i, out) for i, step in enumerate(self.steps)]
        files = {"encode", "unicode", *(part for parts in chosen.values() for part in parts)}
        if isinstance(self.words, (Unigram, WordPiece)):
            files.add("vocabulary")
        if self.steps:
            files.add("rewriting")
        if any(isinstance(step, steps.Compose) for step in self.steps):
            files.add("compose")
        if any(isinstance(step, steps.ApplyCharsmap) for step in self.steps):
            files |= {"charsmap", "vocabulary"}
        if self.single or self.pair:
            files.add("texts")
        return template | {
            "arrays": out.arrays,
            "structs": out.structs,
            "common": [{"name": name, "value": str(value)} for name, value in common],
            "memories": out.memories,
            "functions": _functions(chosen),
            "normalize": normalize,
            "sources": [f"runtime/tokenizer/{name}.cpp" for name in sorted(files)],
        }

    def _chosen(self) -> dict[str, list[str]]:
        """For each step of encoding, the files of runtime/tokenizer/ that do it."""
        if not self.supported:
            return {"open": [], "next": [], "symbols": [], "encode": [], "decode": []}
        kinds = {kind in PATTERNS for kind, _ in self.stages}
        model = ["bpe"] if self.words is None else [type(self.words).__name__.lower()]
        return {
            "open": ["normalize" if self.steps else "plain"],
            "next": [*(["patterns"] if True in kinds else []), *(["sets"] if False in kinds else [])],
            "symbols": [] if self.words is not None else ["bytes" if self.by_bytes else "characters"],
            "encode": model,
            "decode": [_decoder(self)],
        }


def _decoder(t: TokenizerParts) -> str:
    """Of a vocabulary of words."""
    if not t.prints:
        return "vocabulary"
    return "written" if isinstance(t.words, Unigram) else "listed"


def _functions(chosen: dict[str, list[str]]) -> dict[str, list[str]]:
    """For each step of encoding, the functions that do it, as runtime/tokenizer/encode.h has them."""
    names = {
        "patterns": "next_pattern",
        "sets": "next_of_sets",
        "normalize": "open_normalized",
        "bytes": "symbols_of_bytes",
        "characters": "symbols_of_characters",
    }
    return {step: [names.get(part, f"{step}_{part}") for part in parts] for step, parts in chosen.items()}


def _write_words(words: WordPiece | Unigram, out: Tables) -> None:
    write_vocabulary(words.vocabulary, out)
    if isinstance(words, Unigram):
        write_unigram(words, out)
        return
    prefix = out.array("kPrefix", "uint8_t", words.prefix, "of tokens that go on within a word")
    fields: list[tuple[str, str | int]] = [
        ("unknown_id", words.unknown_id),
        ("most_characters", words.most_characters),
        ("prefix", prefix),
        ("prefix_bytes", len(words.prefix)),
    ]
    out.struct("mcu_wordpiece_data", "wordpiece", fields)


def _call(step: steps.Step, number: int, out: Tables) -> str:
    """The call of runtime/tokenizer/normalize.h that a step is, and its tables."""

    def text(name: str, content: bytes, remark: str) -> str:
        return f"{out.array(f'{name}{number}', 'uint8_t', content, remark)}, {len(content)}"

    if isinstance(step, steps.Map):
        write_code_map(f"kMap{number}", step.codes, out)
        return f"map(text, kMap{number})"
    if isinstance(step, steps.Reorder):
        return f"reorder(text, {out.code_points(f'kClasses{number}', step.classes, 'combining classes')})"
    if isinstance(step, steps.Compose):
        classes = out.code_points(f"kComposed{number}", step.classes, "combining classes")
        narrow = [pair for pair in step.pairs if max(pair) < 2**16]
        write_compositions(f"kPairs{number}", narrow, out)
        write_compositions(f"kBeyond{number}", [pair for pair in step.pairs if max(pair) >= 2**16], out)
        return f"compose(text, {classes}, kPairs{number}, kBeyond{number})"
    if isinstance(step, steps.Strip):
        spaces = out.code_points(f"kStrip{number}", whitespace(), "whitespace")
        return f"strip(text, {spaces}, {str(step.left).lower()}, {str(step.right).lower()})"
    if isinstance(step, steps.Prepend):
        return f"prepend(text, {text('kPrepend', step.text, 'put before a text')})"
    if isinstance(step, steps.ApplyCharsmap):
        write_charsmap(f"kCharsmap{number}", step.charsmap, out)
        return f"apply_charsmap(text, kCharsmap{number})"
    by = text("kBy", step.by, "what it is replaced by")
    if step.least:
        return f"replace_runs(text, {step.pattern[0]}, {step.least}, {by})"
    return f"replace(text, {text('kPattern', step.pattern, 'what is replaced')}, {by})"
