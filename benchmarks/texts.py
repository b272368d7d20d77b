"""What the device's tokenizers take: instructions for each token of a prompt, and bytes of tables.

`python -m benchmarks.texts [FILE...]` builds benchmarks/texts.cpp with the tokenizer of each tokenizer.json, or of made-up
ones with 49,152 tokens, runs it in QEMU and prints a table.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre

from benchmarks.shapes import count, link
from mcu_sdk import resources
from mcu_sdk.board.board import Board, load_board
from mcu_sdk.model.tokenizer import DeviceTokenizer, compile_tokenizer
from mcu_sdk.project.fitting import table_bytes
from mcu_sdk.project.templates import environment

SOURCE = Path(__file__).with_name("texts.cpp")
BOARDS = ("mps2-an386",)
"""A Cortex-M4 with room for every table beside the code."""

VOCABULARY = 49152
PROMPT_BYTES = 100
MOST_INSTRUCTIONS = 20_000
"""For each token of a prompt."""

MOST_TABLE_BYTES = {"bytes": 500_000, "characters": 500_000}
"""Unigram has a score for each token, and every token's text."""


@dataclass(frozen=True)
class Row:
    """A tokenizer on a board. `encode`, `decode`: instructions for each token."""

    board: str
    name: str
    vocabulary: int
    tokens: int
    encode: int
    decode: int
    table_bytes: int

    @property
    def complaint(self) -> str:
        """What is wrong with it; "" if nothing is."""
        most = MOST_TABLE_BYTES.get(self.name, self.table_bytes)
        if self.encode > MOST_INSTRUCTIONS:
            return f"{self.encode:,} instructions a token, more than {MOST_INSTRUCTIONS:,}"
        return f"{self.table_bytes:,} bytes of tables, more than {most:,}" if self.table_bytes > most else ""


# ---- made-up tokenizers


def _words(
    rng: random.Random, alphabet: Sequence[str], mark: str, size: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens and the merges that make them: of frequent tokens many, a mark only where a token begins."""
    tokens = [mark, *alphabet]
    known, merges = set(tokens), []
    while len(tokens) < size:
        left, right = (tokens[int(len(tokens) * rng.random() ** 3)] for _ in range(2))
        if right.startswith(mark) or len(left + right) > 12 or left + right in known:
            continue
        merges.append((left, right))
        tokens.append(left + right)
        known.add(left + right)
    return tokens, merges


def made_up(kind: str) -> tuple[Tokenizer, str]:
    """A tokenizer of a kind, and a prompt for it."""
    rng = random.Random(kind)
    letters = list("etaoinshrdlcumwfgypbvkjxqzETAOINS.,'-0123456789")
    mark = "Ġ" if kind == "bytes" else "▁"
    others = sorted(set(pre.ByteLevel.alphabet()) - {*letters, mark}) if kind == "bytes" else []
    names = [f"<0x{byte:02X}>" for byte in range(256)] if kind == "characters" else []
    tokens, merges = _words(rng, letters, mark, VOCABULARY - len(others) - len(names))
    vocabulary = {token: i for i, token in enumerate([*names, *others, *tokens])}
    text = ""
    while len(text) < PROMPT_BYTES:
        text += rng.choice(tokens[len(letters) + 1 :]) + rng.choice(tokens[: len(tokens) // 4]) + mark
    if kind == "unigram":
        scores = [(token, -1.5 - place / 4096) for place, token in enumerate(tokens)]
        tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), *scores[:-1]], unk_id=0))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre.Metaspace(), decoders.Metaspace()
    elif kind == "bytes":
        tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        tokenizer.pre_tokenizer, tokenizer.decoder = (
            pre.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
    else:
        tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
    return tokenizer, text.replace(mark, " ").strip()[:PROMPT_BYTES]


# ---- measured


def measure(name: str, tokenizer: Tokenizer, text: str, board: Board) -> Row:
    """Build and run. Raises AssertionError where the device's tokens are not as many as the library's."""
    content = json.loads(tokenizer.to_str())
    compiled = compile_tokenizer(content, length=1024)
    assert compiled.supported, compiled.reason
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "tokenizer.cpp"
        written.write_text(_source(compiled), encoding="utf-8")
        prompt = Path(folder) / "prompt.cpp"
        numbers = ", ".join(map(str, text.encode()))
        declared = "extern const unsigned char kText[];\nextern const int32_t kTextBytes;\n"
        defined = f"const unsigned char kText[] = {{{numbers}}};\nconst int32_t kTextBytes = {len(text.encode())};\n"
        prompt.write_text(f"#include <stdint.h>\n{declared}{defined}", encoding="utf-8")
        parts = [resources.firmware() / part for part in compiled.to_template()["sources"]]
        found = count(link(board, Path(folder), [SOURCE, written, prompt, *parts]))
    tokens = len(tokenizer.encode(text).ids)
    assert found["tokens"] == tokens, f"{name}: the device has {found['tokens']} tokens, the library {tokens}"
    size = table_bytes(compiled.to_template())
    per_token = (found["encode"] // tokens, found["decode"] // tokens)
    return Row(board.name, name, tokenizer.get_vocab_size(), tokens, *per_token, size)


def _source(compiled: DeviceTokenizer) -> str:
    template = environment().get_template("model/tokenizer.cpp.j2")
    return template.render(tokenizer=compiled.to_template(), sections={"tokenizer": ".rodata.tokenizer"})


PROMPT = (
    "The capital of France is Paris, and in 1984 the king said: don't forget to bring your umbrella, please"
)
"""Of a tokenizer.json that is given."""


def measure_all(files: Sequence[str] = ()) -> list[Row]:
    """The files, or the made-up ones, on each board."""
    subjects = [(Path(file).name, Tokenizer.from_file(file), PROMPT[:PROMPT_BYTES]) for file in files]
    if not subjects:
        subjects = [(kind, *made_up(kind)) for kind in ("bytes", "characters", "unigram")]
    return [measure(*subject, load_board(board)) for board in BOARDS for subject in subjects]


def markdown(rows: Sequence[Row]) -> str:
    """A row for each tokenizer on each board."""
    lines = [
        "| core | tokenizer | tokens in the vocabulary | in the prompt | encode, instructions a token | print | tables, bytes |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        core = load_board(row.board).core.cpu
        lines.append(
            f"| {core} | {row.name} | {row.vocabulary:,} | {row.tokens} | {row.encode:,} | {row.decode:,} | "
            f"{row.table_bytes:,} |"
        )
    return "\n".join(lines)


def main(files: Sequence[str]) -> int:
    """Print the table; 1 if a figure is worse than it may be."""
    rows = measure_all(files)
    print(markdown(rows))
    complaints = [f"{row.board}, {row.name}: {row.complaint}" for row in rows if row.complaint]
    print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
