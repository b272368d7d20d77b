"""The tokenizer of this example: whole words and digits."""

from __future__ import annotations

from grammar import Grammar
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
PADDING, _, FIRST, LAST = range(4)


def make_tokenizer(grammar: Grammar) -> Tokenizer:
    """BERT's, uncased, of the training's whole words: any other one is [UNK]. Pieces of words would begin with a word of its
    own ("the|rmostat"), and a word's label is read from its first piece. Numbers fall into digits."""
    digits = "0123456789"
    ends = (f"##{end}" for end in (*digits, "°", "°c", "am", "pm"))
    pieces = dict.fromkeys((*SPECIALS, *".,:;?!'%°-", *digits, *ends, *sorted(grammar.words)))
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token=SPECIALS[1]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", FIRST), ("[SEP]", LAST)]
    )
    tokenizer.add_special_tokens([AddedToken(token) for token in SPECIALS])
    return tokenizer
