"""What an encoder's firmware makes of one text or two, against the `tokenizers` library itself."""

from __future__ import annotations

import json
import random
import struct
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

from mcu_sdk.model.tokenizer import compile_tokenizer
from tests.firmware.tokenizer_device import Build, Device
from tests.firmware.torture import random_text

LONGEST = 512
CAPACITIES = (5, 8, 17, 64, LONGEST)

LINES = [
    "the king and the queen shall know that we will come",
    "Über naïve Ärzte, résumé: façade! 1984 - 42.",
    "don't stop (believing) in C++ & Rust; 東京 漢字 한국어 каждый",
    "set the bedroom lamp to thirty percent, please",
]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def trained(tokenizer: Tokenizer, trainer: Any) -> Tokenizer:
    tokenizer.train_from_iterator(LINES * 5, trainer)
    return tokenizer


def word_piece(normalizer: Any, pre_tokenizer: Any, **model: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({}, unk_token="[UNK]", **model))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=BERT, show_progress=False)
    return trained(tokenizer, trainer)


def minilm() -> Tokenizer:
    """Uncased BERT, with an added token that is looked for in the lower-case text, and a mask that strips."""
    tokenizer = word_piece(normalizers.BertNormalizer(), pre.BertPreTokenizer())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_tokens([AddedToken("Lämp", normalized=True), "thir"])
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, rstrip=True)])
    return tokenizer


def rxnmapper() -> Tokenizer:
    """Cased, as reactions are written; short words only."""
    letters = "CNOPSFIclnosBrH123456789=#()[]+-.>@/\\%"
    tokens = [
        *BERT,
        *dict.fromkeys(letters),
        "Cl",
        "Br",
        *(f"##{c}" for c in dict.fromkeys(letters)),
        "##cc",
        "c1c",
    ]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Punctuation("merged_with_previous")])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def normalized_step_by_step() -> Tokenizer:
    """Decomposed and left so, marks in order; every normalizer and stage that is not BERT's."""
    steps = [
        normalizers.Replace("``", '"'),
        normalizers.Replace("a", "ä"),
        normalizers.NFKD(),
        normalizers.Lowercase(),
        normalizers.Replace(Regex(" {2,}"), " "),
        normalizers.Strip(),
        normalizers.Prepend("▁"),
    ]
    stages = [pre.Whitespace(), pre.Digits(individual_digits=True), pre.Split("e", "merged_with_next")]
    return word_piece(
        normalizers.Sequence(steps),
        pre.Sequence(stages),
        continuing_subword_prefix="++",
        max_input_chars_per_word=9,
    )


def without_accents() -> Tokenizer:
    """Without a post-processor: a second text has another type."""
    steps = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    stages = [pre.CharDelimiterSplit("-"), pre.Metaspace(prepend_scheme="always"), pre.Digits()]
    return word_piece(steps, pre.Sequence(stages))


def composed() -> Tokenizer:
    """NFKC and more; NFC behind it."""
    steps = [normalizers.NFKC(), normalizers.Lowercase(), normalizers.NFC()]
    return word_piece(normalizers.Sequence(steps), pre.Whitespace())


def first_metaspace() -> Tokenizer:
    return word_piece(normalizers.Strip(right=False), pre.Metaspace(prepend_scheme="first", split=False))


