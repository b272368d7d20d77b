"""Encoders with a tokenizer: tiny, with random weights, and a vocabulary of the words below and their letters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.checkpoints import make_encoder

WORDS = [
    "the", "a", "lamp", "light", "in", "bedroom", "kitchen", "turn", "on", "off", "is",
    "good", "bad", "very", "not", "and", "what", "who", "where", "red", "blue",
]  # fmt: skip
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_text_encoder(name: str, folder: Path, **changes: object) -> Path:
    """tests/models/encoders/<name>.json with a WordPiece tokenizer beside it; `changes` of its configuration, another
    class of transformers ("architecture") included."""
    made = make_encoder(name, folder, **changes)
    if not (made / "tokenizer.json").exists():
        write_word_piece(made / "tokenizer.json")
    return made


def write_word_piece(path: Path) -> None:
    """BERT's tokenizer, uncased."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    letters = "abcdefghijklmnopqrstuvwxyz.,?!"
    tokens = dict.fromkeys([*SPECIALS, *WORDS, *letters, *(f"##{letter}" for letter in letters[:26])])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens([AddedToken(token) for token in SPECIALS])
    tokenizer.save(str(path))


def without_tokenizer(checkpoint: Path, folder: Path) -> Path:
    """The same checkpoint, of tensors only."""
    shutil.copytree(checkpoint, folder)
    (folder / "tokenizer.json").unlink()
    return folder


def vocabulary_of(checkpoint: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
    return found
