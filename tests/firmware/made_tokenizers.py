"""Tokenizers of every kind that the device follows, trained or made here."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

from tests.split_patterns import PATTERNS


@cache
def corpus() -> list[str]:
    """A few hundred seeded lines with all that the splitters care about."""
    rng = random.Random(1)
    stems = [
        "the",
        "King",
        "and",
        "shall",
        "know",
        "fair",
        "don't",
        "we'll",
        "I'M",
        "über",
        "naïve",
        "Ελλάδα",
        "привет",
    ]
    stems += [
        "日本語",
        "한국어",
        "مرحبا",
        "שלום",
        "नमस्ते",
        "42",
        "1984",
        "٣٤",
        "½",
        "🙂",
        "👩‍👩‍👧",
        "...",
        "!?",
        "--",
        "e\u0301",
    ]
    gaps = [" ", " ", " ", " ", "  ", "\n", "\n\n", "\t", " \n ", "\u00a0", "\u3000"]
    return ["".join(rng.choice(stems) + rng.choice(gaps) for _ in range(12)) for _ in range(300)]


def edited(tokenizer: Tokenizer, edit: Callable[[dict[str, Any]], None]) -> Tokenizer:
    content = json.loads(tokenizer.to_str())
    edit(content)
    return Tokenizer.from_str(json.dumps(content))


def merge_every_pair(content: dict[str, Any]) -> None:
    """After the trained merges, any two of these characters merge: a cut in the wrong place then shows in the ids."""
    model = content["model"]
    characters = pre.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(
        " \n\r\t'.,!|<>adeilmrstvzDELMRSTV0159\u00a0\u017f\u2003\u3000\u0663\u00b2é"
    )[0][0]
    pairs = [(a, b) for a in sorted(set(characters)) for b in sorted(set(characters))]
    random.Random(8).shuffle(pairs)
    for a, b in pairs:
        if a + b not in model["vocab"]:
            model["vocab"][a + b] = len(model["vocab"])
            model["merges"].append([a, b])


def trained(
    pre_tokenizer: Any, *, size: int = 420, specials: tuple[str, ...] = ("<|endoftext|>",)
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre.ByteLevel.alphabet()),
        special_tokens=list(specials),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return edited(tokenizer, merge_every_pair)


def split(pattern: str, behavior: str = "isolated", invert: bool = False) -> Any:
    byte_level = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre.Sequence([pre.Split(Regex(pattern), behavior, invert=invert), byte_level])


def gpt2() -> Tokenizer:
    return trained(pre.ByteLevel(add_prefix_space=False))


def falcon() -> Tokenizer:
    """What cuts behind ByteLevel sees bytes: of some characters, one is a digit."""
    three = pre.Split(Regex("[0-9][0-9][0-9]"), "isolated")
    parts = [pre.Punctuation("contiguous"), pre.ByteLevel(add_prefix_space=False), pre.Digits(False), three]
    return trained(pre.Sequence(parts))


def roberta() -> Tokenizer:
    """A prefix space, specials on both sides, a token that strips on its left, one on its right."""
    tokenizer = trained(pre.ByteLevel(add_prefix_space=True), specials=("<s>", "</s>"))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=True)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<cut>", rstrip=True)])
    tokenizer.add_special_tokens([AddedToken("<both>", lstrip=True, rstrip=True)])
    return tokenizer


def whole_text() -> Tokenizer:
    return trained(pre.ByteLevel(add_prefix_space=False, use_regex=False), size=1000)


def whole_text_prefixed() -> Tokenizer:
    return trained(pre.ByteLevel(add_prefix_space=True, use_regex=False))


def llama3() -> Tokenizer:
    """ignore_merges with words that merging does not make, every merge that makes a token, BOS, specials."""
    tokenizer = trained(
        split(PATTERNS["llama3"]), specials=("<|begin_of_text|>", "<|eo", "<|eot|>", "<|eot_id|>")
    )

    def edit(content: dict[str, Any]) -> None:
        model = content["model"]
        vocabulary = model["vocab"]
        for word in ("Ġhello", "zzz", "Ġ999", "999", "Ċ", "ĠĠĠĠ", "qqqqqqqq"):
            vocabulary.setdefault(word, len(vocabulary))
        model["ignore_merges"] = True
        model["merges"] += [
            [token[:i], token[i:]]
            for token in vocabulary
            for i in range(1, len(token))
            if token[:i] in vocabulary
            and token[i:] in vocabulary
            and [token[:i], token[i:]] not in model["merges"]
        ]

    tokenizer = edited(tokenizer, edit)
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def qwen2() -> Tokenizer:
    tokenizer = trained(split(PATTERNS["qwen2"], "removed", invert=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens(["<tool>", "<tool_call>", "gut", AddedToken("fair", normalized=False)])
    return tokenizer


def digits_then_gpt2() -> Tokenizer:
    parts = [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]
    return trained(pre.Sequence(parts))


def digit_runs_prefixed() -> Tokenizer:
    return trained(pre.Sequence([pre.Digits(individual_digits=False), pre.ByteLevel(add_prefix_space=True)]))


def long_tokens(shuffled: bool = False) -> Tokenizer:
    """So many and so long tokens that the device writes them from their merges, by the order of their ids; or out of it, with
    one that is special, some that are too long, and some of more parts than may wait."""
    alphabet = sorted(pre.ByteLevel.alphabet())
    words = list(alphabet)
    merges = []
    rng = random.Random(9)
    for _ in range(2500):
        left, right = rng.choice(words), rng.choice(words)
        if len(left + right) <= (300 if shuffled else 60) and left + right not in words:
            merges.append((left, right))
            words.append(left + right)
    if shuffled:
        for last in range(1, 40):
            merges.append((alphabet[60] * last, alphabet[60]))
            words.append(alphabet[60] * (last + 1))
        words = list(dict.fromkeys(words))
        rng.shuffle(words)
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if shuffled:
        tokenizer.add_special_tokens([words[2000]])
    return tokenizer


def shuffled_ranks() -> Tokenizer:
    """Merges in random order: a merge often makes a pair that has a lower rank than itself."""

    def edit(content: dict[str, Any]) -> None:
        random.Random(2).shuffle(content["model"]["merges"])

    return edited(whole_text(), edit)


def unknown_bytes(fuse: bool) -> Tokenizer:
    """Some bytes have no token of their own; there is an unknown token."""

    def edit(content: dict[str, Any]) -> None:
        model = content["model"]
        missing = {"z", "Z", "Ċ", "!"}
        model["vocab"] = {t: i for t, i in model["vocab"].items() if not missing & set(t)}
        model["merges"] = [pair for pair in model["merges"] if not missing & set("".join(pair))]
        model["vocab"]["<unk>"] = 5000
        model |= {"unk_token": "<unk>", "fuse_unk": fuse}

    return edited(gpt2(), edit)


def added() -> Tokenizer:
    """Added tokens of every kind, some of which begin or end with others, or with what others strip."""
    tokenizer = trained(pre.ByteLevel(add_prefix_space=False))
    tokenizer.normalizer = normalizers.Lowercase()
    kinds = itertools.product((False, True), repeat=4)
    contents = [
        "<a>",
        "king",
        " fair",
        "\n",
        "né",
        "Über",
        "KING",
        "<A> ",
        "é",
        "ab",
        "abc",
        "\u3000",
        "日",
        "<|x|>",
        "x|>",
        "_",
    ]
    for content, (single, left, right, plain) in zip(contents, kinds, strict=True):
        token = AddedToken(content, single_word=single, lstrip=left, rstrip=right, normalized=plain)
        tokenizer.add_tokens([token]) if plain else tokenizer.add_special_tokens([token])
    return tokenizer


def wide() -> Tokenizer:
    """More than 65,536 tokens: ids and offsets are 32 bits wide."""
    alphabet = sorted(pre.ByteLevel.alphabet())
    vocabulary = {character: i for i, character in enumerate(alphabet)}
    pairs = [(a, b) for a in alphabet for b in alphabet]
    random.Random(3).shuffle(pairs)
    vocabulary |= {a + b: 256 + i for i, (a, b) in enumerate(pairs)}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs))
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


MAKERS: dict[str, Callable[[], Tokenizer]] = {
    "gpt2": gpt2,
    "falcon": falcon,
    "roberta": roberta,
    "whole_text": whole_text,
    "whole_text_prefixed": whole_text_prefixed,
    "llama3": llama3,
    "qwen2": qwen2,
    "digits_then_gpt2": digits_then_gpt2,
    "digit_runs_prefixed": digit_runs_prefixed,
    "shuffled_ranks": shuffled_ranks,
    "unknown": lambda: unknown_bytes(fuse=False),
    "unknown_fused": lambda: unknown_bytes(fuse=True),
    "wide": wide,
    "added": added,
    "long_tokens": long_tokens,
    "long_tokens_shuffled": lambda: long_tokens(shuffled=True),
}