def unigram(
    normalizer: Any, pre_tokenizer: Any, *, byte_fallback: bool = False, size: int = 250
) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    specials = ["<s>", "<pad>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256) if byte_fallback)]
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    trained(tokenizer, trainer)
    content = json.loads(tokenizer.to_str())
    content["model"]["byte_fallback"] = byte_fallback
    return Tokenizer.from_str(json.dumps(content))


def charsmap(entries: dict[str, str]) -> bytes:
    """A double-array trie as darts-clone writes it, and its texts."""
    units = [0] * 0x40000
    texts = bytearray()
    used, bases = {0}, set[int]()
    keys = sorted((key.encode(), value.encode()) for key, value in entries.items())
    waiting = [(0, 0, keys)]
    while waiting:
        at, depth, below = waiting.pop()
        by_label = {key[depth] if depth < len(key) else 0: [] for key, _ in below}  # 0: the key ends here
        for key, value in below:
            by_label[key[depth] if depth < len(key) else 0].append((key, value))
        start = 256 * (len(bases) // 64)  # old blocks are full
        base = next(
            b for b in count(start + 1) if b not in bases and not any(b ^ label in used for label in by_label)
        )
        bases.add(base)
        used.update(base ^ label for label in by_label)
        units[at] |= (base ^ at) << 10 | (1 << 8 if 0 in by_label else 0)
        for label, members in by_label.items():
            if label:
                units[base ^ label] = label
                waiting.append((base ^ label, depth + 1, members))
            else:
                units[base] = len(texts) | 1 << 31
                texts += members[0][1] + b"\0"
    units = units[: (max(used) | 255) + 1]
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + texts


@cache
def nmt_nfkc() -> bytes:
    """Much of what SentencePiece's own charsmap says: NFKC of characters and of letters with a mark, and its own spaces."""
    entries = {
        chr(code): "" for code in (*range(1, 9), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F, 0xAD, 0x200B)
    }
    entries |= dict.fromkeys("\t\n\r\xa0\u2003\u2028\u3000\ufeff", " ")
    for code in (*range(0xA0, 0x250), *range(0x1E00, 0x2200), *range(0x3300, 0x3400), *range(0xFB00, 0xFB10)):
        character = chr(code)
        if (composed := unicodedata.normalize("NFKC", character)) != character:
            entries[character] = composed
        if (parts := unicodedata.normalize("NFD", character)) != character:
            entries[parts] = composed
    return charsmap(entries)


def albert() -> Tokenizer:
    """All that SentencePiece's Unigram has: charsmap, runs of spaces, marks before every piece."""
    steps = [
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
        normalizers.Precompiled(nmt_nfkc()),
        normalizers.Replace(Regex(" {2,}"), " "),
    ]
    tokenizer = unigram(normalizers.Sequence(steps), pre.Metaspace(prepend_scheme="always"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return tokenizer


def t5() -> Tokenizer:
    """Charsmap alone; cut at whitespace first."""
    steps = normalizers.Precompiled(nmt_nfkc())
    stages = [pre.WhitespaceSplit(), pre.Metaspace(prepend_scheme="always", replacement="▁")]
    tokenizer = unigram(steps, pre.Sequence(stages))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
    )
    return tokenizer


def unigram_of_bytes() -> Tokenizer:
    """Byte fallback, a whole text in one piece, many equal scores: ties decide."""
    tokenizer = unigram(
        None, pre.Metaspace(prepend_scheme="first", split=False), byte_fallback=True, size=500
    )
    content = json.loads(tokenizer.to_str())
    vocabulary = [[token, round(score)] for token, score in content["model"]["vocab"]]
    have = {token for token, _ in vocabulary}
    pairs = [a + b for a in "thekingqu" for b in "thekingqu"]
    content["model"]["vocab"] = vocabulary + [[pair, -7.0] for pair in pairs if pair not in have]
    return Tokenizer.from_str(json.dumps(content))


def roberta() -> Tokenizer:
    """Byte-level BPE is merged beside the ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=True)
    from tokenizers import decoders

    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    alphabet = sorted(pre.ByteLevel.alphabet())
    specials = ["<s>", "</s>", "<pad>"]
    return trained(
        tokenizer,
        trainers.BpeTrainer(
            vocab_size=350, initial_alphabet=alphabet, special_tokens=specials, show_progress=False
        ),
    )


MAKERS: dict[str, Callable[[], Tokenizer]] = {
    maker.__name__: maker
    for maker in (
        minilm,
        rxnmapper,
        normalized_step_by_step,
        without_accents,
        composed,
        first_metaspace,
        roberta,
        albert,
        t5,
        unigram_of_bytes,
    )
}

NORMALIZERS: dict[str, Callable[[], Any]] = {
    "nfc": normalizers.NFC,
    "nfkc": normalizers.NFKC,
    "nfkd": normalizers.NFKD,
    "cased": lambda: normalizers.BertNormalizer(lowercase=False),
    "uncased": normalizers.BertNormalizer,
    "accents": lambda: normalizers.BertNormalizer(strip_accents=False),
    "nfd without marks": lambda: normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "lowercase, nfd": lambda: normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.NFD(), normalizers.Strip()]
    ),
    "nmt": normalizers.Nmt,
    "charsmap": lambda: normalizers.Precompiled(nmt_nfkc()),
}
"""What ids of bytes show to the last one."""


def seen_by_bytes(normalizer: Any) -> Tokenizer:
    """Every byte of the normalized text is a token."""
    bytes_of = [(f"<0x{byte:02X}>", -1.0) for byte in range(256)]
    tokenizer = Tokenizer(models.Unigram([("<unk>", -5.0), *bytes_of], unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizer
    return tokenizer


Pair = tuple[Tokenizer, Device]


FAST = {"minilm", "composed", "albert", "unigram_of_bytes", "roberta"}
"""Between them all parts of the device's code but Strip and Prepend."""


@pytest.fixture(
    scope="module",
    params=[name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in MAKERS],
)
def pair(request: pytest.FixtureRequest, build: Build) -> Pair:
    tokenizer = MAKERS[request.param]()
    compiled = compile_tokenizer(json.loads(tokenizer.to_str()), texts=LONGEST)
    assert compiled.supported, compiled.reason
    return tokenizer, build(compiled)


def words_of(tokenizer: Tokenizer) -> list[str]:
    model = json.loads(tokenizer.to_str())["model"]
    mark = model.get("continuing_subword_prefix") or "##"
    found = [token.removeprefix(mark) for token in tokenizer.get_vocab()]
    return sorted(word for word in found if word)


def check(pair: Pair, first: str, second: str | None, capacity: int) -> None:
    """Equal ids, types and number of tokens cut off."""
    tokenizer, device = pair
    texts = (first,) if second is None else (first, second)
    tokenizer.no_truncation()
    whole = tokenizer.encode(*texts)
    tokenizer.enable_truncation(capacity)
    expected = tokenizer.encode(*texts)
    found = device.encode_texts(first.encode(), None if second is None else second.encode(), capacity)
    if found == -1:
        assert len((first + (second or "")).encode()) > LONGEST / 4, "only a very long text needs more room"
        return
    assert not isinstance(found, int), (found, ascii(first), ascii(second))
    assert found.ids == expected.ids, (ascii(first), ascii(second), capacity, expected.tokens)
    assert found.types == expected.type_ids, (ascii(first), ascii(second), capacity)
    assert found.dropped == len(whole.ids) - len(expected.ids)


def check_many(pair: Pair, texts: int, seed: int) -> None:
    rng = random.Random(seed)
    words = words_of(pair[0])
    for _ in range(texts):
        second = random_text(rng, words) if rng.random() < 0.3 else None
        check(pair, random_text(rng, words), second, rng.choice(CAPACITIES))


def test_random_texts(pair: Pair) -> None:
    check_many(pair, 500, 1)


@pytest.mark.slow
def test_many_random_texts(pair: Pair) -> None:
    check_many(pair, 10_000, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizers(name: str, build: Build) -> None:
    """To the byte, every code point among others included."""
    tokenizer = seen_by_bytes(NORMALIZERS[name]())
    compiled = compile_tokenizer(json.loads(tokenizer.to_str()), texts=LONGEST)
    assert compiled.supported, compiled.reason
    pair = tokenizer, build(compiled)
    check_many(pair, 3000, 3)
    rng = random.Random(4)
    for code in (
        *range(0xD800),
        *range(0xE000, 0x30000, 1 + (name != "charsmap")),
        0xE0001,
        0x10FFFD,
        0xFFFFE,
    ):
        mark = rng.choice(
            ("\u0301", "\u0323", "\u093c", "\u1161", "\u200d", "\u0600", "\ufe0f", "x", "\U0001d165")
        )
        check(pair, f"A{chr(code)}{mark}e {mark}{chr(code)}\u0345{mark}", None, LONGEST)


@pytest.mark.slow
def test_every_code_point(pair: Pair) -> None:
    """By itself, between letters, and before marks that are out of order."""
    for code in (
        *range(0xD800),
        *range(0xE000, 0x20000),
        *range(0x2F7F0, 0x2FA40),
        0xE0001,
        0x10FFFD,
        0xFFFFE,
    ):
        character = chr(code)
        check(pair, f"a{character}b {character}\u0301\u0323 {character}", None, LONGEST)


@pytest.mark.parametrize("texts", [("", None), ("", ""), ("the", ""), ("", "the"), (" \u0301\t", None)])
def test_empty_texts(pair: Pair, texts: tuple[str, str | None]) -> None:
    for capacity in (4, 5, 16):
        check(pair, *texts, capacity)


def test_two_texts_are_cut_alike(pair: Pair) -> None:
    """Every relation of two lengths to the room, odd and even."""
    for first in range(0, 24, 3):
        for second in range(0, 24, 3):
            for capacity in (5, 12, 17, 30):
                check(pair, "king " * first, "the " * second, capacity)


def test_invalid_utf8_is_refused(pair: Pair) -> None:
    for bad in (b"\x80", b"ok \xc3(", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xf0\x9f\x99", b"\xff"):
        assert pair[1].encode_texts(bad, None, 16) == -2
        assert pair[1].encode_texts(b"ok", bad, 16) == -2


def test_too_little_room(pair: Pair) -> None:
    """No id beyond the capacity; a capacity below the special tokens, and a text beyond the room for it, are refused."""
    tokenizer, device = pair
    specials = tokenizer.num_special_tokens_to_add(False)
    for capacity in range(specials):
        assert device.encode_texts(b"the king", None, capacity) == -1
    room = 1024 + 16 * LONGEST
    found = device.encode_texts(b"k" * 4 * room, None, 64)
    assert found == -1 or tokenizer.normalizer is None


def test_prints_tokens(pair: Pair) -> None:
    tokenizer, device = pair
    for token, index in tokenizer.get_vocab(with_added_tokens=False).items():
        if tokenizer.decoder is None:
            assert device.decode(index).decode() == token
    assert device.decode(-1) == device.decode(10**6) == b""
